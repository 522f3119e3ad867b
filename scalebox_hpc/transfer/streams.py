"""How many streams of data at once to and from a site, over all processes of this user on this machine.

A stream holds a lock on one of the files of its site; the system lets go of it when the process dies. So
does who fills a place: another try of the same transfer waits, rather than write into the same files.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from scalebox_hpc.disk import make_private, problem_with
from scalebox_hpc.errors import EnvironmentProblem

_LOOK_S: Final = 0.25


def usual_folder() -> Path:
    """Where the lock files lie: on this machine, for locks on a shared file system may be refused."""
    return Path("/tmp") / f"sbx-streams-{os.getuid()}"


class Streams:
    """The right to move data, a limited number for each site."""

    def __init__(self, limits: Mapping[str, int], folder: Path | None = None) -> None:
        self._limits = limits
        self._folder = folder or usual_folder()

    @contextmanager
    def one(self, stop: threading.Event | None = None) -> Iterator[None]:
        """Hold one stream of each site, waiting for it; in their order, so two never wait for each other."""
        with ExitStack() as held:
            for site in sorted(self._limits):
                descriptor = self._wait(site, stop or threading.Event())
                held.callback(os.close, descriptor)
            yield

    @contextmanager
    def alone(self, what: str, stop: threading.Event | None = None) -> Iterator[int]:
        """Be the only one that does something, waiting for it. Gives the lock's file descriptor.

        A process that is started meanwhile shares the lock where it keeps that open: then the next one waits
        for its end, too, though we may have been killed.
        """
        stop = stop or threading.Event()
        number = int.from_bytes(hashlib.sha256(what.encode("utf-8", "surrogatepass")).digest()[:7], "big")
        descriptor = self._open(self._folder / "places")
        os.set_inheritable(descriptor, True)
        try:
            while not _locked(descriptor, fcntl.F_WRLCK, number):
                if stop.wait(_LOOK_S):
                    raise EnvironmentProblem("the transfer was ended while it waited for another try of it")
            yield descriptor
            _locked(descriptor, fcntl.F_UNLCK, number)
        finally:
            os.close(descriptor)

    def _wait(self, site: str, stop: threading.Event) -> int:
        while True:
            for index in range(self._limits[site]):
                descriptor = self._try(self._folder / f"{site}-{index}")
                if descriptor is not None:
                    return descriptor
            if stop.wait(_LOOK_S):
                raise EnvironmentProblem("the transfer was ended while it waited for a stream")

    def _try(self, path: Path) -> int | None:
        return held(self._open(path))

    def _open(self, path: Path) -> int:
        try:
            make_private(self._folder)
            return opened(path)
        except OSError as error:
            raise problem_with(path, error, "lock", "remove it if it is not yours") from error


def opened(path: Path) -> int:
    """Open a file to lock it. Raises OSError."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def held(descriptor: int) -> int | None:
    """Lock an open file until that is closed; None, and closed, where another has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _locked(descriptor: int, kind: int, number: int) -> bool:
    """Lock, or let go of, one byte of an open file; False where another has it.

    The lock is of the open file rather than of the process: threads and children have it by that (fcntl(2)).
    """
    wanted = struct.pack("hhqqi4x", kind, os.SEEK_SET, number, 1, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
    except BlockingIOError:
        return False
    return True
