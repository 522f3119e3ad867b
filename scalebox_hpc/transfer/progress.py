"""How far a transfer is, told to whoever watches: a `progress.json` for the agent, a bar for people."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FILE: Final = "progress.json"
_EVERY_S: Final = 1.0
_MEMORY_S: Final = 10.0  # the rate is that of the last seconds


@dataclass(frozen=True, slots=True)
class Progress:
    """Bytes there, bytes in all, bytes a second."""

    done: int
    total: int
    rate: int


class Watch:
    """Adds up what the pieces of a transfer report. Any thread may call it."""

    def __init__(self, tell: Callable[[Progress], None] | None = None) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._pieces: dict[str, int] = {}
        self._total = 0
        self._told_s = float("-inf")
        self._seen: list[tuple[float, int]] = []
        self.heard = 0  # grows with each report that brought something new: a sign of life

    def expect(self, total_bytes: int) -> None:
        """So much more is to come."""
        with self._lock:
            self._total += total_bytes

    def report(self, piece: str, done_bytes: int) -> None:
        """A piece has so many bytes at its target now."""
        now_s = time.monotonic()
        with self._lock:
            if done_bytes > self._pieces.get(piece, 0):
                self.heard += 1
            self._pieces[piece] = done_bytes
            if now_s < self._told_s + _EVERY_S:
                return
            self._told_s = now_s
            progress = self._now(now_s)
        if self._tell is not None:
            self._tell(progress)

    def end(self) -> None:
        """Tell the last state, whatever was told before."""
        with self._lock:
            progress = self._now(time.monotonic())
        if self._tell is not None:
            self._tell(progress)

    def _now(self, now_s: float) -> Progress:
        done = sum(self._pieces.values())
        self._seen = [*(each for each in self._seen if each[0] > now_s - _MEMORY_S), (now_s, done)]
        (first_s, first), (last_s, last) = self._seen[0], self._seen[-1]
        rate = round((last - first) / (last_s - first_s)) if last_s > first_s else 0
        return Progress(done, max(self._total, done), max(rate, 0))


def to_file(directory: Path) -> Callable[[Progress], None]:
    """Tell by a file that is replaced as a whole."""

    def tell(progress: Progress) -> None:
        told = {"done": progress.done, "total": progress.total, "rate": progress.rate}
        temporary = directory / f".{FILE}"
        try:
            temporary.write_text(json.dumps(told))
            os.replace(temporary, directory / FILE)
        except OSError:
            pass  # a full scratch disk must not end the transfer

    return tell
