"""Slots and their work directories on node-local scratch.

A work directory is used again while an attempt left it clean; otherwise it is moved aside and
removed by another process, because deleting many files slows down creating new ones.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Sequence

from scalebox_hpc.agent import disk
from scalebox_hpc.agent.logs import Segment

Links = Sequence[tuple[str, str]]
"""(relative name, absolute target) for each file that every work directory of a module links to."""

SLOTS, TMP, GATHER, BIN, CHUNKS, ASIDE = "slots", "tmp", "gather", "bin", "chunks", "aside"
"""What is in the agent's scratch directory. Containers see the first four, and write to the first two."""

SHELF_MOST = 8  # work directories of other modules that a slot keeps
FEW = 8  # plain files that are unlinked on the spot
ASIDE_MOST = 200  # directories given to one remover


class Tree:
    """One work directory as it should be between attempts."""

    def __init__(self, path: str, links: Links) -> None:
        """Make it. Raises OSError."""
        os.mkdir(path, 0o700)
        for parent in sorted({os.path.dirname(name) for name, _ in links} - {""}):
            os.makedirs(os.path.join(path, parent), exist_ok=True)
        for name, target in links:
            os.symlink(target, os.path.join(path, name))
        self.links = links
        self.top = {name.partition("/")[0]: "" if "/" in name else target for name, target in links}
        self.fd = -1
        self.inner = [inner for inner, _, _ in os.walk(path) if inner != path]  # directories that links need
        self.changed_ns = 0
        self.is_touched = False  # something was made or removed in it since `settle`
        self.open(path)

    def open(self, path: str) -> None:
        """Take it into use, at this place. Raises OSError."""
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.settle()

    def settle(self) -> None:
        """Date it so far back that any entry made or removed shows."""
        for path in self.inner:
            os.utime(path, ns=(0, 0))
        os.utime(self.fd, ns=(0, 0))
        self.changed_ns = os.stat(self.fd).st_ctime_ns
        self.is_touched = False

    def is_untouched(self) -> bool:
        """Tell whether nothing was made, removed, renamed or forbidden since `settle`. One stat, mostly."""
        found = os.stat(self.fd)
        if found.st_mtime_ns or found.st_ctime_ns != self.changed_ns:
            return False
        return not self.inner or all(os.stat(path).st_mtime_ns == 0 for path in self.inner)

    def close(self) -> None:
        """Take it out of use."""
        os.close(self.fd)


class Slot:
    """Room for one running task: a number, a directory, two segment files."""

    def __init__(self, number: int, root: str, segments: tuple[Segment, Segment]) -> None:
        self.number = number
        self.path = os.path.join(root, SLOTS, str(number))
        self.work = os.path.join(self.path, "work")
        self.segments = segments
        self.tree: Tree | None = None  # what is at `work`; None: nothing to be used again
        self.shelf: dict[str, Tree] = {}  # clean ones of other modules, by path
        self.redirections: Sequence[tuple[int, int, int]] = ()
        self.env: dict[bytes, bytes] = {
            b"SBX_WORK": os.fsencode(self.work),
            b"SBX_SLOT": str(number).encode(),
        }
        os.makedirs(self.path, mode=0o700, exist_ok=True)
        self._itself = os.lstat(self.path)

    def is_itself(self) -> bool:
        """Tell whether its path still leads to it: a program may have put a link in its place."""
        try:
            return os.path.samestat(self._itself, os.lstat(self.path))
        except OSError:
            return False

    def must_be_itself(self) -> None:
        """Raise OSError where it is not."""
        if not self.is_itself():
            raise NotADirectoryError(errno.ENOTDIR, "a task has put something else in its place", self.path)


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

    def spoilt(self) -> list[str]:
        """Return the work directories of free slots that nobody can use again."""
        return [
            slot.work
            for slot in map(self._all.__getitem__, self._free)
            if slot.tree is None and slot.is_itself()
        ]


