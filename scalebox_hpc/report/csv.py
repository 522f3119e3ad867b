"""Write the attempts of a run as CSV, one row each, while they arrive.

It formats and never filters: rows come in the order of recording. A NUL, which most readers
take for the end of the text, is written as the four characters `\\x00`; everything else,
newlines and quotes included, is quoted and survives as it is.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import IO, Final, Protocol

from scalebox_hpc.client import Attempt
from scalebox_hpc.errors import EnvironmentProblem, StorageFull

TIMES: Final = (
    "created", "ready", "leased", "received", "setup", "check", "container", "started", "ended",
    "collected", "reported", "recorded",
)  # fmt: skip
"""When an attempt passed its stations, in order; `<name>_us` in the daemon's answers."""

SPANS: Final = {
    "queue_s": ("ready", "leased"),
    "wait_s": ("leased", "started"),
    "run_s": ("started", "ended"),
}

COLUMNS: Final = (
    "run", "module", "task", "attempt", "key", "body", "headers", "outcome", "cause", "exit_code", "signal",
    "site", "host", "slot", "allocation", "job_id", "element", "lease",
    *TIMES, *SPANS,
    "cpu_user_s", "cpu_system_s", "max_rss_mib", "input_bytes", "output_bytes", "messages_sent", "sent_to",
    "user_text", "user_timestamps", "image", "stdout", "stderr", "stdout_cut", "stderr_cut",
)  # fmt: skip


class Sink(Protocol):
    """Takes text, as a stream does."""

    def write(self, text: str, /) -> object: ...


def write(attempts: Iterable[Attempt], stream: Sink) -> int:
    """Write the header and a row per attempt; return how many rows there were.

    `stream` must not translate newlines; rows end in LF.
    """
    stream.write(",".join(COLUMNS) + "\n")
    rows = 0
    for rows, attempt in enumerate(attempts, start=1):  # noqa: B007
        stream.write(",".join([cell(attempt) for cell in _CELLS]) + "\n")
    return rows


def write_file(attempts: Iterable[Attempt], target: Path) -> int:
    """Write to a temporary name beside `target`, then rename: the file is whole or not there.

    What is no regular file (a pipe, /dev/null) is written to as it is. Raises StorageFull and
    EnvironmentProblem.
    """
    try:
        with _whole_file(target) as stream:
            return write(attempts, stream)
    except OSError as error:
        kind = StorageFull if error.errno in (28, 122) else EnvironmentProblem
        raise kind(f"{target} cannot be written: {error.strerror or error}") from error


@contextmanager
def _whole_file(target: Path) -> Iterator[IO[str]]:
    if target.exists() and not target.is_file():
        with target.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
            yield stream
        return
    real = target.resolve()
    partial = real.with_name(f".{real.name}.{os.getpid()}.part")
    try:
        with partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
            yield stream
        partial.replace(real)
    finally:
        partial.unlink(missing_ok=True)


@lru_cache(maxsize=4096)
def _second(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def iso(at_us: int) -> str:
    """Write microseconds UTC as ISO 8601.

    >>> iso(1_700_000_000_000_001)
    '2023-11-14T22:13:20.000001Z'
    """
    at_s, rest = divmod(at_us, 1_000_000)
    return f"{_second(at_s)}.{rest:06d}Z"


_SPECIAL = re.compile('[",\n\r]')


def _quoted(text: str) -> str:
    """Quote where it is needed; a lone carriage return counts, which Python's own writer forgets."""
    if "\0" in text:
        text = text.replace("\0", "\\x00")
    return '"' + text.replace('"', '""') + '"' if _SPECIAL.search(text) else text


def _plain(name: str) -> Callable[[Attempt], str]:
    def cell(attempt: Attempt) -> str:
        match attempt.get(name):
            case None:
                return ""
            case str(text):
                return _quoted(text)
            case bool(yes):
                return "true" if yes else "false"
            case float(number):
                return repr(round(number, 6))
            case dict() | list() as value:
                return _quoted(json.dumps(value, ensure_ascii=False))
            case value:
                return str(value)

    return cell


def _json(name: str) -> Callable[[Attempt], str]:
    def cell(attempt: Attempt) -> str:
        return _quoted(json.dumps(attempt.get(name) or {}, ensure_ascii=False))

    return cell


def _time(name: str) -> Callable[[Attempt], str]:
    key = f"{name}_us"

    def cell(attempt: Attempt) -> str:
        at_us = attempt.get(key)
        return "" if at_us is None else iso(at_us)

    return cell


def _span(begin: str, end: str) -> Callable[[Attempt], str]:
    begin, end = f"{begin}_us", f"{end}_us"

    def cell(attempt: Attempt) -> str:
        begin_us, end_us = attempt.get(begin), attempt.get(end)
        return "" if begin_us is None or end_us is None else f"{(end_us - begin_us) / 1e6:.6f}"

    return cell


def _cell(name: str) -> Callable[[Attempt], str]:
    if name in TIMES:
        return _time(name)
    if name in SPANS:
        return _span(*SPANS[name])
    return _json(name) if name in ("headers", "user_timestamps") else _plain(name)


_CELLS: Final = tuple(_cell(name) for name in COLUMNS)
