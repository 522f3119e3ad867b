"""Signals as events of the loop.

It keeps no state of tasks; whoever wants a signal says what to call.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType

from scalebox_hpc.agent.loop import READ, Loop

PASSED_OVER = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


class Signals:
    """Turns signals into calls from the loop; one per process."""

    def __init__(self, loop: Loop) -> None:
        self._calls: dict[int, Callable[[], None]] = {}
        self._read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        loop.watch(self._read, READ, self._arrived)
        for number in PASSED_OVER:
            # A handler, and not SIG_IGN: programs started by us get the default back at their exec.
            signal.signal(number, _nothing)

    def on(self, number: int, call: Callable[[], None]) -> None:
        """Call `call()` from the loop some time after the signal arrived."""
        self._calls[number] = call
        signal.signal(number, _nothing)

    def _arrived(self, fd: int) -> None:
        for number in set(os.read(fd, 4096)):
            call = self._calls.get(number)
            if call is not None:
                call()


def _nothing(number: int, frame: FrameType | None) -> None:
    """Take the signal; the wakeup descriptor tells the loop."""
