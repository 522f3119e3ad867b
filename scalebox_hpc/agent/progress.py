"""How far running tasks are by their own word: `progress.json` in their work directories.

One stat a task every few seconds where nothing has changed. Nothing that a program writes there, or puts
in the file's place, raises, blocks, or leads us to another file.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from typing import Any, NamedTuple

from scalebox_hpc.agent.attempt import Attempt
from scalebox_hpc.agent.lease import Told
from scalebox_hpc.agent.messages import REFUSALS

FILE = "progress.json"
EVERY_S = 2.0  # between two looks
YOUNG_S = 1.0  # no look at a task before: what is short has no time for that
FILE_BYTES = 4096
MOST = 10**18  # of any number: what a daemon takes
UNIT_MOST = 16  # characters
FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
INF = float("inf")

Mark = tuple[int, int, int]


class _Seen(NamedTuple):
    """What was there at the last look, and from when on the rate is counted where the file says none."""

    mark: Mark
    since: float
    since_done: float


class Watch:
    """Looks at what runs, all of it at once."""

    def __init__(self, attempts: Mapping[str, Attempt]) -> None:
        """`attempts` are those with a process, by lease, at any time."""
        self._attempts = attempts
        self._seen: dict[str, _Seen] = {}
        self._at = 0.0

    def wake_at(self) -> float:
        """Return when `look` has something to do."""
        return self._at if self._attempts else INF

    def look(self, now: float) -> bool:
        """Note with each lease how far it says it is, when a look is due; tell whether that is news."""
        if now < self._at:
            return False
        self._at = now + EVERY_S
        before, self._seen = self._seen, {}
        is_news = False
        for lease, attempt in self._attempts.items():
            tree = attempt.slot.tree
            if tree is None or now - attempt.held.started_at < YOUNG_S:
                continue
            seen = before.get(lease)
            found = read(tree.fd, None if seen is None else seen.mark)
            if found is not None:
                mark, told = found
                seen = _Seen(mark, now, told.done) if seen is None else seen._replace(mark=mark)
                attempt.held.progress = _with_rate(told, seen, now)
                is_news = True
            if seen is not None:
                self._seen[lease] = seen
        return is_news


def read(directory: int, known: Mark | None = None) -> tuple[Mark, Told] | None:
    """Return what the file in an open directory says, and its mark; None for nothing, or for nothing new."""
    try:
        state = os.stat(FILE, dir_fd=directory, follow_symlinks=False)
        mark = (state.st_ino, state.st_mtime_ns, state.st_size)
        if mark == known or not stat.S_ISREG(state.st_mode) or state.st_size > FILE_BYTES:
            return None
        fd = os.open(FILE, FLAGS, dir_fd=directory)
        try:  # it may be another one by now
            content = os.read(fd, FILE_BYTES) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
        finally:
            os.close(fd)
        said = json.loads(content)
    except (OSError, *REFUSALS):
        return None
    told = _told(said)
    return None if told is None else (mark, told)


def _told(said: Any) -> Told | None:
    if not isinstance(said, dict):
        return None
    told = Told(said.get("done", -1), said.get("total") or 0, said.get("rate") or 0, said.get("unit") or "")
    numbers, unit = told[:3], told.unit
    if not all(type(number) in (int, float) and 0 <= number <= MOST for number in numbers):
        return None
    return told if isinstance(unit, str) and len(unit) <= UNIT_MOST and unit.isprintable() else None


def _with_rate(told: Told, seen: _Seen, now: float) -> Told:
    """Return it with the mean rate since the first look, where it says none."""
    if told.rate or now <= seen.since:
        return told
    return told._replace(rate=max(0.0, (told.done - seen.since_done) / (now - seen.since)))
