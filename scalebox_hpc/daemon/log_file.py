"""Reads the daemon's log back: its last events, and those that come. How it is written is in `log`."""

from __future__ import annotations

import json
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scalebox_hpc.daemon.log import FOREIGN, INDENT, OLD_FILES

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOOK_S: Final = 0.5

_HEAD: Final = re.compile(rf"(\S+) ({'|'.join(LEVELS)}) ([a-z][a-z0-9_.]*)(?: (.*))?")
_FIELD: Final = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|\S*)')


@dataclass(slots=True)
class Entry:
    """A line of the log, read back."""

    time: str
    level: str
    event: str
    fields: dict[str, str]
    more: list[str] = field(default_factory=list)  # the lines of a traceback


def entries(lines: Iterable[str]) -> Iterator[Entry]:
    """Read lines back. What is no event, such as the rest of a torn line, becomes one of its own kind."""
    last: Entry | None = None
    for text in (each.rstrip("\n") for each in lines):
        if last is not None and text.startswith(INDENT):
            last.more.append(text.removeprefix(INDENT))
            continue
        if last is not None:
            yield last
        last = _entry(text) if text else None
    if last is not None:
        yield last


def _entry(text: str) -> Entry:
    head = _HEAD.fullmatch(text)
    if head is None:
        return Entry("", LEVELS[1], FOREIGN, {"said": text})
    time_text, level, event, rest = head.groups(default="")
    return Entry(time_text, level, event, {key: _read(value) for key, value in _FIELD.findall(rest)})


def _read(value: str) -> str:
    try:
        return str(json.loads(value)) if value.startswith('"') else value
    except ValueError:
        return value


def last(path: Path, count: int, least: str) -> list[Entry]:
    """The last events of at least a level, the older files of the log included."""
    found: deque[Entry] = deque(maxlen=count)
    for number in range(OLD_FILES, -1, -1):
        file = path.with_name(f"{path.name}.{number}") if number else path
        try:
            with file.open(encoding="utf-8", errors="replace", newline="\n") as lines:
                found.extend(entry for entry in entries(lines) if is_at_least(entry, least))
        except FileNotFoundError:
            continue
    return list(found)


def is_at_least(entry: Entry, least: str) -> bool:
    """Whether an event is of that level or a graver one."""
    return LEVELS.index(entry.level) >= LEVELS.index(least)


def follow(path: Path, nap: Callable[[float], object]) -> Iterator[list[Entry]]:
    """What is written from now on, some at a time; it goes on over rotations and never ends.

    `nap` waits that many seconds. An event and its traceback are written, and so come, together.
    """
    offset = path.stat().st_size if path.exists() else 0
    while True:
        try:
            file = path.open("rb")
        except FileNotFoundError:
            nap(LOOK_S)
            continue
        with file:
            file.seek(offset)
            while True:
                moved = not _is_still(path, file.fileno())
                text = file.read()
                whole = text[: text.rfind(b"\n") + 1]
                file.seek(len(whole) - len(text), os.SEEK_CUR)
                if whole:
                    yield list(entries(whole.decode(errors="replace").split("\n")))
                if moved:
                    break
                nap(LOOK_S)
        offset = 0


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether a file that is open is still the one of that name."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(descriptor))
