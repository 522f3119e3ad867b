"""The daemon's log: one line an event, UTC, private, never larger than a few files.

A line is time, level, the event's name and `key=value` for each of its fields, which a person and
a program can both read: `2026-03-01T12:00:00.000Z INFO run.running run=primes-7f3a`. A value with
blanks or the like is written as a JSON text. A traceback follows indented. No token and no message
body is ever written to it. A log that cannot be written disturbs nobody; it says later what it lost.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import FileIO, TextIOWrapper
from pathlib import Path
from typing import Any, Final

FILE_BYTES: Final = 8 << 20
OLD_FILES: Final = 3
VALUE_CHARACTERS: Final = 1000  # of one value; what is longer is cut
FOREIGN: Final = "python"  # the event of what a library says
LOST: Final = "log.lost"
INDENT: Final = "    "  # of a line that goes on with the one before

_PLAIN: Final = re.compile(r"[!#-<>-~]+")  # printable ASCII but for blank, quote and equals sign
_log = logging.getLogger("sbx")


def tell(event: str, level: int = logging.INFO, error: BaseException | None = None, **fields: Any) -> None:
    """Write an event with its fields, and the traceback of an error where one is given."""
    _log.log(level, event, exc_info=error, extra={"fields": fields})


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that a turn did, to be told once it is on disk."""

    event: str
    level: int = logging.INFO
    fields: Mapping[str, Any] = field(default_factory=dict)

    def tell(self) -> None:
        tell(self.event, self.level, **self.fields)


def line(time_text: str, level: str, event: str, fields: Mapping[str, Any]) -> str:
    """Write one line, without its end.

    >>> line("T", "INFO", "run.failed", {"run": "primes-7f3a", "note": 'he said "no"', "count": 3})
    'T INFO run.failed run=primes-7f3a note="he said \\\\"no\\\\"" count=3'
    """
    return " ".join([time_text, level, event, *(f"{key}={_value(each)}" for key, each in fields.items())])


def _value(value: Any) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    if len(text) > VALUE_CHARACTERS:
        text = f"{text[:VALUE_CHARACTERS]}…"
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=not text.isprintable())


class _OneLine(logging.Formatter):
    """An event as a line; what libraries say as the fields of an event of ours."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", None)
        event = record.msg if fields is not None else FOREIGN
        if fields is None:
            fields = {"logger": record.name, "said": record.getMessage()}
        text = line(self.formatTime(record), record.levelname, event, fields)
        if record.exc_info and record.exc_info[0] is not None:
            text += f"\n{self.formatException(record.exc_info)}".replace("\n", f"\n{INDENT}")
        return text


class _PrivateFile(logging.handlers.RotatingFileHandler):
    """A rotating file that only its owner may read, and that may fail."""

    _lost = 0  # lines that could not be written since the last that could

    def _open(self) -> TextIOWrapper:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self.baseFilename, flags, 0o600)
        raw = FileIO(descriptor, "a")  # nothing is kept back: what was not written is not tried again
        return TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)

    def emit(self, record: logging.LogRecord) -> None:
        lost = self._lost
        super().emit(record)
        if self._lost == lost:
            self._lost = 0

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if not self._lost:
            return text
        # The last line may have been cut short: this one begins anew.
        stamp = text.split(" ", 1)[0]
        return f"\n{line(stamp, 'WARNING', LOST, {'lines': self._lost})}\n{text}"

    def handleError(self, record: logging.LogRecord) -> None:
        self._lost += 1


def set_up(path: Path, level: int = logging.INFO) -> logging.Handler:
    """Send what this process logs to the file; returns the handler, for `take_down`."""
    handler = _PrivateFile(path, maxBytes=FILE_BYTES, backupCount=OLD_FILES, delay=True)
    handler.setFormatter(_OneLine())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level)
    for noisy in ("uvicorn", "uvicorn.error", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.ERROR)  # strangers must not be able to fill the log
    return handler


def begin_on_stderr() -> None:
    """Write what is grave as events to standard error, as long as no log is set up.

    A detached daemon has the log there: it may append to it before the home, and so the log, is its own.
    """
    if isinstance(logging.lastResort, logging.Handler):
        logging.lastResort.setFormatter(_OneLine())


def take_down(handler: logging.Handler) -> None:
    logging.getLogger().removeHandler(handler)
    handler.close()


def last_lines(path: Path, count: int = 10) -> str:
    """The end of a log, for an error message; empty where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16384))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-count:])
