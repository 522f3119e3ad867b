"""How many streams of data at once to and from a site, over all processes of this user on this machine.

A stream holds a lock on one of the files of its site; the system lets go of it when the process dies.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from scalebox_hpc.disk import problem_with
from scalebox_hpc.errors import EnvironmentProblem

_LOOK_S: Final = 0.25


def usual_folder() -> Path:
    """Where the lock files lie: on this machine, for locks on a shared file system may be refused."""
    return Path("/tmp") / f"sbx-streams-{os.getuid()}"


def make_private(folder: Path) -> None:
    """Make a directory that only its owner may enter. Raises OSError where it is another's."""
    folder.mkdir(mode=0o700, exist_ok=True)
    status = os.lstat(folder)
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode) or status.st_mode & 0o077:
        raise PermissionError(errno.EPERM, "is not a private directory of yours", str(folder))


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

    def _wait(self, site: str, stop: threading.Event) -> int:
        while True:
            for index in range(self._limits[site]):
                descriptor = self._try(self._folder / f"{site}-{index}")
                if descriptor is not None:
                    return descriptor
            if stop.wait(_LOOK_S):
                raise EnvironmentProblem("the transfer was ended while it waited for a stream")

    def _try(self, path: Path) -> int | None:
        try:
            make_private(self._folder)
            return hold(path)
        except OSError as error:
            raise problem_with(path, error, "lock", "remove it if it is not yours") from error


def hold(path: Path) -> int | None:
    """Lock a file until its descriptor is closed; None where another has it. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
