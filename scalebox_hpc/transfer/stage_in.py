"""What an inserted `-in` transfer does: bring the files of a message to a module's site, then send it on.

They go into a folder of the run there that is new for each attempt. Of a module with several sites the daemon
says which one a message is for; what lies there already stays where it is.
"""

from __future__ import annotations

import json
import posixpath
import secrets
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from scalebox_hpc.domain.stage import CHOSEN, STAGED, references
from scalebox_hpc.errors import UsageError
from scalebox_hpc.transfer.causes import TransferFailed
from scalebox_hpc.transfer.copy import Move, Order, copy
from scalebox_hpc.transfer.opening import end_at, opened
from scalebox_hpc.transfer.place import Place, is_relative, read_place
from scalebox_hpc.transfer.task import Task
from scalebox_hpc.units import show_count

K = TypeVar("K")
V = TypeVar("V")


def run(task: Task) -> None:
    """Copy what the words of the task refer to. Raises TransferFailed, UsageError."""
    try:
        named = references(task.words)
    except ValueError as error:
        raise UsageError(str(error), "look at `stage.in` and at who sends the message") from error
    by_site = _grouped((place.site, place) for place in (_place(task, path) for path, _ in named))
    headers = dict(task.headers)
    chosen = headers.pop(CHOSEN, "")
    far, mark = _far(task, chosen)
    folder, size = "", 0
    if not chosen or by_site.keys() != {far.site}:
        folder = f"stage/{task.text('SBX_TASK')}-{secrets.token_hex(6)}"
        size = _bring_all(task, by_site.values(), far / folder)
    task.tell(f"{show_count(len(named), 'file')} staged", size, size)
    task.send(task.body, {**headers, STAGED: mark + folder})


def _far(task: Task, chosen: str) -> tuple[Place, str]:
    """The run's shared directory where the files are to go, and what marks it as one of several."""
    if not chosen:
        return Place(task.text("TO"), task.text("SBX_FAR_SHARED")), ""
    site, shared = json.loads(task.text("SBX_FAR_SITES"))[chosen]
    return Place(site, shared), f"{chosen}:"


def _place(task: Task, path: str) -> Place:
    """Where a file lies: at the sender's site, unless the reference itself says where."""
    site = task.text("FROM")
    if not site:
        return read_place(path, Place("", task.text("SBX_PIPELINE")))
    if is_relative(path):
        fact = f"{path!r} is relative, and its sender ran at site {site}"
        raise UsageError(fact, "send an absolute path, such as $SBX_SHARED/...")
    place = read_place(path)
    return place if place.site else read_place(f"{site}:{path}")


def _grouped(pairs: Iterator[tuple[K, V]]) -> dict[K, list[V]]:
    groups: dict[K, list[V]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def _bring_all(task: Task, every: Iterable[Sequence[Place]], target: Place) -> int:
    try:
        return sum(_bring(task, places, target) for places in every)
    except BaseException:
        _discard(task, target)
        raise


def _bring(task: Task, places: Sequence[Place], target: Place) -> int:
    """Copy files and directories of one site over one link; return their bytes."""
    first = Order(places[0], target / places[0].name)
    with opened(first, task.find_site, task.watch(), task.wish()) as move:
        return sum(copy(move.also(order)).size_bytes for order in _orders(move, places, target))


def _orders(move: Move, places: Sequence[Place], target: Place) -> Iterator[Order]:
    """One for the plain files of each directory, one for each of what is a directory or a link."""
    for root, inside in _grouped((posixpath.dirname(each.path), each) for each in places).items():
        shown = move.source.ask("survey", move.source.full(root), [each.name for each in inside])
        plain = [each.name for each, said in zip(inside, shown, strict=True) if said and said[0] == "f"]
        if plain:
            yield Order(Place(inside[0].site, root), target, tuple(plain))
        yield from (Order(each, target / each.name) for each in inside if each.name not in plain)


def _discard(task: Task, target: Place) -> None:
    """Remove what was brought in vain; where that cannot be, it goes with the run's shared directory."""
    end = end_at(target.site, task.find_site)
    try:
        end.ask("drop", target.path)
    except TransferFailed:
        pass
    finally:
        end.close()
