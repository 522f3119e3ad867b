"""Prints figures: a title, rows of words, aligned. It computes medians and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median


def show(title: str, rows: Sequence[Sequence[str]], *notes: str) -> None:
    """Print a table with a title; the first row is its head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print(f"\n{title}")
    for row in rows:
        first, *rest = (
            word.ljust(width) if i == 0 else word.rjust(width)
            for i, (word, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  " + "  ".join([first, *rest]).rstrip())
    for note in notes:
        print(f"  {note}")


def spread(values: Sequence[float], form: str = ".0f") -> str:
    """The median, and the least and most of several."""
    middle = format(median(values), form)
    return f"{middle} ({min(values):{form}} to {max(values):{form}})" if len(values) > 1 else middle


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """What ours is of theirs, round by round."""
    return [mine / other for mine, other in zip(ours, theirs, strict=True)]
