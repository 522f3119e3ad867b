"""Put text and JSON on stdout, remarks on stderr; colours only on a terminal."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from scalebox_hpc.report.text import Line

UNCLIPPED = 1 << 20
"""The width of what is no terminal: nothing is cut off for a pipe or a file."""

COLOURS: dict[str, dict[str, Any]] = {
    "title": {"bold": True},
    "good": {"fg": "green", "bold": True},
    "bad": {"fg": "red"},
    "dim": {"dim": True},
}


def width() -> int:
    """How many columns a line on stdout may take."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else UNCLIPPED


def now_us() -> int:
    """The moment, for showing ages; nothing is decided by it."""
    return time.time_ns() // 1000


def lines(them: Iterable[Line]) -> None:
    """Print lines in the colours of their kinds."""
    for line in them:
        typer.echo(typer.style(line.text, **COLOURS.get(line.style, {})) if line.text else "")


def json_object(value: Any) -> None:
    """Print one JSON object on one line."""
    typer.echo(json.dumps(value, ensure_ascii=False))


def remark(text: str) -> None:
    """Print what is not the answer: on stderr."""
    typer.echo(text, err=True)
