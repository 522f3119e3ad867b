"""Copies an image to node-local scratch, once for all agents of a node.

`agent.pyz copy SOURCE TARGET DIGEST` is a helper process, so that the agent goes on. Copies are named
by digest, appear whole or not at all, and are not removed by us: the next run on this node finds them.
Exit codes: 0 the copy is there, 1 it is not and standard error says why.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import sys

PIECE = 4 << 20
SHA256 = "sha256:"


class CannotCopy(Exception):
    """The image cannot be had on this node's own disk; the text says why and what to do."""


def main() -> None:
    """Run the command line and exit."""
    source, target, digest = sys.argv[2:5]
    try:
        copy_once(source, target, digest)
    except CannotCopy as problem:
        sys.exit(str(problem))
    except OSError as problem:
        sys.exit(f"{problem.filename or target}: {problem.strerror}; look for room and permission there")


def copy_path(scratch: str, digest: str) -> str:
    """Return where the copy of an image with this digest is kept."""
    name = digest.replace(":", "-") + ".sif"
    return os.path.join(scratch, f"sbx-images-{os.getuid()}", name)


def copy_once(source: str, target: str, digest: str) -> None:
    """Make sure that the copy is there; of several callers one copies. Raises CannotCopy, OSError."""
    directory = os.path.dirname(target)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    found = os.lstat(directory)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise CannotCopy(f"{directory} is not ours alone; remove it, or set `paths.scratch`")
    lock = os.open(f"{target}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(target):
            _copy(source, target, digest)
    finally:
        os.close(lock)


def _copy(source: str, target: str, digest: str) -> None:
    temporary = f"{target}.{os.getpid()}"
    try:
        found = _copy_bytes(source, temporary)
        if found != digest:
            raise CannotCopy(
                f"image {source} is not what the run began with: its digest is {found}, not {digest};"
                " look at it with `sbx image verify`, then pull or build it again"
            )
        os.rename(temporary, target)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def _copy_bytes(source: str, target: str) -> str:
    digest = hashlib.sha256()
    with open(source, "rb", buffering=0) as reader, open(target, "wb", buffering=0) as writer:
        while True:
            piece = reader.read(PIECE)
            if not piece:
                break
            digest.update(piece)
            view = memoryview(piece)
            while view:
                view = view[writer.write(view) :]
        os.fchmod(writer.fileno(), 0o500)
        os.fsync(writer.fileno())
    return SHA256 + digest.hexdigest()
