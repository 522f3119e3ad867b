"""Runs the programs of transfer modules in this process, on this machine or over an sshd of our own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from scalebox_hpc.domain.site import Site, Ssh
from scalebox_hpc.transfer.task import Task
from scalebox_hpc.transfer.verbs import VERBS

Sent = list[tuple[str, dict[str, str]]]


@dataclass(frozen=True, slots=True)
class Known(Task):
    """A task that knows its sites without files."""

    sites: Mapping[str, Ssh] = field(default_factory=dict)

    def find_site(self, name: str) -> Site:
        """The site of that name."""
        return Site(name, ssh=self.sites[name])


class Packers:
    """Runs verbs for places of one site; "" is this machine."""

    def __init__(self, site: str, sites: Mapping[str, Ssh], work: Path) -> None:
        self.site, self.sites, self._work = site, sites, work
        self._turn = 0

    def at(self, path: Path | str) -> str:
        """A path there, as messages have it."""
        return f"{self.site}:{path}" if self.site else str(path)

    def __call__(self, verb: str, body: str, headers: Mapping[str, str] = {}, **env: str) -> Sent:
        """Run a verb; return what it sent."""
        self._turn += 1
        work = self._work / str(self._turn)
        work.mkdir(parents=True)
        here = {"SBX_PIPELINE": str(self._work), "SBX_SHARED": str(self._work), "SBX_TASK": f"{verb}.1"}
        import_module(VERBS[verb]).run(Known(body, headers, {**here, **env}, work, sites=self.sites))
        self.told: dict[str, Any] = json.loads((work / "task-exec.json").read_text())
        lines = (work / "messages.jsonl").read_text().splitlines()
        return [(line["body"], line["headers"]) for line in map(json.loads, lines)]
