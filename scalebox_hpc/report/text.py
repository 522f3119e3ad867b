"""Lines and tables of plain text for terminals and logs.

It knows widths and nothing of runs or tasks. What programs wrote is made harmless before it
is put in a line: a task's body must not move the cursor.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final


@dataclass(frozen=True, slots=True)
class Line:
    """One line, and what it is: "" | "title" | "good" | "bad" | "dim"."""

    text: str
    style: str = ""


_ODD: Final = re.compile(r"[^ -~]")


def printable(text: str) -> str:
    r"""The text on one line, control characters written out.

    >>> printable("a\tb\n\x1b[2J")
    'a b \\x1b[2J'
    """
    return _ODD.sub(lambda odd: " " if odd[0] in "\t\n\r" else _written_out(odd[0]), text)


def harmless(text: str) -> str:
    r"""The text with its lines and tabs; all else that could steer a terminal is written out.

    >>> harmless("a\tb\n\x1b[2J\u202e\r")
    'a\tb\n\\x1b[2J\\u202e\\r'
    """
    return _ODD.sub(lambda odd: odd[0] if odd[0] in "\t\n" else _written_out(odd[0]), text)


def _written_out(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode()


def cells(text: str) -> int:
    """How many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def clip(text: str, width: int) -> str:
    """The text made harmless and no wider than `width` columns.

    >>> clip("hundreds of things", 8)
    'hundred…'
    """
    text = printable(text)
    if cells(text) <= width:
        return text
    while cells(text) >= max(width, 1) and text:
        text = text[: max(0, min(len(text) - 1, width - 1))]
    return text + "…" if width > 0 else ""


def table(rows: Iterable[Sequence[str]], *, right: Sequence[int] = (), gap: str = "  ") -> list[str]:
    """Rows as lines with columns below each other; `right` lists the columns set to the right.

    >>> table([["a", "1"], ["bb", "10"]], right=[1])
    ['a    1', 'bb  10']
    """
    rows = [list(row) for row in rows]
    if not rows:
        return []
    widths = [max(cells(row[index]) for row in rows) for index in range(len(rows[0]))]
    return [gap.join(_padded(row, widths, right)).rstrip() for row in rows]


def _padded(row: Sequence[str], widths: Sequence[int], right: Sequence[int]) -> list[str]:
    columns = enumerate(zip(row, widths, strict=True))
    return [_pad(value, width, index in right) for index, (value, width) in columns]


def _pad(text: str, width: int, right: bool) -> str:
    space = " " * (width - cells(text))
    return space + text if right else text + space


def when(at_us: int | None) -> str:
    """A moment for people, in UTC; "-" for none.

    >>> when(1_700_000_000_000_000)
    '2023-11-14 22:13:20Z'
    """
    if at_us is None:
        return "-"
    return datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def rate(per_s: float) -> str:
    """A rate in the unit that shows it best; "" for none.

    >>> rate(120), rate(2.5), rate(0.05), rate(0)
    ('120/s', '2.5/s', '3/min', '')
    """
    if per_s <= 0:
        return ""
    for factor, unit in ((1, "s"), (60, "min"), (3600, "h")):
        if per_s * factor >= 1 or unit == "h":
            value = per_s * factor
            return f"{value:.0f}/{unit}" if value >= 100 else f"{value:.2g}/{unit}"
    raise AssertionError("the last unit takes everything")
