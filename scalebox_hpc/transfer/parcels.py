"""Small files over the lines of the two ends, in parcels, where that beats a process of rsync.

What does not arrive right is left to rsync, which says why.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Any, Final

from scalebox_hpc.transfer.copy import Copied, Move
from scalebox_hpc.transfer.plan import FAR_S, PARCEL_FILE_BYTES, Entry, Way, same_time

_FILES: Final = 10_000
_BYTES: Final = 32 << 20


def by_parcels(
    move: Move, part: Sequence[Entry], title: str, temporary: str
) -> tuple[list[Copied], list[Entry]]:
    """Copy what may go so; return it, and what is left."""
    small = [each for each in part if each.kind == "f" and each.size_bytes <= PARCEL_FILE_BYTES]
    if not _pays(move) or not small:
        return [], list(part)
    libraries = [move.source.facts["libraries"], move.target.facts["libraries"]]
    algorithm = "xxh3" if all("xxh3" in each for each in libraries) else "sha256"
    copied: list[Copied] = []
    for parcel in parcels(small):
        copied += _carried(move, parcel, temporary, algorithm)
        move.watch.report(title, sum(each.size_bytes for each in copied))
    there = {each.name for each in copied}
    return copied, [each for each in part if each.name not in there]


def _pays(move: Move) -> bool:
    """Over a near link, and where nothing asks for what only rsync does."""
    is_plain = not move.link.compress and not move.link.is_limited
    return is_plain and move.delay_s < FAR_S and move.link.way in (Way.PUSH, Way.PULL, Way.THROUGH)


def parcels(files: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Parts of bounded count and size, in order."""
    parcel: list[Entry] = []
    weight = 0
    for each in files:
        if parcel and (len(parcel) == _FILES or weight + each.size_bytes > _BYTES):
            yield parcel
            parcel, weight = [], 0
        parcel.append(each)
        weight += each.size_bytes
    if parcel:
        yield parcel


def _carried(move: Move, parcel: Sequence[Entry], temporary: str, algorithm: str) -> list[Copied]:
    names = [each.name for each in parcel]
    files = [[each.name, each.size_bytes, each.mtime_ns, each.mode] for each in parcel]
    after: list[Any] = []

    def packed() -> Generator[bytes, None, None]:
        with closing(move.source.pack(algorithm, move.source_path, files)) as data:
            yield from data
        after[:] = move.source.ask("survey", move.source_path, names)  # while the last of it is unpacked

    def carried() -> list[str]:
        with closing(packed()) as data:
            return move.target.unpack(algorithm, move.target_path, temporary, files, data)

    checksums = move.patiently(carried)
    return [
        Copied(each.name, each.size_bytes, each.mtime_ns, f"{algorithm}:{checksum}")
        for each, checksum, now in zip(parcel, checksums, after, strict=True)
        if checksum
        and now
        and (now[0], now[1]) == ("f", each.size_bytes)
        and same_time(now[2], each.mtime_ns)
    ]
