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
        self._at_line_start = True
        self._start = os.lseek(self.fd, 0, os.SEEK_END)

    def begin(self, frame: bytes) -> None:
        """Write the frame of an attempt; its output starts behind it."""
        written = os.write(self.fd, frame if self._at_line_start else b"\n" + frame)
        self._start += written

    def end(self, limit: int) -> tuple[int, int, str, bool]:
        """Return the output's start and end, its last `limit` bytes, and whether more stands before them."""
        start, end = self._start, os.lseek(self.fd, 0, os.SEEK_END)
        if end == start:
            self._at_line_start = True
            return start, end, "", False
        if end < start:
            start = 0  # the program opened /dev/stdout anew and so emptied the file
        size = min(limit, end - start)
        tail = os.pread(self.fd, max(size, 1), end - max(size, 1))
        self._at_line_start = tail.endswith(b"\n")
        self._start = end
        text = tail[-size:].decode("utf-8", "replace") if size else ""
        return start, end, text, end - start > limit
