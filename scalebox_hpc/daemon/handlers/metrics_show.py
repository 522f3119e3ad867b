"""`GET /metrics`: what the daemon counts, for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalebox_hpc.daemon.events import Call, Reply

if TYPE_CHECKING:
    from scalebox_hpc.daemon.core import Core


def handle(core: Core, call: Call) -> None:
    core.desk.replies.append((call, reply(core)))


def reply(core: Core, *, paused: bool = False) -> Reply:
    """The answer; while the daemon waits for its ledger too."""
    from scalebox_hpc.daemon.metrics import CONTENT_TYPE, render  # most daemons are never asked

    return Reply(200, {}, render(core, paused=paused), CONTENT_TYPE)
