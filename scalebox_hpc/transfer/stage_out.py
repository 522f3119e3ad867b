"""What an inserted `-out` transfer does: take home what a task left, then send on the messages of that task.

First a record is kept at home, then what was taken is removed at the site. An attempt that finds the record
has nothing more to move: an earlier one did, and was not heard.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from scalebox_hpc.domain.stage import WAITING
from scalebox_hpc.errors import UsageError
from scalebox_hpc.transfer.copy import Order, copy
from scalebox_hpc.transfer.opening import end_at, opened
from scalebox_hpc.transfer.place import Place
from scalebox_hpc.transfer.task import Task

MESSAGES = "messages.jsonl"


def run(task: Task) -> None:
    """Copy files and messages, verify them, remove them there. Raises TransferFailed, UsageError."""
    waiting = _waiting(task)
    source = Place(task.text("FROM"), task.text("SBX_FAR_SHARED")) / waiting
    record = Path(task.text("SBX_SHARED"), waiting, MESSAGES)
    if record.exists():
        _remove(task, source)
    else:
        _take(task, source, record)
    shutil.copyfile(record, task.work / MESSAGES)


def _waiting(task: Task) -> str:
    """The folder in which files and messages wait, as the task's header says, or that of its only member."""
    headers = task.headers
    if members := task.text("SBX_MEMBERS"):
        with open(members, encoding="utf-8") as file:
            headers = json.loads(file.readline())["headers"]
    waiting = headers.get(WAITING, "")
    if not waiting.startswith("stage-out/") or ".." in waiting.split("/"):
        raise UsageError(
            f"{waiting!r} is no folder of staged files", "only sbx sends messages to this module"
        )
    return waiting


def _take(task: Task, source: Place, record: Path) -> None:
    results = Path(task.text("SBX_RESULTS"), record.parent.parent.name)
    partial = record.with_name(f".{record.name}.{task.text('SBX_ATTEMPT')}")
    # What is removed at the site must be on our disk before: the record, the results, the record's name.
    messages = Order(source / MESSAGES, Place("", str(partial)), keep_source=False)
    with opened(messages, task.find_site, task.watch(), task.wish()) as move:
        copy(move)
        files = Order(source / "files", Place("", str(results)), verify_all=True)
        size = copy(move.also(files)).size_bytes
        move.target.ask("settle", str(results))
        os.replace(partial, record)
        move.target.ask("settle", str(record.parent))
        move.source.ask("drop", move.source.full(source.path))
    task.tell(f"{size} bytes taken home", size, size)


def _remove(task: Task, source: Place) -> None:
    end = end_at(source.site, task.find_site)
    try:
        end.ask("drop", source.path)
    finally:
        end.close()
