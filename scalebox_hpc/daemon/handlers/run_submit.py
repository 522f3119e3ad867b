"""`POST /v1/runs`: its files are read and shipped by a hand before the run is accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalebox_hpc.daemon.desk import Prepare
from scalebox_hpc.daemon.events import Call
from scalebox_hpc.errors import ConflictError

if TYPE_CHECKING:
    from scalebox_hpc.daemon.core import Core


def handle(core: Core, call: Call) -> None:
    if core.leaving:
        raise ConflictError("the daemon is about to stop", "start another: `sbx daemon start`")
    taken = frozenset(name for (name,) in core.desk.store.rows("run_names"))
    core.desk.commands.append(Prepare(call, taken))
