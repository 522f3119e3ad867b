"""The one loop of the agent: descriptors and timers, each with the function to call.

It decides nothing and knows nothing of tasks.
"""

from __future__ import annotations

import heapq
import select
import time
from collections.abc import Callable

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
ONCE = select.EPOLLONESHOT
LONGEST_S = 60.0


class Loop:
    """One epoll set and one heap of timers."""

    def __init__(self) -> None:
        self.now = time.monotonic()
        self._epoll = select.epoll()
        self._calls: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def watch(self, fd: int, events: int, call: Callable[[int], None]) -> None:
        """Call `call(fd)` whenever one of the events happens."""
        self._epoll.register(fd, events)
        self._calls[fd] = call

    def change(self, fd: int, events: int) -> None:
        """Wait for other events of a watched descriptor."""
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Stop watching; to be called before the descriptor is closed."""
        if self._calls.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def once(self, fd: int, call: Callable[[int], None]) -> None:
        """Call `call(fd)` at the first reading event; then say `gone` and close it."""
        self._epoll.register(fd, READ | ONCE)
        self._calls[fd] = call

    def gone(self, fd: int) -> None:
        """Say that a descriptor watched once will be closed."""
        # Without this event's flag, closing alone would not do: a child between fork and exec may share it.
        del self._calls[fd]

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Call `call()` at a time on the monotonic clock. It cannot be taken back: let it look."""
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, call))

    def turn(self, until: float) -> None:
        """Wait for events, at most until then, and make the calls that are due."""
        if self._timers and self._timers[0][0] < until:
            until = self._timers[0][0]
        wait_s = until - time.monotonic()
        happened = self._epoll.poll(min(wait_s, LONGEST_S) if wait_s > 0 else 0)
        self.now = time.monotonic()
        calls = [(fd, self._calls.get(fd)) for fd, _ in happened]
        for fd, call in calls:
            # One call may close the descriptor of another event, and open one of the same number.
            if call is not None and self._calls.get(fd) is call:
                call(fd)
        while self._timers and self._timers[0][0] <= self.now:
            heapq.heappop(self._timers)[2]()
