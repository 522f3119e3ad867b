"""How much goes into one message of many files, or into one archive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scalebox_hpc.errors import UsageError
from scalebox_hpc.transfer.plan import Entry
from scalebox_hpc.transfer.task import Task
from scalebox_hpc.units import size_bytes

_USUAL_FILES: Final = 10_000
_USUAL_BYTES: Final = 1 << 30
_REMEDY: Final = 'write FILES = "10000", SIZE = "1G"'


@dataclass(frozen=True, slots=True)
class Sizes:
    """The most of one part."""

    files: int = _USUAL_FILES
    bytes: int = _USUAL_BYTES  # a file that is larger is a part by itself


def read_sizes(task: Task) -> Sizes:
    """What FILES and SIZE say. Raises UsageError."""
    files, size = task.text("FILES"), task.text("SIZE")
    try:
        sizes = Sizes(int(files or _USUAL_FILES), size_bytes(size) if size else _USUAL_BYTES)
    except ValueError as error:
        raise UsageError(f"FILES or SIZE: {error}", _REMEDY) from error
    if sizes.files < 1 or sizes.bytes < 1:
        raise UsageError("FILES and SIZE are more than 0", _REMEDY)
    return sizes


def cut(entries: Sequence[Entry], sizes: Sizes) -> list[list[Entry]]:
    """Cut files, in their order, into parts of about the same size and count, none above `sizes`."""
    total = sum(each.size_bytes for each in entries)
    count = max(-(-len(entries) // sizes.files), -(-total // sizes.bytes), 1)
    even_files, even_bytes = -(-len(entries) // count), -(-total // count)
    parts: list[list[Entry]] = []
    held = 0
    for each in entries:
        is_full = not parts or len(parts[-1]) >= even_files or held >= even_bytes > 0
        if is_full or held + each.size_bytes > sizes.bytes:
            parts.append([])
            held = 0
        parts[-1].append(each)
        held += each.size_bytes
    return parts
