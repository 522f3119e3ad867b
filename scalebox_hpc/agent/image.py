"""Puts an image on the node's own disk, once for all agents of a node: the file as it is, or unpacked.

`agent.pyz copy SOURCE TARGET DIGEST [WORD...]` is a helper process, so that the agent goes on; the words
are the command that unpacks. What it makes is named by digest, appears whole or not at all, and is not
removed by us: the next run on this node finds it. Exit codes: 0 it is there; 3 the image is not what the
run began with; any other, it is not there and standard error says why.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import stat
import sys
from collections.abc import Sequence
from typing import NamedTuple

from scalebox_hpc.agent.workdir import removal

PIECE = 4 << 20
SHA256 = "sha256:"
WRONG = 3  # exit code: the image is not what the run began with
IMAGE, TREE, ENTRIES = "image.sif", "tree", "entries"  # in the directory of an unpacked image
ROOM = 4  # times its size an image may take while it is unpacked: itself, and what was packed to a third


class CannotCopy(Exception):
    """The image cannot be had on this node's own disk; the text says why and what to do."""


class WrongImage(CannotCopy):
    """Its digest is another one than when the run began."""


class LocalCopy(NamedTuple):
    """An image on the node's own disk, which may have to be made yet."""

    path: str  # what a runtime is given
    words: tuple[str, ...]  # of the helper that makes sure of it


def plan_copy(scratch: str, source: str, digest: str, unpack: Sequence[str]) -> LocalCopy:
    """Return where an image with this digest is kept; `unpack`: words that unpack IMAGE to TREE."""
    base = os.path.join(scratch, f"sbx-images-{os.getuid()}", digest.replace(":", "-"))
    target = f"{base}.dir" if unpack else f"{base}.sif"
    words = ("copy", source, target, digest, *unpack)
    return LocalCopy(os.path.join(target, TREE) if unpack else target, words)


def main() -> None:
    """Run the command line and exit."""
    source, target, digest, *unpack = sys.argv[2:]
    try:
        copy_once(source, target, digest, unpack)
    except CannotCopy as problem:
        print(problem, file=sys.stderr)
        sys.exit(WRONG if isinstance(problem, WrongImage) else 1)
    except OSError as problem:
        sys.exit(f"{problem.filename or target}: {problem.strerror}; look for room and permission there")


def copy_once(source: str, target: str, digest: str, unpack: Sequence[str] = ()) -> None:
    """Make sure that the copy is there; of several callers one makes it. Raises CannotCopy, OSError."""
    directory = os.path.dirname(target)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    found = os.lstat(directory)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise CannotCopy(f"{directory} is not ours alone; remove it, or set `paths.scratch`")
    lock = os.open(f"{target}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_whole(target) if unpack else os.path.isfile(target):
            return
        _remove_leftovers(target)
        if unpack:
            _unpack(source, target, digest, unpack)
        else:
            _copy(source, target, digest)
    finally:
        os.close(lock)


def _temporary(target: str) -> str:
    """Return a new name beside; whoever wrote to one before may still do so for a moment."""
    return f"{target}.new-{os.urandom(4).hex()}"


def _remove_leftovers(target: str) -> None:
    """Remove what was not finished, or found broken. The lock is held: nobody needs it."""
    directory, prefix = os.path.split(f"{target}.new-")
    _remove([os.path.join(directory, name) for name in os.listdir(directory) if name.startswith(prefix)])


def _remove(paths: list[str]) -> None:
    import subprocess

    if paths:
        subprocess.run(removal(paths), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def _copy(source: str, target: str, digest: str) -> None:
    temporary = _temporary(target)
    try:
        _copy_checked(source, temporary, digest)
        os.rename(temporary, target)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def _copy_checked(source: str, target: str, digest: str) -> None:
    found = _copy_bytes(source, target)
    if found != digest:
        raise WrongImage(
            f"image {source} is not what the run began with: its digest is {found}, not {digest};"
            " look at it with `sbx image verify`, then pull or build it again"
        )


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


# unpacked


def _unpack(source: str, target: str, digest: str, words: Sequence[str]) -> None:
    """Make the directory TARGET, with the image's files in TREE and their number in ENTRIES."""
    _look_for_room(source, os.path.dirname(target))
    temporary = _temporary(target)
    os.mkdir(temporary, 0o700)
    try:
        # What is unpacked is what was looked at, and a slow file system is read once.
        _copy_checked(source, os.path.join(temporary, IMAGE), digest)
        _run(words, source, temporary)
        os.unlink(os.path.join(temporary, IMAGE))
        _seal(temporary)
        if os.path.lexists(target):
            os.rename(target, _temporary(target))  # tasks may run in what is left of it: removed later
        os.rename(temporary, target)
    finally:
        if os.path.exists(temporary):
            _remove([temporary])


def _look_for_room(source: str, directory: str) -> None:
    room, needed = os.statvfs(directory), ROOM * os.stat(source).st_size
    free = room.f_bavail * room.f_frsize
    if free < needed:
        raise CannotCopy(
            f"no room to unpack it in {directory}: {free >> 20} MiB are free,"
            f" {needed >> 20} MiB may be needed; remove what is old there, or set `paths.scratch`"
        )


def _run(words: Sequence[str], source: str, directory: str) -> None:
    import subprocess

    for_files = os.path.join(directory, "tmp")
    os.mkdir(for_files)
    env = {**os.environ, "TMPDIR": for_files}  # on the same disk, and removed with the rest
    env.pop("LD_LIBRARY_PATH", None)  # of this Python; runtimes never get it
    null, pipe, both = subprocess.DEVNULL, subprocess.PIPE, subprocess.STDOUT
    done = subprocess.run(words, cwd=directory, env=env, stdin=null, stdout=pipe, stderr=both, check=False)
    if done.returncode != 0 or not os.path.isdir(os.path.join(directory, TREE)):
        said = done.stdout.decode("utf-8", "replace")
        raise CannotCopy(f"{source} could not be unpacked: {_reason(said) or f'exit code {done.returncode}'}")
    _remove([for_files])


def _reason(said: str) -> str:
    """Return the line in which an unpacker says why it failed.

    >>> _reason("FATAL:   While performing build: one\\nNo space left on device\\n: exit status 1")
    'No space left on device'
    """
    lines = [line.strip() for line in said.splitlines() if line.strip(" :") not in ("", "exit status 1")]
    for sign in ("No space left", "quota exceeded", "FATAL ERROR"):
        for line in lines:
            if sign in line:
                return line
    return lines[-1].replace("FATAL:", "").strip() if lines else ""


def _seal(directory: str) -> None:
    """Say how many entries there are, with all of it on disk: a name must not outlive a power cut alone."""
    with open(os.path.join(directory, ENTRIES), "w", encoding="ascii") as file:
        file.write(f"{_count(os.path.join(directory, TREE))}\n")
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        ctypes.CDLL(None).syncfs(fd)
    finally:
        os.close(fd)


def _is_whole(target: str) -> bool:
    """Tell whether an unpacked image is there, and nothing of it was removed since: nodes sweep old files."""
    try:
        with open(os.path.join(target, ENTRIES), encoding="ascii") as file:
            entries = int(file.read())
    except (OSError, ValueError):
        return False
    return _count(os.path.join(target, TREE)) >= entries


def _count(tree: str) -> int:
    return sum(len(folders) + len(files) for _, folders, files in os.walk(tree))
