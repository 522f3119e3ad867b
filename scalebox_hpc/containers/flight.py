"""Single flight: of all who want the same image at once, on any host, one does the work.

The others wait, and say whom they wait for. A flight whose process is provably gone is taken
over; one on another host, of which nothing can be known, is waited for up to an hour.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from scalebox_hpc.errors import EnvironmentProblem
from scalebox_hpc.holder import Holder, Kind, Processes, link, provably_gone, read, take_over

WAIT_S: Final = 3600.0
LOOK_S: Final = (0.1, 1.0)  # the first pause between two looks at the lock, and the longest
KIND: Final = Kind(
    remedy="check who owns the image store, and whether there is room; `paths.images` sets its place",
    no_links="its file system has no hard links: set `paths.images` of the site to another",
    unreadable="make sure that nobody is fetching this image",
)

Say = Callable[[str], None]


@contextmanager
def alone(path: Path, what: str, processes: Processes, say: Say, wait_s: float = WAIT_S) -> Iterator[None]:
    """Hold the lock at `path` while the block runs; `what` names the image in what is said.

    Raises EnvironmentProblem after `wait_s`, or where the folder cannot be used.
    """
    me = processes.myself()
    _take(path, me, what, processes, say, wait_s)
    try:
        yield
    finally:
        if read(path, KIND) == me:
            path.unlink(missing_ok=True)


def _take(path: Path, me: Holder, what: str, processes: Processes, say: Say, wait_s: float) -> None:
    def may_go(holder: Holder) -> bool:
        return provably_gone(holder, processes)

    pause, until, told = threading.Event(), time.monotonic() + wait_s, ""  # the event is never set
    next_look_s = LOOK_S[0]
    while True:
        holder = read(path, KIND)  # reading is cheap; to try to link is not
        if holder is None:
            if link(path, me, KIND):
                return
            continue
        if may_go(holder):
            if take_over(path, holder, me, KIND, may_go):
                return
        elif told != holder.nonce:
            told = holder.nonce
            say(f"{what} is being fetched by {holder}; waiting for it")
        if time.monotonic() >= until:
            raise EnvironmentProblem(
                f"{what} is being fetched by {holder} for too long",
                f"look there what it does; if it is gone for certain, delete {path}",
            )
        pause.wait(next_look_s)
        next_look_s = min(next_look_s * 1.5, LOOK_S[1])
