"""Moves what a program left under `publish/` to the run's results.

Each file gets there under a temporary name, is synced, then renamed, so that nobody reads half a
file. The source is not deleted: the work directory goes as a whole.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

PIECE = 8 << 20


class PublishError(Exception):
    """A file could not be published; the text says which, why, and what to do."""


def publish(source: str, results: str) -> Generator[int, None, None]:
    """Copy the tree; yields the bytes of each piece as it is written. Raises PublishError."""
    if not os.path.isdir(source):
        raise PublishError("publish is not a directory; make it one and put files into it")
    for relative in _files(source):
        target = os.path.join(results, relative)
        if not os.path.isfile(os.path.join(source, relative)):
            raise PublishError(f"publish/{relative} is not a plain file; remove it or make it one")
        try:
            yield from _copy(os.path.join(source, relative), target)
        except OSError as problem:
            raise PublishError(
                f"publish/{relative} could not be written to {target}: {problem.strerror};"
                " look for room and permission there"
            ) from None


def _files(source: str) -> Iterator[str]:
    for directory, _, names in os.walk(source):
        for name in names:
            yield os.path.relpath(os.path.join(directory, name), source)


def _copy(source: str, target: str) -> Generator[int, None, None]:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    temporary = os.path.join(os.path.dirname(target), f".{os.path.basename(target)[:200]}.sbx-{os.getpid()}")
    try:
        with open(source, "rb", buffering=0) as reader, open(temporary, "wb", buffering=0) as writer:
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
        os.rename(temporary, target)
    except BaseException:
        _discard(temporary)
        raise


def _discard(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return
