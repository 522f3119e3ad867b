"""Slots and their work directories on node-local scratch.

A work directory is used again while an attempt left it clean; otherwise it is moved aside and
removed by another process, because deleting many files slows down creating new ones.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Sequence

from scalebox_hpc.agent.logs import Segment

Links = Sequence[tuple[str, str]]
"""(relative name, absolute target) for each file that every work directory of a module links to."""

FEW = 8  # plain files that are unlinked on the spot
ASIDE_MOST = 200  # directories given to one remover


class Slot:
    """Room for one running task: a number, a directory, two segment files."""

    def __init__(self, number: int, root: str, segments: tuple[Segment, Segment]) -> None:
        self.number = number
        self.path = os.path.join(root, f"slot-{number}")
        self.work = os.path.join(self.path, "work")
        self.segments = segments
        self.links: Links | None = None  # what the work directory holds; None: it is not there
        self.watched: list[str] = []  # it and the directories that links need
        self.top: dict[str, str] = {}  # what lies in it: name to target, "" for a directory
        self.is_touched = False  # something was made or removed in it since it was made
        self.redirections: Sequence[tuple[int, int, int]] = ()
        self.env: dict[bytes, bytes] = {
            b"SBX_WORK": os.fsencode(self.work),
            b"SBX_SLOT": str(number).encode(),
        }
        os.makedirs(self.path, mode=0o700, exist_ok=True)


class Slots:
    """All slots; the lowest free one is taken."""

    def __init__(self, make: Callable[[int], Slot]) -> None:
        self._make = make
        self._all: list[Slot] = []
        self._free: list[int] = []

    def take(self) -> Slot:
        """Return the free slot with the lowest number, made when there is none."""
        if not self._free:
            self._all.append(self._make(len(self._all)))
            return self._all[-1]
        number = min(self._free)
        self._free.remove(number)
        return self._all[number]

    def give(self, slot: Slot) -> None:
        """Say that the slot is free."""
        self._free.append(slot.number)


class WorkDirs:
    """Makes work directories, looks at what attempts left, and puts dirty ones aside."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.aside = os.path.join(root, "aside")
        self._count = 0
        self._waiting: list[str] = []
        os.makedirs(self.aside, mode=0o700, exist_ok=True)

    def prepare(self, slot: Slot, links: Links) -> None:
        """Make sure that the slot's work directory holds these links and nothing else."""
        if slot.links is links or (slot.links is not None and list(slot.links) == list(links)):
            return
        slot.links = None
        self.put_aside(slot.work)
        os.mkdir(slot.work, 0o700)
        parents = {os.path.dirname(name) for name, _ in links} - {""}
        for parent in sorted(parents):
            os.makedirs(os.path.join(slot.work, parent), exist_ok=True)
        for name, target in links:
            os.symlink(target, os.path.join(slot.work, name))
        slot.watched = [slot.work, *(path for path, _, _ in os.walk(slot.work) if path != slot.work)]
        slot.top = {name.partition("/")[0]: "" if "/" in name else target for name, target in links}
        slot.links = links
        _set_untouched(slot.watched)

    def names(self, slot: Slot) -> dict[str, bool] | None:
        """Return what an attempt left beside the links, name to "is a plain file"; None when it is spoilt.

        Costs one stat when nothing was made or removed, one scan otherwise.
        """
        try:
            touched = [path for path in slot.watched if not _is_untouched(path)]
            if not touched:
                return {}
            with os.scandir(slot.work) as entries:
                left = {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}
            if touched != [slot.work] or stat.S_IMODE(os.stat(slot.work).st_mode) != 0o700:
                slot.links = None  # read what there is, then make it anew
            for name, target in slot.top.items():
                if left.pop(name, True) or (target and os.readlink(os.path.join(slot.work, name)) != target):
                    slot.links = None
        except OSError:
            return None
        slot.is_touched = True
        return left

    def clear(self, slot: Slot, left: dict[str, bool] | None) -> None:
        """Make the directory fit for the next attempt, or put it aside; `left` as `names` told."""
        try:
            if left is None or slot.links is None or len(left) > FEW or not all(left.values()):
                slot.links = None
                self.put_aside(slot.work)
            elif slot.is_touched:
                for name in left:
                    os.unlink(os.path.join(slot.work, name))
                _set_untouched(slot.watched)
        except OSError:
            slot.links = None
        slot.is_touched = False

    def put_aside(self, path: str) -> None:
        """Move a directory out of the way, to be removed later. An absent one is fine."""
        self._count += 1
        target = os.path.join(self.aside, str(self._count))
        try:
            os.chmod(path, 0o700)
            os.rename(path, target)
        except FileNotFoundError:
            return
        self._waiting.append(target)

    @property
    def has_waiting(self) -> bool:
        """Whether something was put aside and waits to be removed."""
        return bool(self._waiting)

    def to_remove(self) -> list[str]:
        """Return the command that removes what was put aside so far; empty when there is nothing."""
        if not self._waiting:
            return []
        paths, self._waiting = self._waiting[:ASIDE_MOST], self._waiting[ASIDE_MOST:]
        return removal(paths)


def scratch_root(scratch: str, incarnation: str) -> str:
    """Return the agent's own directory on scratch, made 0700."""
    root = os.path.join(scratch, f"sbx-{os.getuid()}-{incarnation}")
    os.makedirs(root, mode=0o700, exist_ok=True)
    return root


def link_bin(root: str, module: int, files: Links) -> str:
    """Make a directory with links to the shipped `bin/` files; return its path, or "" without any."""
    if not files:
        return ""
    path = os.path.join(root, "bin", str(module))
    os.makedirs(path, mode=0o700, exist_ok=True)
    for name, target in files:
        link = os.path.join(path, name)
        os.makedirs(os.path.dirname(link), exist_ok=True)
        if not os.path.lexists(link):
            os.symlink(target, link)
    return path


def removal(paths: Sequence[str]) -> list[str]:
    """Return the command that removes these directories, write-protected ones too."""
    script = 'rm -rf -- "$@" 2>/dev/null || { chmod -R u+rwx -- "$@" 2>/dev/null; rm -rf -- "$@"; }'
    return ["/bin/sh", "-c", script, "sbx", *paths]


def _set_untouched(paths: Iterable[str]) -> None:
    """Date directories so far back that any entry made or removed shows."""
    for path in paths:
        os.utime(path, ns=(0, 0))


def _is_untouched(path: str) -> bool:
    found = os.stat(path)
    return found.st_mtime_ns == 0 and stat.S_IMODE(found.st_mode) & 0o700 == 0o700
