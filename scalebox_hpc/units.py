"""Quantities as people write them: `90s`, `2h`, `500M`, `16G`. Read and written at the edges only.

Units are always written and never implied. Sizes are powers of 1024. Text is rounded to the
safe side: a duration for Slurm up, a memory request up.
"""

from __future__ import annotations

import math
import re
from typing import Final

SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
BYTES: Final = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGT])(?:i?B)?")


def duration_s(text: str) -> float:
    """Read a duration, in seconds. Raises ValueError with a remedy.

    >>> duration_s("90s"), duration_s("1h30m"), duration_s("1.5h")
    (90.0, 5400.0, 5400.0)
    """
    if not _DURATION.fullmatch(text):
        raise ValueError(
            f"{text!r} is not a duration; write a number and a unit: '30s', '10m', '2h', '1h30m'"
        )
    return sum(float(number) * SECONDS[unit] for number, unit in _DURATION_PART.findall(text))


def size_bytes(text: str) -> int:
    """Read a size, in bytes, rounded up. Raises ValueError with a remedy.

    >>> size_bytes("64K"), size_bytes("1.5G")
    (65536, 1610612736)
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a size; write a number and a unit: '500M', '16G' (powers of 1024)")
    return math.ceil(float(match[1]) * BYTES[match[2]])


def size_mib(text: str) -> int:
    """Read a size, in MiB, rounded up.

    >>> size_mib("500M"), size_mib("100K")
    (500, 1)
    """
    return math.ceil(size_bytes(text) / (1 << 20))


def show_duration(seconds: float) -> str:
    """Write a duration for people, in at most two units.

    >>> show_duration(5400), show_duration(42.3), show_duration(0.25), show_duration(90061)
    ('1h30m', '42s', '0.25s', '1d1h')
    """
    if seconds < 10:
        return f"{seconds:.2g}s"
    units = [(86400, "d"), (3600, "h"), (60, "m"), (1, "s")]
    left = round(seconds)
    parts: list[str] = []
    for size, unit in units:
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count}{unit}" if count else "")
        if len(parts) == 2:
            break
    return "".join(parts)


def show_size(count: float) -> str:
    """Write a size for people, in bytes.

    >>> show_size(512), show_size(1536), show_size(3 << 30)
    ('512B', '1.5K', '3.0G')
    """
    for unit, size in reversed(BYTES.items()):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return f"{count:.0f}B"


def show_count(number: int, one: str, many: str = "") -> str:
    """A number with its noun.

    >>> show_count(1, "task"), show_count(2, "task")
    ('1 task', '2 tasks')
    """
    return f"{number} {one if number == 1 else many or one + 's'}"
