"""Removes what was put aside, by a process beside the work, and everything at the end."""

from __future__ import annotations

from collections.abc import Callable

from scalebox_hpc.agent.child import INF, Children, Process
from scalebox_hpc.agent.loop import Loop
from scalebox_hpc.agent.workdir import WorkDirs

EVERY_S = 1.0  # between two removers
LAST_S = 30.0  # for the last one


class Broom:
    """At most one remover at a time."""

    def __init__(self, loop: Loop, children: Children, work: WorkDirs) -> None:
        self._loop, self._children, self._work = loop, children, work
        self._busy = False
        self._at = 0.0

    def wake_at(self) -> float:
        """Return when `sweep` has something to do."""
        return self._at if self._work.has_waiting and not self._busy else INF

    @property
    def is_at_work(self) -> bool:
        """Whether something is being removed, or will be."""
        return self._busy or self._work.has_waiting

    def sweep(self) -> None:
        """Start a remover when one is due."""
        if self._busy or not self._work.has_waiting or self._loop.now < self._at:
            return
        self._busy = True

        def removed(_: Process) -> None:
            self._busy = False
            self._at = self._loop.now + EVERY_S

        self._start(self._work.to_remove(), removed)

    def leave_nothing(self) -> None:
        """Kill every descendant that is left, then remove the agent's scratch directory."""
        self._children.kill_all()
        gone: list[Process] = []
        self._start(self._work.all_to_remove(), gone.append)
        until = self._loop.now + LAST_S
        while not gone and self._loop.now < until:
            self._loop.turn(until)

    def _start(self, argv: list[str], ended: Callable[[Process], None]) -> None:
        env = {b"PATH": b"/usr/bin:/bin"}
        marker = frozenset((b"a remover carries no marker",))
        self._children.start(argv[0], argv, env, "/", self._children.silent, marker, INF, ended)
