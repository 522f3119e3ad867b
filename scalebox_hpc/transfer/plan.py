"""What has to be moved, in which pieces, and which side runs rsync. Pure: it asks nobody."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Final, TypeVar

from scalebox_hpc.transfer.place import Place
from scalebox_hpc.transfer.rsync import Mode

LARGE_BYTES: Final = 64 << 20  # from here on a file is moved alone, and goes on where it broke off
SHARD_FILES: Final = 20_000
SHARD_BYTES: Final = 1 << 30
_A_FILE_BYTES: Final = 64 << 10  # what a file costs beside its bytes, as bytes
_DELTA_LEAST_BYTES: Final = 1 << 20
FAR_S: Final = 0.01  # there and back
_WORK_BYTES: Final = 1 << 30
_WORK_FILES: Final = 50_000
PARCEL_FILE_BYTES: Final = 64 << 10
_AT_ONCE: Final = 5000  # files of one question
_NS: Final = 1_000_000_000


T = TypeVar("T")


class Way(StrEnum):
    """Which side runs rsync, and what is between the two."""

    HERE = "here"  # both places are on this machine
    PUSH = "push"  # from here to a site
    PULL = "pull"  # from a site to here
    WITHIN = "within"  # both at one site, which runs rsync
    THROUGH = "through"  # from one site to another through this machine, with nothing kept on it


def way(source: str, target: str) -> Way:
    """The way between two sites; "" is this machine."""
    if source == target:
        return Way.WITHIN if source else Way.HERE
    if not source:
        return Way.PUSH
    return Way.PULL if not target else Way.THROUGH


@dataclass(frozen=True, slots=True)
class Entry:
    """What lies at a place."""

    name: str  # relative to the place that was looked at; "" for that place itself
    kind: str  # "f" file, "d" directory, "l" link, "o" anything else
    size_bytes: int
    mtime_ns: int
    mode: int

    def is_same(self, other: Entry | None) -> bool:
        """Whether rsync would not look into it: kind, size and time agree."""
        if other is None or self.kind != other.kind:
            return False
        return self.kind == "d" or (
            self.size_bytes == other.size_bytes and same_time(self.mtime_ns, other.mtime_ns)
        )


def entry(name: str, shown: Sequence[Any]) -> Entry:
    """An entry from what `end.look` says of a path."""
    return Entry(name, *shown)


def same_time(one_ns: int, other_ns: int) -> bool:
    """Whether two times are one, on file systems of which one may keep whole seconds only."""
    if one_ns // _NS != other_ns // _NS:
        return False
    return one_ns == other_ns or 0 in (one_ns % _NS, other_ns % _NS)


@dataclass(frozen=True, slots=True)
class Difference:
    """What the target lacks."""

    large: tuple[Entry, ...]  # files to be moved alone
    small: tuple[Entry, ...]  # files and links
    directories: tuple[Entry, ...]  # to be made
    undressed: tuple[Entry, ...]  # files that are there with another mode, and directories that are not
    settled: tuple[Entry, ...]  # directories that are there, with this mode and time
    unchanged: tuple[Entry, ...]  # files and links that are there
    skipped: tuple[Entry, ...]  # devices, sockets, pipes
    barred: tuple[Entry, ...]  # a directory where the target has something else, and the other way round


def difference(source: Iterable[Entry], target: Mapping[str, Entry]) -> Difference:
    """Compare a tree with what is at its target, by kind, size and time."""
    lists: dict[str, list[Entry]] = {field.name: [] for field in fields(Difference)}
    for each in source:
        there = target.get(each.name)
        if each.kind == "o":
            lists["skipped"].append(each)
        elif there is not None and (each.kind == "d") != (there.kind == "d"):
            lists["barred"].append(each)
        elif each.kind == "d":
            if there is None:
                lists["directories"].append(each)
            is_dressed = (
                there is not None and each.mode == there.mode and same_time(each.mtime_ns, there.mtime_ns)
            )
            lists["settled" if is_dressed else "undressed"].append(each)
        elif each.is_same(there):
            lists["unchanged"].append(each)
            if there is not None and each.kind == "f" and each.mode != there.mode:
                lists["undressed"].append(each)
        else:
            is_large = each.kind == "f" and each.size_bytes >= LARGE_BYTES
            lists["large" if is_large else "small"].append(each)
    return Difference(**{key: tuple(found) for key, found in lists.items()})


def shards(files: Sequence[Entry], streams: int) -> list[tuple[Entry, ...]]:
    """Split files into parts of like weight, at least one a stream; in each they keep their order.

    A part is bounded, so that what a broken link repeats, and what is verified at once, is too.
    """
    if not files:
        return []
    total = sum(each.size_bytes for each in files)
    count = max(streams, -(-len(files) // SHARD_FILES), -(-total // SHARD_BYTES))
    count = min(count, len(files))
    heap = [(0, index) for index in range(count)]
    parts: list[list[int]] = [[] for _ in range(count)]
    by_weight = sorted(range(len(files)), key=lambda index: files[index].size_bytes, reverse=True)
    for index in by_weight:
        weight, lightest = heap[0]
        parts[lightest].append(index)
        heapq.heapreplace(heap, (weight + files[index].size_bytes + _A_FILE_BYTES, lightest))
    return [tuple(files[index] for index in sorted(part)) for part in parts]


def streams_for(size_bytes: int, files: int, delay_s: float, most: int) -> int:
    """How many streams at once: all over a link that is far away, else as many as there is work for.

    On a fast and near link one stream is limited by processors, and so are several.
    """
    if delay_s >= FAR_S:
        return max(1, min(most, files))
    return max(1, min(most, 1 + size_bytes // _WORK_BYTES + files // _WORK_FILES))


def mode_for(new: Entry, old: Entry | None, path_way: Way) -> Mode:
    """How a file goes over that is moved alone; differences pay over a link, and where much may be alike."""
    if path_way in (Way.HERE, Way.WITHIN) or old is None or old.kind != "f":
        return Mode.APPEND
    if new.size_bytes < _DELTA_LEAST_BYTES or not new.size_bytes <= 2 * old.size_bytes <= 4 * new.size_bytes:
        return Mode.APPEND
    return Mode.DELTA


def folder(source: Place, target: Place, names: Sequence[str] = ()) -> str:
    """The name of the directory, beside or in the target, for what is on its way between these two places.

    Transfers of other files of the same directory, which may run at once, have another.
    """
    return ".sbx-" + _short("\0".join([str(source), str(target), *names]))


def version(new: Entry, mode: Mode) -> str:
    """The name of a temporary file: the same transfer finds it again, that of another version does not."""
    begun = "delta" if mode is Mode.DELTA else "whole"
    return f"{begun}-{_short(f'{new.size_bytes} {new.mtime_ns}')}"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def algorithm(source: Sequence[str], target: Sequence[str], wished: str = "") -> str:
    """The fastest checksum that both ends compute; what the message's own checksum is of wins."""
    if wished in source and wished in target:
        return wished
    return next(name for name in (*source, "sha256") if name in target)


def pays_to_compress(limit_mib_s: float | None, delay_s: float) -> bool:
    """Whether the link is likely slower than zstd: it is limited, or far away."""
    return limit_mib_s is not None or delay_s >= FAR_S


def batches(entries: Sequence[T]) -> Iterator[Sequence[T]]:
    """Parts that are not too many for one question."""
    for start in range(0, len(entries), _AT_ONCE):
        yield entries[start : start + _AT_ONCE]
