"""What an inserted `-in` transfer does: bring the files of a message to a module's site, then send it on.

They go into a folder of the run there that is new for each attempt.
"""

from __future__ import annotations

import secrets

from scalebox_hpc.domain.stage import references
from scalebox_hpc.errors import UsageError
from scalebox_hpc.transfer.causes import TransferFailed
from scalebox_hpc.transfer.copy import Order, copy
from scalebox_hpc.transfer.opening import end_at, opened
from scalebox_hpc.transfer.place import Place, is_relative, read_place
from scalebox_hpc.transfer.task import Task

FOLDER = "sbx_staged"


def run(task: Task) -> None:
    """Copy what the words of the task refer to. Raises TransferFailed, UsageError."""
    try:
        named = references(task.words)
    except ValueError as error:
        raise UsageError(str(error), "look at `stage.in` and at who sends the message") from error
    sources = [(_place(task, path), name) for path, name in named]
    folder = f"stage/{task.text('SBX_TASK')}-{secrets.token_hex(6)}"
    target = Place(task.text("TO"), task.text("SBX_FAR_SHARED")) / folder
    try:
        _make(task, target)
        moved = sum(_copy(task, source, target / name) for source, name in sources)
    except BaseException:
        _discard(task, target)
        raise
    task.tell(f"{len(sources)} files staged", moved, moved)
    task.send(task.body, {**task.headers, FOLDER: folder})


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


def _make(task: Task, target: Place) -> None:
    end = end_at(target.site, task.find_site)
    try:
        end.ask("make", target.path, [""])
    finally:
        end.close()


def _copy(task: Task, source: Place, target: Place) -> int:
    with opened(Order(source, target), task.find_site, task.watch(), task.wish()) as move:
        return copy(move).size_bytes


def _discard(task: Task, target: Place) -> None:
    """Remove what was brought in vain; where that cannot be, it goes with the run's shared directory."""
    end = end_at(target.site, task.find_site)
    try:
        end.ask("drop", target.path)
    except TransferFailed:
        pass
    finally:
        end.close()
