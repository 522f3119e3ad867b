"""Segment files: what the tasks of one slot print, each attempt framed by one line.

Programs write to them directly; we only mark where an attempt begins and ends and read tails back.
"""

from __future__ import annotations

import errno
import os
import time
from typing import Any

from scalebox_hpc.agent import disk

SUCCESS_TAIL = 2048  # bytes of the end that a report carries


class Frames:
    """The line before each attempt; the time of day is put into words once a second."""

    def __init__(self) -> None:
        self._second, self._time = 0, ""

    def frame(self, offer: dict[str, Any], lease: str, now_us: int) -> bytes:
        """Return the line of one attempt."""
        second = now_us // 1_000_000
        if second != self._second:
            self._second, self._time = second, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(second))
        return f"=== {offer['task']} attempt {offer['attempt']} {self._time} {lease}\n".encode()


class Segment:
    """One append-only file of one slot and one stream."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._start = self._end = os.lseek(self.fd, 0, os.SEEK_END)

    def begin(self, frame: bytes) -> None:
        """Write the frame of an attempt, on a line of its own; its output starts behind it.

        Raises OSError, naming the path, where the whole frame cannot be written.
        """
        try:
            if self._end > self._start and os.pread(self.fd, 1, self._end - 1) != b"\n":
                frame = b"\n" + frame
            written = os.write(self.fd, frame)
        except OSError as problem:
            raise disk.at(problem, self.path) from None
        if written < len(frame):
            self._end += written
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.path)
        self._start = self._end + written

    def end(self) -> tuple[int, int]:
        """Return where the output of the attempt starts and ends; empty where a disk does not say."""
        try:
            self._end = os.lseek(self.fd, 0, os.SEEK_END)
        except OSError:
            return self._start, self._start
        if self._end < self._start:
            self._start = 0  # the program opened /dev/stdout anew and so emptied the file
        return self._start, self._end

    def tail(self, start: int, end: int, limit: int) -> tuple[str, bool]:
        """Return the last `limit` bytes of an attempt's output, and whether more stands before them.

        None of it where the disk cannot be read; then all of it "stands before".
        """
        size = min(limit, end - start)
        try:
            text = os.pread(self.fd, size, end - size).decode("utf-8", "replace") if size else ""
        except OSError:
            return "", True
        return text, end - start > limit
