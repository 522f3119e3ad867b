"""A home whose agents are played: a Slurm of files grants its elements, and processes play their agents.

The daemon is the real one; it asks for allocations, is told that their elements run, and hears from agents
over the network. What it does not see is that no task is ever started.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench_home import BenchHome, wait_for

HERE = Path(__file__).resolve().parent
FAKE_SLURM = HERE.parents[1] / "tests" / "contract" / "fake_slurm"
Element = tuple[str, int]
"""A try's name, and the index in its array."""

SITE = """batch = "slurm_cli"
interval = "{interval}"
[machines.node]
default = true
cpus = 1
memory = "100M"
"""
PIPELINE = """sbx = 1
[pipeline]
name = "crowd"
site = "pretended"
[pools.crowd]
slots = {agents}
walltime = "12h"
idle = "2h"
[modules.noop]
run = ["/bin/true", "{{body}}"]
seed = {{ file = "seeds.txt" }}
pool = "crowd"
resources = {{ cpus = 1, memory = "50M", time = "10m" }}
"""


class CrowdedHome(BenchHome):
    """A home at a site that is pretended."""

    def __init__(self, folder: Path, ledger: str = "", interval: str = "30s") -> None:
        super().__init__(folder)
        self._slurm = folder / "slurm"
        self._slurm.mkdir()
        (folder / "site-configs").mkdir()
        (folder / "site-configs" / "pretended.toml").write_text(SITE.format(interval=interval))
        self.env |= {
            "PATH": f"{FAKE_SLURM}{os.pathsep}{os.environ['PATH']}",
            "FAKE_SLURM": str(self._slurm),
            "XDG_STATE_HOME": str(folder / "state"),  # where submissions of all homes are counted
        }
        if ledger:
            self.env["SBX_LEDGER"] = ledger

    def write_seeds(self, tasks: int) -> None:
        """Write the file of which so many tasks are made."""
        with (self.folder / "seeds.txt").open("w", encoding="utf-8") as file:
            file.writelines(f"{n}\n" for n in range(tasks))

    def submit(self, agents: int) -> str:
        """Submit a run for so many agents; return its id once it is accepted."""
        return self.run(PIPELINE.format(agents=agents), "--detach")

    def start_elements(self) -> list[Element]:
        """Let Slurm say that all elements asked for so far run; return them."""
        path = self._slurm / "jobs.json"
        with (self._slurm / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            jobs = json.loads(path.read_text()) if path.exists() else {}
            for facts in jobs.values():
                facts["elements"] = {
                    index: "RUNNING" if state == "PENDING" else state
                    for index, state in facts["elements"].items()
                }
            path.write_text(json.dumps(jobs))
        return [(facts["name"], int(index)) for facts in jobs.values() for index in facts["elements"]]

    def elements(self, count: int) -> list[Element]:
        """Start elements as they are asked for, until there are so many; none of their agents speaks yet.

        The first ones are to have agents at work: more are asked for what runs for a while.
        """
        found: list[Element] = []

        def are_there() -> bool:
            found[:] = self.start_elements()
            return len(found) >= count

        wait_for(are_there, f"the request for {count} elements")
        return found[:count]

    @contextmanager
    def crowds(self, count: int, batch: int) -> Iterator[list[PlayedCrowd]]:
        """Play so many agents as elements are asked for, a process for each request.

        Each takes one task and keeps it, until told to work.
        """
        with ExitStack() as stack:
            played: list[PlayedCrowd] = []
            known: list[Element] = []
            while len(known) < count:
                self.elements(len(known) + 1)
                fresh = self.start_elements()[len(known) : count]
                known += fresh
                played.append(stack.enter_context(self.crowd(f"crowd-{len(played)}", fresh, batch, holds=1)))
                played[-1].do("hold")
            yield played

    def crowd(self, name: str, elements: Sequence[Element], batch: int, holds: int = 0) -> PlayedCrowd:
        """Start a process that plays agents in these elements, which hold up to `batch` tasks each.

        `holds`: so many after the word "hold".
        """
        (shared,) = (self.home / "shared").glob("contact.json")
        contact = json.loads(shared.read_text())
        port = contact["addresses"][0].rpartition(":")[2]
        spec = {
            **{
                "home": contact["home"],
                "address": f"127.0.0.1:{port}",
                "fingerprint": contact["fingerprint"],
            },
            **{"shared": str(shared.parent), "elements": elements, "batch": batch, "holds": holds or batch},
        }
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(spec))
        return PlayedCrowd(path, elements)


class PlayedCrowd:
    """One process of crowd.py."""

    def __init__(self, spec: Path, elements: Sequence[Element]) -> None:
        self.elements = elements
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "crowd.py"), str(spec)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def say(self, word: str) -> None:
        """Tell it what to do; `hear` waits until that is done."""
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """What became of the word."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("bench: a process that plays agents ended early")
        return dict(json.loads(line))

    def do(self, word: str) -> dict[str, Any]:
        self.say(word)
        return self.hear()

    def end(self) -> dict[str, Any]:
        """Wait until its agents have left; return what they saw in all."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        told = self.hear()
        self._process.wait()
        return told

    def __enter__(self) -> PlayedCrowd:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
