"""Follow a run until it ends or stops: ask the daemon, hand what it says to a view.

It only looks; a follower that dies changes nothing for the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event
from typing import Protocol

from scalebox_hpc.client import Daemon, RunStatus
from scalebox_hpc.errors import DaemonAbsent

STOPPED = frozenset({"SUCCEEDED", "FAILED", "CANCELLED", "INTERRUPTED", "PAUSED"})
"""The states of a run in which nothing happens by itself."""

FIRST_NAP_S, LONGEST_NAP_S = 0.1, 0.5
EXIT_CODES = {"SUCCEEDED": 0, "FAILED": 1, "CANCELLED": 1, "PAUSED": 3, "INTERRUPTED": 130}


class View(Protocol):
    """Shows a run while it goes on."""

    @property
    def patience_s(self) -> float:
        """How long it can do without news."""
        ...

    def show(self, status: RunStatus) -> None: ...


class SilentView:
    """Shows nothing: for `--quiet` and `--json`."""

    patience_s = 10.0

    def show(self, status: RunStatus) -> None:
        pass


def follow(
    daemon: Daemon,
    run: str,
    view: View,
    *,
    absence_s: float = 10.0,
    nap: Callable[[float], object] | None = None,
) -> RunStatus:
    """Show every news of the run; return its status once it has ended or stopped.

    A daemon that is away for less than `absence_s` is waited for; then DaemonAbsent is raised.
    `nap` waits that many seconds; it keeps a busy run from being asked for more often than a
    person can read.
    """
    nap = nap or Event().wait
    version: int | None = None
    nap_s = FIRST_NAP_S
    while True:
        status = _next_status(daemon, run, version, view.patience_s, absence_s, nap)
        view.show(status)
        if status["state"] in STOPPED:
            return status
        version = status["version"]
        nap(nap_s)
        nap_s = min(LONGEST_NAP_S, 1.5 * nap_s)


def exit_code(status: RunStatus) -> int:
    """What `sbx run` says to the shell about a run that has ended or stopped."""
    return EXIT_CODES[status["state"]]


def _next_status(
    daemon: Daemon,
    run: str,
    version: int | None,
    wait_s: float,
    absence_s: float,
    nap: Callable[[float], object],
) -> RunStatus:
    until: float | None = None
    while True:
        try:
            return daemon.status(run, version=version, wait_s=wait_s)
        except DaemonAbsent:
            until = until or time.monotonic() + absence_s
            if time.monotonic() >= until:
                raise
            version = None  # a new daemon counts anew
            nap(LONGEST_NAP_S)
