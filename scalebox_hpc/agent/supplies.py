"""Gets what tasks need before they can start: a module's sheet once, each gather task's members.

It starts nothing and decides nothing of what becomes of a task that cannot have it.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Callable
from typing import Any

from scalebox_hpc.agent.command import Recipe
from scalebox_hpc.agent.gather import Fetch, Problem, Wanted
from scalebox_hpc.agent.lease import PREPARING, Held, Json
from scalebox_hpc.agent.link import Link
from scalebox_hpc.agent.loop import Loop
from scalebox_hpc.agent.node import Node
from scalebox_hpc.agent.say import log
from scalebox_hpc.agent.workdir import GATHER, link_bin

Told = Callable[[Held], None]


class Supplies:
    """Asks the daemon, writes the files, and tells of each task that it is ready or cannot be."""

    def __init__(
        self,
        ways: tuple[Loop, Link],
        node: Node,
        ready: Told,
        dropped: Told,
        unwritable: Callable[[OSError], None],
    ) -> None:
        """`unwritable` is called where our own directories cannot be written."""
        self.recipes: dict[int, Recipe] = {}
        (self._loop, self._link), self._node = ways, node
        self._fetches: dict[str, Fetch] = {}  # under way, by lease
        self._ready, self._dropped, self._unwritable = ready, dropped, unwritable
        self._wanting: dict[int, list[Held]] = {}  # tasks whose sheet is on its way

    def gather_dir(self, one: Held) -> str:
        """Return where a gather task's files are; "" for any other task."""
        if not one.offer.get("gather"):
            return ""
        return os.path.join(self._node.scratch_root, GATHER, one.lease)

    def get(self, one: Held) -> None:
        """Get what one task needs."""
        if one.module not in self.recipes:
            waiting = self._wanting.setdefault(one.module, [])
            waiting.append(one)
            if len(waiting) == 1:
                self._ask_for_sheet(one.module)
        elif one.state == PREPARING and one.offer.get("gather"):
            self._fetch(one)
        else:
            self._ready(one)

    def forget(self, one: Held) -> None:
        """Get nothing more for a task that we do not hold any longer."""
        fetch = self._fetches.pop(one.lease, None)
        if fetch is not None:
            fetch.stop()

    def _fetch(self, one: Held) -> None:
        has_missing = bool(one.offer["gather"].get("missing"))
        wanted = Wanted(self._node.incarnation, one.lease, self.gather_dir(one), has_missing)
        done = functools.partial(self._gathered, one)
        self._fetches[one.lease] = fetch = Fetch(self._loop, self._link, wanted, done)
        fetch.start()

    def _ask_for_sheet(self, module: int) -> None:
        body: dict[str, Any] = {"incarnation": self._node.incarnation, "module": module}
        came = functools.partial(self._sheet_came, module)
        self._link.ask("/v1/agent/sheet", json.dumps(body).encode(), came)

    def _sheet_came(self, module: int, status: int, sheet: Json) -> None:
        waiting = self._wanting.pop(module, [])
        try:
            if status != 200:
                raise ValueError(f"the daemon answered {status} {sheet.get('error', '')}")
            bin_dir = link_bin(self._node.scratch_root, module, sheet.get("bin", ()))
            self.recipes[module] = Recipe(sheet, self._node, bin_dir)
        except OSError as problem:
            self._unwritable(problem)
        except (ValueError, KeyError, re.error) as problem:
            log(f"the sheet of module {module} cannot be used: {problem}")
            for one in waiting:
                self._dropped(one)
        else:
            for one in waiting:
                self.get(one)

    def _gathered(self, one: Held, problem: Problem) -> None:
        del self._fetches[one.lease]
        if isinstance(problem, OSError):
            self._unwritable(problem)
        elif problem:
            log(f"members of {one.offer['task']}: {problem}")
            self._dropped(one)
        else:
            self._ready(one)
