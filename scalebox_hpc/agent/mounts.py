"""What a container sees of the node: what tasks need, over masks that hide home and shared folder.

It makes the empty directories (skeletons) that masks and private /tmp need, and mounts nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from scalebox_hpc.agent.container_sheet import Wanted
from scalebox_hpc.agent.runtimes.base import Bind
from scalebox_hpc.agent.workdir import GATHER, SLOTS

PRIVATE = ("/tmp", "/var/tmp")  # where programs leave what they do not name


class View(NamedTuple):
    """What is mounted in a container, in this order, but for the directory over the private places."""

    binds: tuple[Bind, ...]
    private: tuple[str, ...]  # the places that each slot has of its own
    inner: tuple[str, ...]  # targets of binds below those

    def with_private(self, directory: str) -> tuple[Bind, ...]:
        """Return the binds with this directory at the private places; `prepare` it before."""
        first = tuple(Bind(directory, place) for place in self.private)
        return tuple(sorted(first + self.binds, key=_depth))

    def prepare(self, directory: str) -> frozenset[str]:
        """Make a directory fit to stand at the private places; return the names that belong in it."""
        _make(directory, 0o1777)  # as programs expect it
        names = [_below(target, place) for place in self.private for target in self.inner]
        _fill(directory, [(name, True) for name in names if name])
        return frozenset(name.partition("/")[0] for name in names if name)


def plan_view(
    wanted: Wanted, sheet: dict[str, Any], root: str, skeletons: str, tmp: str = "", bin_dir: str = ""
) -> View:
    """Return what a module's containers see; `root` is the agent's scratch directory. Raises OSError.

    `tmp` is where the directories are that stand at the private places, `bin_dir` the one for PATH.
    """
    needed = [*_needed(sheet, root), (tmp, "rw"), (bin_dir, "ro")]
    own = [Bind(path, path, mode) for path, mode in needed if os.path.isdir(path)]
    binds = _last_of_each([*own, *wanted.binds])
    masks = _mask_targets(wanted.mask, binds)
    stands = [(target, True) for target in masks]
    stands += [(bind.target, os.path.isdir(bind.source)) for bind in binds]
    covers: list[Bind] = []
    for number, target in enumerate(masks):
        skeleton = os.path.join(skeletons, str(number))
        _make(skeleton, 0o755)
        _fill(skeleton, [(_below(path, target), is_directory) for path, is_directory in stands])
        covers.append(Bind(skeleton, target, "ro"))
    # A mask at the very place of a bind wins.
    all_binds = sorted([bind for bind in binds if bind.target not in masks] + covers, key=_depth)
    taken = {bind.target for bind in wanted.binds}
    private = tuple(place for place in PRIVATE if place not in taken)
    inner = [bind.target for bind in all_binds if any(_below(bind.target, place) for place in private)]
    return View(tuple(all_binds), private, tuple(inner))


def missing_source(wanted: Wanted) -> str:
    """Return the first source of a bind that this node does not have; "" when all are there."""
    return next((bind.source for bind in wanted.binds if not os.path.exists(bind.source)), "")


def of_tasks(root: str) -> tuple[str, str]:
    """Return what tasks see of the agent's scratch directory: where they work, and what they are to gather.

    All else in it is the agent's own: what it reads, writes and runs there no container may change.
    """
    return os.path.join(root, SLOTS), os.path.join(root, GATHER)


def _needed(sheet: dict[str, Any], root: str) -> Iterable[tuple[str, str]]:
    """Yield the directories that tasks of a module need, be they here or not, and how they are mounted."""
    work, gathered = of_tasks(root)
    yield work, "rw"
    yield gathered, "ro"
    for key in ("pipeline", "results", "shared"):
        if sheet.get(key):
            yield sheet[key], "rw"
    shipped = {os.path.dirname(path) for pairs in ("files", "bin") for _, path in sheet.get(pairs, ())}
    for path in sorted(shipped):
        # Shipped files lie in files/<digest>/<name>: one bind serves all.
        parent = os.path.dirname(path)
        yield parent if os.path.basename(parent) == "files" else path, "ro"


def _last_of_each(binds: Sequence[Bind]) -> list[Bind]:
    return list({os.path.normpath(bind.target): bind for bind in binds}.values())


def _mask_targets(masked: Sequence[str], binds: Sequence[Bind]) -> list[str]:
    """Return all places inside at which what is masked could be seen."""
    targets: dict[str, None] = {}
    for path in masked:
        if not os.path.isdir(path):
            continue
        real = os.path.realpath(path)
        targets.update(dict.fromkeys((path, real)))
        for bind in binds:
            source = os.path.realpath(bind.source)
            if real == source or _below(real, source):
                targets[os.path.normpath(os.path.join(bind.target, _below(real, source)))] = None
    return list(targets)


def _below(path: str, directory: str) -> str:
    """Return the path relative to a directory that holds it; "" when it does not."""
    prefix = directory.rstrip("/") + "/"
    return path[len(prefix) :] if path.startswith(prefix) else ""


def _depth(bind: Bind) -> int:
    return bind.target.rstrip("/").count("/")


def _make(directory: str, mode: int) -> None:
    os.makedirs(directory, exist_ok=True)
    os.chmod(directory, mode)


def _fill(directory: str, entries: Iterable[tuple[str, bool]]) -> None:
    """Make what mounts will stand on: directories (True) and files."""
    for name, is_directory in entries:
        path = os.path.join(directory, name)
        if not name or os.path.lexists(path):
            continue
        os.makedirs(path if is_directory else os.path.dirname(path), exist_ok=True)
        if not is_directory:
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
