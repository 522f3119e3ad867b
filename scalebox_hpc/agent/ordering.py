"""Puts the members of a gather task in order, in memory that does not grow with their number.

What is more than a batch waits, sorted, in a nameless file on scratch. It asks nobody for members.
"""

from __future__ import annotations

import heapq
import json
import marshal
import math
import os
import re
from collections.abc import Iterable, Iterator
from typing import IO, Any

BATCH = 2 << 20  # of members that are sorted in memory; it takes about 6 MiB, and 40 ms to put them by
BLOCK = 1 << 14  # of members that are read back at once, of each sorted batch
WEIGHT = 100  # of a member, beside the characters that it has
FORMAT = 2  # of marshal: the newest without back references, which cost more than they save
ORDER = re.compile(r'"sbx_order": "([^"\\]*)"')  # in headers as the ledger has them; no value looks like it

Row = list[Any]
"""[id, position, sender's task, body, headers written, headers inherited], headers as JSON or None."""

Member = tuple[int, float, str, str, str, int, int, int, str]
"""Rank, value and text of `sbx_order`; body; sender's module and number; position; id; headers as JSON.

Members compare as they are ordered; the id makes them differ before it comes to the headers.
"""


class Sorter:
    """Takes members in any order and gives them back in theirs."""

    def __init__(self, directory: str) -> None:
        """`directory` has room for what does not fit in memory."""
        self._directory = directory
        self._batch: list[Member] = []
        self._size = 0
        self._file: IO[bytes] | None = None
        self._runs: list[list[tuple[int, int]]] = []  # of each: where its blocks begin and how long they are

    def add(self, rows: Iterable[Row]) -> None:
        """Take a page of members. Raises OSError."""
        page, size = members(rows)
        page.sort()  # so that sorting the batch is but merging
        self._batch += page
        self._size += size
        if self._size >= BATCH:
            self._put_by()

    def members(self) -> Iterator[Member]:
        """Yield all members in order. Raises OSError."""
        self._batch.sort()
        if not self._runs:
            return iter(self._batch)
        return heapq.merge(*(self._read(run) for run in self._runs), self._batch)

    def close(self) -> None:
        """Give the file back."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _put_by(self) -> None:
        """Write the batch, sorted, to the file."""
        if self._file is None:
            self._file = _nameless(self._directory)
        self._batch.sort()
        run, at = [], os.fstat(self._file.fileno()).st_size
        step = max(1, len(self._batch) * BLOCK // self._size)
        for first in range(0, len(self._batch), step):
            data = marshal.dumps(self._batch[first : first + step], FORMAT)
            self._file.write(data)
            run.append((at, len(data)))
            at += len(data)
        self._file.flush()
        self._runs.append(run)
        self._batch, self._size = [], 0

    def _read(self, run: list[tuple[int, int]]) -> Iterator[Member]:
        assert self._file is not None
        for at, length in run:
            yield from marshal.loads(os.pread(self._file.fileno(), length, at))


def _nameless(directory: str) -> IO[bytes]:
    """Return a file that is gone when it is closed. Raises OSError."""
    path = os.path.join(directory, "unsorted")
    file = open(path, "xb+")  # noqa: SIM115 (closed by `close`)
    os.unlink(path)
    return file


def members(rows: Iterable[Row]) -> tuple[list[Member], int]:
    """Make of rows what is ordered and written, and tell what they weigh."""
    made: list[Member] = []
    size, last, module, n = 0, "", "", 0
    for number, position, task, body, written, inherited in rows:
        if task != last:  # most come with others of their sender
            last = task
            module, _, digits = task.rpartition(".")
            n = int(digits or 0)
        headers = joined(written, inherited)
        if written is None or "sbx_order" not in written:
            made.append((2, 0, "", body, module, n, position, number, headers))
        else:
            kind, value, text = rank(_order(written))
            made.append((kind, value, text, body, module, n, position, number, headers))
        size += WEIGHT + len(body) + len(headers)
    return made, size


def _order(written: str) -> str | None:
    """Return the header `sbx_order`."""
    found = ORDER.search(written)
    return found[1] if found is not None else json.loads(written).get("sbx_order")


def rank(text: str | None) -> tuple[int, float, str]:
    """Return how `sbx_order` orders: numbers by value, then texts, then those without."""
    if text is None:
        return (2, 0, "")
    try:
        return (0, int(text), "")
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        return (1, 0, text)
    return (0, value, "") if math.isfinite(value) else (1, 0, text)


def joined(written: str | None, inherited: str | None) -> str:
    """Return all headers as JSON: what the sender wrote, over what it inherited; these begin with `_`."""
    if inherited is None:
        return written or "{}"
    if written is None:
        return inherited
    if '"_' not in written:
        return f"{inherited[:-1]}, {written[1:]}"
    return json.dumps({**json.loads(inherited), **json.loads(written)}, ensure_ascii=False)
