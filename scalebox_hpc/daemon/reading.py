"""What the daemon reads of what agents wrote: spools, and pieces of logs, wherever these are."""

from __future__ import annotations

import codecs
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scalebox_hpc.relay.folder import Frame
from scalebox_hpc.sites.depot import Depot


@dataclass(frozen=True, slots=True)
class LogPiece:
    """A piece of what an attempt printed that somebody asks for."""

    attempt: int
    place: tuple[str, int, int | None] | None  # its segment, where it begins there and where it ends
    frame: Frame | None  # by which the place is found, of an attempt under way
    offset: int
    limit: int
    encoding: str
    over: bool  # what has no place wrote nothing that was kept


def read_piece(depot: Depot, asked: LogPiece) -> Mapping[str, Any]:
    """Read it, for an answer. Raises OSError and what a Depot raises."""
    place = asked.place
    if place is None and asked.frame is not None and (found := depot.find_frame(asked.frame)) is not None:
        place = (*found, None)
    if place is None:
        nothing = {"text": "", "offset": asked.offset, "end": asked.offset, "done": asked.over, "path": ""}
        return {"attempt": asked.attempt, **nothing}
    path, start, end = place
    begin = start + asked.offset
    most = asked.limit if end is None else max(0, min(asked.limit, end - begin))
    data = depot.read_log(path, begin, most)
    done = end is not None and (begin + len(data) >= end or not data)
    text, length = _whole_characters(data, asked.encoding, last=done)
    return {
        "attempt": asked.attempt,
        "text": text,
        "offset": asked.offset,
        "end": asked.offset + length,
        "done": done,
        "path": path,
    }


def _whole_characters(data: bytes, encoding: str, *, last: bool) -> tuple[str, int]:
    """Decode a piece; a character that it cuts is left for the next, unless there is none."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    text = decoder.decode(data, final=last)
    return text, len(data) - len(decoder.getstate()[0])


def rss_mib() -> float:
    """The memory of this process, in MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20), 1)
