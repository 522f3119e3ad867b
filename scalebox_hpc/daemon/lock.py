"""The home's lock: one daemon writes the ledger, wherever it runs.

It is taken over by itself only from a process that is provably gone. It does not wait. How the
file changes hands is told in `scalebox_hpc.holder`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from scalebox_hpc.daemon.home import Home
from scalebox_hpc.disk import problem_with
from scalebox_hpc.errors import HomeHeld
from scalebox_hpc.holder import (
    Holder,
    Kind,
    Processes,
    ProcFs,
    link,
    provably_gone,
    provably_lives,
    read,
    take_over,
    text_of,
)

KIND: Final = Kind(
    remedy="check the home's owner and file system",
    no_links="its file system has no hard links: put the home elsewhere with SBX_HOME",
    unreadable="make sure that no daemon of this home runs anywhere",
)


class Lock:
    """The lock, held. Made by `acquire`."""

    def __init__(self, path: Path, holder: Holder) -> None:
        self.path, self.holder = path, holder
        self._text = text_of(holder).encode()

    def still_held(self) -> bool:
        """Whether the lock is still ours; asked before each commit. About 10 µs on a local disk.

        Raises EnvironmentProblem where the file cannot be read.
        """
        try:  # opening, not stat: a network file system then asks its server
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                return os.read(descriptor, 4096) == self._text
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise problem_with(self.path, error, "read", "check the home's file system") from error

    def release(self) -> None:
        """Give the lock back; one that is no longer ours is left alone."""
        if self.still_held():
            self.path.unlink(missing_ok=True)


def acquire(home: Home, processes: Processes | None = None, takeover: bool = False) -> Lock:
    """Take the home's lock.

    With `takeover` the user has said that a holder we cannot judge is gone; one that provably
    lives is never robbed. Raises HomeHeld that names the holder, EnvironmentProblem.
    """
    processes = processes or ProcFs()
    me = processes.myself()

    def may_go(holder: Holder) -> bool:
        _must_be_gone(home, holder, processes, takeover)
        return True

    for _ in range(100):
        if link(home.lock, me, KIND):
            return Lock(home.lock, me)
        holder = read_holder(home)
        if holder is None:
            continue  # given back meanwhile
        if may_go(holder) and take_over(home.lock, holder, me, KIND, may_go):
            return Lock(home.lock, me)
    raise HomeHeld(f"the lock {home.lock} changes hands too fast", "try again")


def read_holder(home: Home) -> Holder | None:
    """Who holds the lock of the home, gone or not; None: nobody."""
    return read(home.lock, KIND)


def _must_be_gone(home: Home, holder: Holder, processes: Processes, takeover: bool) -> None:
    if provably_gone(holder, processes):
        return
    if provably_lives(holder, processes):
        raise HomeHeld(f"a daemon of {home.path} is running: {holder}", "`sbx daemon stop` ends it")
    if not takeover:
        here = processes.myself().host
        ask = f" (`scontrol show job {holder.job}` shows what became of that job)" if holder.job else ""
        raise HomeHeld(
            f"the home {home.path} is held by {holder}, and from {here} nobody can tell whether it runs",
            f"stop it there; if it is gone for certain{ask}, say `sbx daemon takeover` on {here}",
        )
