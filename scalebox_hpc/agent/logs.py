"""Segment files: what the tasks of one slot print, each attempt framed by one line.

Programs write to them directly; we only mark where an attempt begins and ends and read tails back.
"""

from __future__ import annotations

import os

SUCCESS_TAIL = 2048  # bytes of the end that a report carries


class Segment:
    """One append-only file of one slot and one stream."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._start = self._end = os.lseek(self.fd, 0, os.SEEK_END)

    def begin(self, frame: bytes) -> None:
        """Write the frame of an attempt, on a line of its own; its output starts behind it."""
        if self._end > self._start and os.pread(self.fd, 1, self._end - 1) != b"\n":
            frame = b"\n" + frame
        self._start = self._end + os.write(self.fd, frame)

    def end(self) -> tuple[int, int]:
        """Return where the output of the attempt starts and ends."""
        self._end = os.lseek(self.fd, 0, os.SEEK_END)
        if self._end < self._start:
            self._start = 0  # the program opened /dev/stdout anew and so emptied the file
        return self._start, self._end

    def tail(self, start: int, end: int, limit: int) -> tuple[str, bool]:
        """Return the last `limit` bytes of an attempt's output, and whether more stands before them."""
        size = min(limit, end - start)
        text = os.pread(self.fd, size, end - size).decode("utf-8", "replace") if size else ""
        return text, end - start > limit
