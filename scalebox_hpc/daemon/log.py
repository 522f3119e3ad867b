"""The daemon's log: one line an event, UTC, private, never larger than a few files.

No token and no message body is ever written to it.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import sys
import time
from io import TextIOWrapper
from pathlib import Path
from typing import Final

FILE_BYTES: Final = 8 << 20
OLD_FILES: Final = 3


class _OneLine(logging.Formatter):
    """Time, level, where, what; a traceback follows indented."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        record.exc_text = None  # a traceback that another handler has formatted its own way
        text = super().format(record)
        record.exc_text = None
        return text

    def formatMessage(self, record: logging.LogRecord) -> str:
        return super().formatMessage(record).replace("\r", "\\r").replace("\n", "\\n")

    def formatException(self, ei: object) -> str:
        return "    " + super().formatException(ei).replace("\n", "\n    ")  # type: ignore[arg-type]


class _PrivateFile(logging.handlers.RotatingFileHandler):
    """A rotating file that only its owner may read."""

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")

    def handleError(self, record: logging.LogRecord) -> None:
        """Drop a line for which there is no room: there is none for a word about it either."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


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
