"""Files written whole or not at all, and what the system would not let us do said as our errors.

It knows nothing of what the files hold.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import Final, TextIO

from scalebox_hpc.errors import EnvironmentProblem, StorageFull

NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)


def problem_with(path: Path, error: OSError, doing: str, remedy: str) -> EnvironmentProblem:
    """The error for a path that the system would not let us use."""
    reason = error.strerror or str(error)
    if error.errno in NO_ROOM:
        return StorageFull(f"cannot {doing} {path}: {reason}", "make room there, or ask for more quota")
    return EnvironmentProblem(f"cannot {doing} {path}: {reason}", remedy)


def write_whole(path: Path, text: str, mode: int) -> None:
    """Replace a file in one step: whoever reads sees the old text or the new. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def make_private(folder: Path) -> None:
    """Make a directory that only its owner may enter. Raises OSError where it is another's.

    In /tmp nobody else can put another in its place from then on.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o077:
        raise PermissionError(errno.EPERM, "it is not a private directory of yours", str(folder))


def open_private(path: Path) -> TextIO:
    """Begin a file that only its owner may read, whatever the umask. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8")


def sync(path: Path) -> None:
    """Make what is in a file, or the names in a directory, durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def takes_locks(directory: Path) -> bool:
    """Whether files there can be locked, tried with one that is gone at once. Raises OSError."""
    import tempfile  # takes long to import, and is seldom needed

    with tempfile.TemporaryFile(dir=directory) as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True
