"""`POST /v1/runs/{run}/cancel`: nothing of the run goes on; what succeeded stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalebox_hpc.daemon import runs
from scalebox_hpc.daemon.events import Call
from scalebox_hpc.daemon.handlers.finding import run_of

if TYPE_CHECKING:
    from scalebox_hpc.daemon.core import Core


def handle(core: Core, call: Call) -> None:
    run = run_of(core, call.args["run"])
    runs.cancel(core.desk, run)
    core.desk.answer(call, {"run": run.name, "state": run.phase})
