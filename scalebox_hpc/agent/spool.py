"""The spool: results in the shared folder, for the daemon to find when we could not tell it.

One file per incarnation, appended to; what could only be written in part is cut off again, since it
would hide what follows it. Nothing is read back.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from typing import Any


class Spool:
    """Appends lines, each safe on disk when `add` returns."""

    def __init__(self, directory: str, incarnation: str) -> None:
        self.path = os.path.join(directory, f"{incarnation}.jsonl")
        self._incarnation = incarnation
        self._size = 0  # of what is whole; the file is ours alone

    def add(self, result: dict[str, Any], chunks: Iterable[tuple[int, bytes]] = ()) -> None:
        """Append a result, before it the chunks it needs (number, JSON list). Raises OSError."""
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._size = min(self._size, os.fstat(fd).st_size)
            os.ftruncate(fd, self._size)
            written = sum(_write(fd, line) for line in self._lines(result, chunks))
            os.fsync(fd)
        except OSError:
            os.ftruncate(fd, self._size)
            raise
        finally:
            os.close(fd)
        self._size += written

    def _lines(self, result: dict[str, Any], chunks: Iterable[tuple[int, bytes]]) -> Iterator[bytes]:
        head = json.dumps({"incarnation": self._incarnation})[:-1].encode()
        for number, messages in chunks:
            key = json.dumps({"lease": result["lease"], "seq": number})[:-1].encode()
            yield head + b', "chunk": ' + key + b', "messages": ' + messages + b"}}\n"
        yield head + b', "result": ' + json.dumps(result).encode() + b"}\n"


def _write(fd: int, line: bytes) -> int:
    view = memoryview(line)
    while view:
        view = view[os.write(fd, view) :]
    return len(line)
