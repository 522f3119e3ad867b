"""`POST /v1/daemon/stop`: the daemon ends; runs stay as they are and agents go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalebox_hpc.daemon.events import Call

if TYPE_CHECKING:
    from scalebox_hpc.daemon.core import Core


def handle(core: Core, call: Call) -> None:
    core.stopping = True
    core.desk.answer(call, {"stopping": True})
