"""What an error of the file system says: is a disk of this node at fault, and how to put it. Pure."""

from __future__ import annotations

import errno
import os

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
OF_THE_DISK = (*NO_ROOM, errno.EIO, errno.EROFS, errno.ESTALE, errno.ENOTCONN)
"""Full, broken, read-only or gone away, whoever writes to it; the last is a FUSE mount that has died."""

LONGEST = 1000  # characters of a description, of the end


def is_of_the_disk(problem: Exception) -> bool:
    """Tell whether the disk is at fault, and not what was asked of it."""
    return isinstance(problem, OSError) and problem.errno in OF_THE_DISK


def describe(problem: OSError, path: str = "") -> str:
    """Return path and error in one line of valid text; `path` is for errors that name none.

    >>> describe(OSError(errno.ENOSPC, "No space left on device"), "/scratch/x")
    '/scratch/x: No space left on device (ENOSPC)'
    """
    named = next((name for name in (problem.filename2, problem.filename) if isinstance(name, str)), path)
    number = errno.errorcode.get(problem.errno or 0, "")
    text = f"{named}: {problem.strerror or problem}" + (f" ({number})" if number else "")
    return text.encode("utf-8", "backslashreplace").decode()[-LONGEST:]


def at(problem: OSError, path: str) -> OSError:
    """Return the same error, naming its path."""
    return OSError(problem.errno, problem.strerror or os.strerror(problem.errno or 0), path)
