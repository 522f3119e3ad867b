"""`POST /v1/runs/{run}/retry`: send failed tasks round again, by name, module, exit code or cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalebox_hpc.daemon import runs
from scalebox_hpc.daemon.events import Call
from scalebox_hpc.daemon.handlers.finding import run_of

if TYPE_CHECKING:
    from scalebox_hpc.daemon.core import Core


def handle(core: Core, call: Call) -> None:
    args = call.args
    run = run_of(core, args["run"])
    wanted = runs.Wanted(
        tuple(args.get("tasks") or ()), args.get("module"), args.get("exit_code"), args.get("cause")
    )
    core.desk.answer(call, runs.retry(core.desk, run, wanted, dry_run=bool(args.get("dry_run"))))
