"""What runs left in a shared folder: found by name, counted, deleted. Nothing outside of it is touched."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from scalebox_hpc.relay.folder import remove

OF_AGENTS = ("logs", "spool", "ended")  # files there are called by their incarnation, then a dot


class Gone(NamedTuple):
    """What is to go, by names; they need not exist, and what is no name leads nowhere."""

    run: str = ""  # its folder
    results: bool = False  # and what it published here, where the folder is that of a remote site
    incarnations: Sequence[str] = ()
    tries: Sequence[str] = ()


def clear(root: str, gone: Gone) -> None:
    """Delete it; what is gone or resists is passed over."""
    for path in places(root, gone):
        remove(str(path))


def sizes(root: str, gone: Gone) -> list[int]:
    """The size of each file of it."""
    return [size for path in places(root, gone) for size in sizes_of(path)]


def places(root: str, gone: Gone) -> Iterator[Path]:
    """The files and directories that it is about."""
    folder = Path(root)
    yield from (folder / "tries" / name for name in gone.tries if is_name(name))
    if gone.incarnations:
        for part in OF_AGENTS:
            yield from _of(folder / part, set(gone.incarnations))
    if is_name(gone.run):
        yield folder / "runs" / gone.run
        if gone.results:
            yield folder / "results" / gone.run


def is_name(text: str) -> bool:
    """Whether it names an entry of a directory, and no hidden one."""
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


def sizes_of(path: Path) -> Iterator[int]:
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


def sweep(root: str, before_s: float, spare: Collection[str]) -> int:
    """Delete logs of agents and directories of tries that nobody has written to since; return how many."""
    return sum(sweep_part(Path(root, part), before_s, spare) for part in ("logs", "tries"))


def sweep_part(folder: Path, before_s: float, spare: Collection[str]) -> int:
    """The same of one directory, whose entries bear the names of agents or tries."""
    old = [Path(entry.path) for entry in _entries(folder) if _is_old(entry, before_s, spare)]
    for path in old:
        remove(str(path))
    return len(old)


def _is_old(entry: os.DirEntry[str], before_s: float, spare: Collection[str]) -> bool:
    if entry.name in spare or entry.name.partition(".")[0] in spare:
        return False
    return _newest(entry) < before_s


def _newest(entry: os.DirEntry[str]) -> float:
    """When it was written to last, or anything right in it."""
    try:
        if not entry.is_dir(follow_symlinks=False):
            return entry.stat(follow_symlinks=False).st_mtime
        inside = [each.stat(follow_symlinks=False).st_mtime for each in _entries(Path(entry.path))]
        return max([entry.stat(follow_symlinks=False).st_mtime, *inside])
    except OSError:
        return float("inf")
