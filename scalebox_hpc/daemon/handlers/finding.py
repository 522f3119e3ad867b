"""Which run, and which task, a request means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalebox_hpc.daemon.loading import load_run
from scalebox_hpc.daemon.runs import find_task
from scalebox_hpc.daemon.state import RunState
from scalebox_hpc.errors import NotFound

if TYPE_CHECKING:
    from scalebox_hpc.daemon.core import Core


def run_of(core: Core, name: str) -> RunState:
    """The run with this name, or the newest; read from the ledger if it is over. Raises NotFound."""
    desk = core.desk
    row = desk.store.one("newest_run") if name == "newest" else desk.store.one("run_by_name", (name,))
    if row is None:
        hint = "`sbx run PIPELINE` starts one" if name == "newest" else "`sbx status --all` lists them"
        raise NotFound("there is no run yet" if name == "newest" else f"there is no run {name!r}", hint)
    return desk.world.runs.get(row[0]) or load_run(desk, row)


def task_of(core: Core, run: RunState, name: str) -> int:
    """The ledger's number of a task of the run. Raises NotFound."""
    task_id = find_task(core.desk, run, name)
    if task_id is None:
        raise NotFound(
            f"run {run.name} has no task {name!r}", "task ids look like `count.17`; `sbx ps` lists them"
        )
    return task_id