class WorkDirs:
    """Makes work directories, looks at what attempts left, and puts dirty ones aside."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.aside = os.path.join(root, ASIDE)
        self._count = 0
        self._waiting: list[str] = []
        self._elsewhere: list[str] = []  # also of these what a remover has in its hands, who may be killed

    def make(self) -> None:
        """Make the directories that all attempts share. Raises OSError."""
        os.makedirs(self.root, mode=0o700, exist_ok=True)
        for name in (SLOTS, GATHER, CHUNKS, ASIDE):
            os.makedirs(os.path.join(self.root, name), mode=0o700, exist_ok=True)

    def prepare(self, slot: Slot, links: Links) -> Tree:
        """Make sure that the slot's work directory holds these links and nothing else. Raises OSError."""
        tree = slot.tree
        if tree is not None and (tree.links is links or list(tree.links) == list(links)):
            return tree
        slot.must_be_itself()
        if tree is not None:
            self._shelve(slot, tree)
        for path, other in slot.shelf.items():
            if list(other.links) == list(links):
                self.put_aside(slot.work)  # one that the attempt before has spoilt
                os.rename(path, slot.work)
                del slot.shelf[path]
                other.open(slot.work)
                slot.tree = other
                return other
        self.put_aside(slot.work)
        slot.tree = Tree(slot.work, links)
        return slot.tree

    def _shelve(self, slot: Slot, tree: Tree) -> None:
        """Keep a clean directory for the next task of its module."""
        self._spoil(slot)
        if len(slot.shelf) < SHELF_MOST:
            self._count += 1
            path = f"{slot.path}/shelf-{self._count}"
            os.rename(slot.work, path)
            slot.shelf[path] = tree

    def names(self, slot: Slot) -> dict[str, bool] | None:
        """Return what an attempt left beside the links, name to "is a plain file"; None when it is spoilt.

        Costs one stat when nothing was made or removed, one scan otherwise. Raises OSError where the
        disk is at fault, and not the attempt.
        """
        tree = slot.tree
        try:
            if tree is None or tree.is_untouched():
                return {}
            tree.is_touched = True
            with os.scandir(slot.work) as entries:
                left = {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}
            if not self._is_whole(tree, slot.work, left):
                self._spoil(slot)  # read what there is, then make it anew
        except OSError as problem:
            self._spoil(slot)
            if disk.is_of_the_disk(problem):
                raise
            return None
        return {name: is_plain for name, is_plain in left.items() if name not in tree.top}

    def _is_whole(self, tree: Tree, work: str, left: dict[str, bool]) -> bool:
        """Tell whether all that should be there is there, and is what it was."""
        state = os.stat(tree.fd)
        if stat.S_IMODE(state.st_mode) != 0o700 or not os.path.samestat(state, os.stat(work)):
            return False
        for name, target in tree.top.items():
            if left.get(name, True) or (target and os.readlink(os.path.join(work, name)) != target):
                return False
        return all(os.stat(path).st_mtime_ns == 0 for path in tree.inner)

    def _spoil(self, slot: Slot) -> None:
        if slot.tree is not None:
            slot.tree.close()
            slot.tree = None

    def clear(self, slot: Slot, left: dict[str, bool] | None) -> None:
        """Make the directory fit for the next attempt, or give it up; `left` as `names` told."""
        tree = slot.tree
        if tree is None or not tree.is_touched:
            return
        try:
            if left is None or len(left) > FEW or not all(left.values()):
                self._spoil(slot)
                return
            for name in left:
                os.unlink(name, dir_fd=tree.fd)
            tree.settle()
        except OSError:
            self._spoil(slot)

    def put_aside(self, path: str) -> None:
        """Move a directory out of the way, to be removed later. An absent one is fine."""
        self._count += 1
        target = os.path.join(self.aside, str(self._count))
        try:
            if not os.path.islink(path):
                os.chmod(path, 0o700)
            os.rename(path, target)
        except FileNotFoundError:
            return
        self._waiting.append(target)

    def empty(self, directory: str, names: frozenset[str]) -> bool:
        """Put aside all that is in a directory but these names. Tells whether nothing else is left."""
        found = [entry for entry in os.scandir(directory) if entry.name not in names]
        if not found:
            return True
        self._count += 1
        target = os.path.join(self.aside, str(self._count))
        os.mkdir(target, 0o700)
        self._waiting.append(target)
        try:
            for number, entry in enumerate(found):
                if entry.is_dir(follow_symlinks=False):
                    os.chmod(entry.path, 0o700)
                os.rename(entry.path, os.path.join(target, str(number)))
        except OSError:
            return False  # something of another user, as an image with its own users makes
        return True

    def discard(self, path: str) -> None:
        """Put a directory aside that is of no use; where that cannot be, it goes with all the others."""
        with contextlib.suppress(OSError):
            self.put_aside(path)

    def remove(self, path: str) -> None:
        """Let a directory be removed that lies elsewhere, where it is."""
        self._waiting.append(path)
        self._elsewhere = [*filter(os.path.lexists, self._elsewhere), path]

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

    def all_to_remove(self) -> list[str]:
        """Return the command that removes the root, and what was to be removed elsewhere."""
        return removal([self.root, *self._elsewhere])


def scratch_root(scratch: str, incarnation: str) -> str:
    """Return the path of the agent's own directory on scratch; `WorkDirs.make` makes it."""
    return os.path.join(scratch, f"sbx-{os.getuid()}-{incarnation}")


def link_bin(root: str, module: int, files: Links) -> str:
    """Make a directory with links to the shipped `bin/` files; return its path, or "" without any."""
    if not files:
        return ""
    path = os.path.join(root, BIN, str(module))
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
