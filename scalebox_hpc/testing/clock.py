"""A clock that stands still until it is told to go on, and calls what is due on its way.

It waits for nothing: an hour passes as fast as its calls can be made.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from scalebox_hpc.daemon.state import Now

WALL_AT_START_US = 1_800_000_000_000_000
BEGINS_S = 1000.0


class NodeClock(NamedTuple):
    """How the wall clock of a node differs from one that is right and never stepped."""

    offset_s: float = 0.0
    drift: float = 0.0  # seconds a second, since the world began

    def wall_us(self, clock: VirtualClock) -> int:
        """Read it."""
        true_us = WALL_AT_START_US + round(clock.mono_s * 1e6)
        return true_us + round((self.offset_s + self.drift * (clock.mono_s - BEGINS_S)) * 1e6)


@dataclass(slots=True)
class VirtualClock:
    """Both clocks of a machine. The monotonic one only goes forward; the wall may be stepped."""

    mono_s: float = BEGINS_S
    stepped_us: int = 0  # by how much the wall was set forward, or back
    _due: list[tuple[float, int, Callable[[], object]]] = field(default_factory=list)
    _count: int = 0

    def now(self) -> Now:
        """Read both clocks."""
        return Now(self.wall_us, self.mono_s)

    @property
    def wall_us(self) -> int:
        return WALL_AT_START_US + round(self.mono_s * 1e6) + self.stepped_us

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forward, or back where `seconds` is negative."""
        self.stepped_us += round(seconds * 1e6)

    def after(self, delay_s: float, call: Callable[[], object]) -> None:
        """Have something called `delay_s` from now. It cannot be taken back: let it look."""
        self._count += 1
        heapq.heappush(self._due, (self.mono_s + max(0.0, delay_s), self._count, call))

    def next_s(self) -> float:
        """When the next call is due, monotonic; infinity where none is."""
        return self._due[0][0] if self._due else float("inf")

    def advance(self, to_s: float) -> None:
        """Let time pass up to a monotonic time, making the calls that fall due."""
        while self._due and self._due[0][0] <= to_s:
            at_s, _, call = heapq.heappop(self._due)
            self.mono_s = max(self.mono_s, at_s)
            call()
        self.mono_s = max(self.mono_s, to_s)
