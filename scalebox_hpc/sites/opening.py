"""Open a link once for all the threads that need it, and share out its places for commands."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from scalebox_hpc.errors import SiteTimeout, SiteUnreachable

NO_THREAD: Final = "can't start new thread"  # Python says so in a bare RuntimeError


class Opening:
    """The one door to a link.

    Who waited while another failed to open it meets the same error: a host that is down is not waited for
    by each in turn, and one that refuses us is not asked as often as there are threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failed = 0  # so often
        self._error = SiteUnreachable("")

    def ensure(self, is_open: Callable[[], bool], open_it: Callable[[], None]) -> None:
        """Have the link open. Raises SiteUnreachable and its like."""
        seen = self._failed
        with self._lock:
            if is_open():
                return
            if self._failed != seen:
                raise type(self._error)(self._error.fact, self._error.hint)
            try:
                open_it()
            except SiteUnreachable as error:
                self._failed += 1
                self._error = error
                raise


@contextmanager
def place(room: threading.Semaphore, site: str, word: str, timeout_s: float) -> Iterator[None]:
    """Hold one of the places for a command. Raises SiteTimeout where none gets free in time."""
    if not room.acquire(timeout=timeout_s):
        raise too_long(site, word, timeout_s)
    try:
        yield
    finally:
        room.release()


@contextmanager
def by_this_machine(site: str) -> Iterator[None]:
    """Raise SiteUnreachable where this machine is short of what a way to a site takes.

    That is processes, threads, descriptors, room in /tmp, or a program of OpenSSH that comes to its end.
    """
    try:
        yield
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _short(site, error) from error
    except RuntimeError as error:
        if str(error) != NO_THREAD:
            raise
        raise _short(site, error) from error


def _short(site: str, error: Exception) -> SiteUnreachable:
    hint = "see what is used up here: df /tmp; ulimit -a; ps -u $USER"
    return SiteUnreachable(f"{site}: this machine cannot begin to reach it: {error}", hint)


def too_long(site: str, word: str, timeout_s: float) -> SiteTimeout:
    """The error for a command that does not come to its end."""
    return SiteTimeout(f"{site}: `{word}` did not end there in {timeout_s:g} s")
