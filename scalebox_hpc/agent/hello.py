"""Says hello: who we are and what we have, for a token and the terms of work.

It may be said again at any time; the answer is the same.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scalebox_hpc import __version__
from scalebox_hpc.agent import probe
from scalebox_hpc.agent.link import Link
from scalebox_hpc.agent.loop import Loop
from scalebox_hpc.agent.options import Options, read_token
from scalebox_hpc.agent.runtimes import Runtime

AGAIN_S = 5.0  # after a hello that was refused; the daemon may be reading its ledger or changing hands

Answered = Callable[[int, dict[str, Any]], None]


class Greeter:
    """Says hello over the link and keeps the token that comes back."""

    def __init__(self, loop: Loop, link: Link, options: Options, introduction: dict[str, Any]) -> None:
        self._loop, self._link, self._options = loop, link, options
        self._introduction = introduction

    def greet(self, done: Answered) -> None:
        """Say hello once; `done` gets the status and the answer. Raises OSError without a join token."""
        self._link.token = read_token(self._options)
        body = {**self._introduction, "clock_us": time.time_ns() // 1000}

        def answered(status: int, answer: dict[str, Any]) -> None:
            if status == 200:
                self._link.token = answer.get("token", "")
            done(status, answer)

        self._link.ask("/v1/agent/hello", json.dumps(body).encode(), answered)

    def greet_until_known(self, done: Callable[[bool], None]) -> None:
        """Say hello until it is accepted; `done` is told whether there is work for us."""

        def answered(status: int, answer: dict[str, Any]) -> None:
            if status == 200:
                done(answer.get("do") != "leave")
            else:
                self._loop.at(self._loop.now + AGAIN_S, again)

        def again() -> None:
            try:
                self.greet(answered)
            except OSError:
                self._loop.at(self._loop.now + AGAIN_S, again)

        again()


def introduction(
    options: Options, environ: Mapping[str, str], scratch: str, runtimes: Sequence[Runtime]
) -> dict[str, Any]:
    """Return the body of a hello, but for the clock."""
    return {
        "home": options.home,
        "try": options.try_name,
        "element": options.element,
        "incarnation": options.incarnation,
        "restart": options.restart,
        "node": platform.node(),
        "nodes": int(environ.get("SLURM_JOB_NUM_NODES") or 1),
        "pid": os.getpid(),
        "cpus": options.cpus or probe.cpus(),
        "memory_mib": options.memory_mib or probe.memory_mib(environ),
        "gpus": probe.gpus(environ) if options.gpus is None else options.gpus,
        "scratch_mib": probe.scratch_mib(scratch),
        "walltime_left_s": probe.walltime_left_s(environ, time.time_ns() / 1e9, options.walltime_s),
        "runtimes": {runtime.name: runtime.version for runtime in runtimes},
        "python": platform.python_version(),
        "version": __version__,
        "job_id": environ.get("SLURM_ARRAY_JOB_ID") or environ.get("SLURM_JOB_ID"),
    }
