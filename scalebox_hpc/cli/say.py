r"""Put text and JSON on stdout, remarks on stderr; colours only on a terminal.

All that a command prints goes through here, for much of it was written by others: bodies, notes, file
names, Slurm's words. Nothing of it may steer the terminal, so characters that could are shown as `\x1b`.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from scalebox_hpc.report.text import harmless

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


def to_terminal() -> bool:
    """Whether a person sees stdout as it is written."""
    return sys.stdout.isatty()


def width() -> int:
    """How many columns a line on stdout may take."""
    return shutil.get_terminal_size().columns if to_terminal() else UNCLIPPED


def now_us() -> int:
    """The moment, for showing ages; nothing is decided by it."""
    return time.time_ns() // 1000


def text(it: str, nl: bool = True) -> None:
    """Print text for people."""
    print(harmless(it), end="\n" if nl else "", flush=True)


def lines(them: Iterable[Line]) -> None:
    """Print lines in the colours of their kinds."""
    import typer

    for line in them:
        shown = harmless(line.text)
        typer.echo(typer.style(shown, **COLOURS.get(line.style, {})) if shown else "")


def exactly(data: bytes) -> None:
    """Write bytes as they are: for files, pipes, and who asked for it."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def json_object(value: Any) -> None:
    """Print one JSON object on one line."""
    json_text(value)
    print(flush=True)


def json_text(value: Any) -> None:
    """Print a part of JSON; on a terminal what could steer it is escaped, which means the same."""
    written = json.dumps(value, ensure_ascii=False)
    if to_terminal() and not written.isprintable():
        written = json.dumps(value)
    print(written, end="", flush=True)


def remark(it: str) -> None:
    """Print what is not the answer: on stderr."""
    print(harmless(it), file=sys.stderr, flush=True)


def show_cursor() -> None:
    """Undo what a view cut short by a signal leaves behind."""
    if to_terminal():
        print("\x1b[?25h", end="", flush=True)
