"""`GET /v1/runs/{run}/tasks/{task}`: one task, its attempts, where it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalebox_hpc.daemon.events import Call
from scalebox_hpc.daemon.handlers.attempt_list import attempt_json
from scalebox_hpc.daemon.handlers.finding import run_of, task_of
from scalebox_hpc.daemon.handlers.task_list import task_json

if TYPE_CHECKING:
    from scalebox_hpc.daemon.core import Core


def handle(core: Core, call: Call) -> None:
    run, store = run_of(core, call.args["run"]), core.desk.store
    task_id = task_of(core, run, call.args["task"])
    row, sent = store.one("task_row", (task_id,)), store.one("sent_by_task", (task_id,))
    assert row is not None
    assert sent is not None
    sender = store.one("sender_of_task", (task_id,))
    core.desk.answer(
        call,
        {
            "task": task_json(core.desk.world, row),
            "attempts": [attempt_json(run.name, each) for each in store.rows("attempts_of_task", (task_id,))],
            "sent": sent[0],
            "sender": f"{sender[0]}.{sender[1]}" if sender is not None else None,
        },
    )
