"""Moves what a program left under `publish/` to the run's results.

Each file gets there under a temporary name, is synced, then renamed, so that nobody reads half a
file. The source is not deleted: the work directory goes as a whole.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from hashlib import sha256

from scalebox_hpc.agent.walls import Walls, has, has_open, walls_of

PIECE = 8 << 20


class PublishError(Exception):
    """A file could not be published; the text says which, why, and what to do."""


def publish(source: str, results: str, walls: Walls = ()) -> Generator[int, None, None]:
    """Copy the tree; yields the bytes of each piece as it is written. Raises PublishError.

    With `walls` nothing is read beyond them, and nothing written outside of the results.
    """
    if not os.path.isdir(source):
        raise PublishError("publish is not a directory; make it one and put files into it")
    yield from put(source, _files(source), results, walls, "publish/")


def put(
    source: str, names: Iterable[str], results: str, walls: Walls, what: str
) -> Generator[int, None, None]:
    """Copy these files of a directory as `publish` does; `what` stands before their names in errors."""
    within = walls and walls_of([results])
    for relative in names:
        target = os.path.join(results, relative)
        if not os.path.isfile(os.path.join(source, relative)):
            raise PublishError(f"{what}{relative} is not a plain file; remove it or make it one")
        try:
            yield from _copy(os.path.join(source, relative), target, walls, within)
        except OSError as problem:
            raise PublishError(
                f"{what}{relative} could not be written to {target}: {problem.strerror};"
                " look for room and permission there"
            ) from None


def _files(source: str) -> Iterator[str]:
    for directory, _, names in os.walk(source):
        for name in names:
            yield os.path.relpath(os.path.join(directory, name), source)


def _copy(source: str, target: str, walls: Walls, within: Walls) -> Generator[int, None, None]:
    directory, name = os.path.split(target)
    _must_have(has(within, os.path.realpath(directory)), target, "leads out of the results")
    os.makedirs(directory, exist_ok=True)
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _must_have(has_open(within, folder), target, "leads out of the results")
        yield from _copy_into(folder, name, source, walls)
    finally:
        os.close(folder)


def _copy_into(folder: int, name: str, source: str, walls: Walls) -> Generator[int, None, None]:
    temporary = f".sbx-{os.getpid()}-{sha256(os.fsencode(name)).hexdigest()}"  # names may be long already

    def opener(path: str, flags: int) -> int:
        return os.open(path, flags | os.O_NOFOLLOW, 0o666, dir_fd=folder)

    reading = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        with open(reading, "rb", buffering=0) as reader:
            _must_have(has_open(walls, reading), source, "is a link to what its container does not have")
            with open(temporary, "wb", buffering=0, opener=opener) as writer:
                while True:
                    piece = reader.read(PIECE)
                    if not piece:
                        break
                    view = memoryview(piece)
                    while view:
                        view = view[writer.write(view) :]
                    yield len(piece)
                os.fchmod(writer.fileno(), os.fstat(reader.fileno()).st_mode & 0o777)
                os.fsync(writer.fileno())
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        _discard(temporary, folder)
        raise


def _must_have(is_so: bool, path: str, what: str) -> None:
    if not is_so:
        raise PublishError(f"publish: {path} {what}; write a plain file")


def _discard(path: str, folder: int) -> None:
    try:
        os.unlink(path, dir_fd=folder)
    except OSError:
        return
