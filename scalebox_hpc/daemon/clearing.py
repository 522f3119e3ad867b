"""The files of runs that go, and old logs: found by name in the folders of this home, counted, deleted.

Nothing outside these folders is touched but a results directory, and that only under a run's own name.
What a path was when a run began does not count: a home may have been moved, or be a copy.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from scalebox_hpc.daemon.desk import Clear, Measure
from scalebox_hpc.daemon.leftovers import remove

OF_AGENTS: Final = ("logs", "spool", "ended")  # files there are called by their incarnation, then a dot


class Folders(NamedTuple):
    """Where the files of a home's runs may be."""

    home: Path
    shared: tuple[Path, ...]


def clear(folders: Folders, order: Clear) -> None:
    """Delete what an order names; what is gone or resists is passed over."""
    for path in places(folders, order):
        remove(str(path))


def measured(folders: Folders, asked: Measure) -> dict[str, Any]:
    """The answer to who asks what would go: with each run how many files it has, and of how many bytes."""
    sizes = [list(_sizes_of(folders, order)) for order in asked.orders]
    runs = [
        {**run, "files": len(each), "bytes": sum(each)}
        for run, each in zip(asked.body["runs"], sizes, strict=True)
    ]
    return {**asked.body, "runs": runs}


def _sizes_of(folders: Folders, order: Clear) -> Iterator[int]:
    for path in places(folders, order):
        yield from _sizes(path)


def places(folders: Folders, order: Clear) -> Iterator[Path]:
    """The files and directories that an order is about; they need not exist."""
    tries = [name for _, name in order.tries if _is_name(name)]
    incarnations = {incarnation for _, incarnation in order.agents}
    for name in tries:
        yield folders.home / "local" / name
    for shared in folders.shared:
        yield from (shared / "tries" / name for name in tries)
        if incarnations:
            for part in OF_AGENTS:
                yield from _of(shared / part, incarnations)
        if _is_name(order.run):
            yield shared / "runs" / order.run
    if _is_name(order.run):
        yield folders.home / "seeds" / f"{order.run}.jsonl"
        results = Path(order.results)
        if results.is_absolute() and (results.parent.name, results.name) == ("results", order.run):
            yield results


def _is_name(text: str) -> bool:
    return bool(text) and "/" not in text and not text.startswith(".")


def _of(folder: Path, incarnations: Collection[str]) -> Iterator[Path]:
    for entry in _entries(folder):
        if entry.name.partition(".")[0] in incarnations:
            yield Path(entry.path)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def _sizes(path: Path) -> Iterator[int]:
    """The sizes of all files in a directory, or of a file."""
    try:
        if not path.is_dir() or path.is_symlink():
            yield path.lstat().st_size
            return
    except OSError:
        return
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                yield os.lstat(os.path.join(folder, name)).st_size
            except OSError:
                continue


def sweep(folders: Folders, before_s: float, spare: Collection[str]) -> int:
    """Delete logs of agents and directories of tries that nobody has written to since; return how many."""
    old = [
        path
        for shared in folders.shared
        for part in ("logs", "tries")
        for path in _old(shared / part, before_s, spare)
    ]
    old += _old(folders.home / "local", before_s, spare)
    for path in old:
        remove(str(path))
    return len(old)


def _old(folder: Path, before_s: float, spare: Collection[str]) -> Iterator[Path]:
    for entry in _entries(folder):
        if entry.name in spare or entry.name.partition(".")[0] in spare:
            continue
        if _newest(entry) < before_s:
            yield Path(entry.path)


def _newest(entry: os.DirEntry[str]) -> float:
    """When it was written to last, or anything right in it."""
    try:
        if not entry.is_dir(follow_symlinks=False):
            return entry.stat(follow_symlinks=False).st_mtime
        inside = [each.stat(follow_symlinks=False).st_mtime for each in _entries(Path(entry.path))]
        return max([entry.stat(follow_symlinks=False).st_mtime, *inside])
    except OSError:
        return float("inf")
