"""How often one person submits to a site, over all homes: times in a file that daemons share.

What a centre bears is counted per person, however many homes there are. It is a courtesy and no
lock on anything: where the file cannot be used, each daemon still keeps to its own count.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Final

MINUTE_S: Final = 60.0


def user_state() -> Path:
    """Where programs keep what outlives them, per user and over all hosts that share the home directory."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "sbx"


class Pace:
    """The submissions of the last minute, per site."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, site: str, most: int, now_s: float) -> bool:
        """Note a submission at `now_s` (UTC seconds) unless there were `most` in the last minute already."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(self._folder / f"submissions-{site}.json", "a+", encoding="ascii") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                return _take(file.fileno(), most, now_s)
        except OSError:
            return True


def _take(fd: int, most: int, now_s: float) -> bool:
    times = [at_s for at_s in _read(fd) if now_s - MINUTE_S < at_s <= now_s + MINUTE_S]
    if len(times) >= most:
        return False
    os.ftruncate(fd, 0)
    os.write(fd, json.dumps([*times, now_s]).encode())
    return True


def _read(fd: int) -> list[float]:
    """The times on record; none where the file is new or was left half written."""
    try:
        found = json.loads(os.pread(fd, 1 << 16, 0) or b"[]")
    except ValueError:
        return []
    return [at_s for at_s in found if isinstance(at_s, int | float)] if isinstance(found, list) else []
