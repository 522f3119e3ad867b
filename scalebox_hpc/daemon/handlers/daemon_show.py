"""`GET /v1/daemon`: what the daemon is, and what it costs."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

from scalebox_hpc.daemon.events import Call
from scalebox_hpc.daemon.state import ACTIVE

if TYPE_CHECKING:
    from scalebox_hpc.daemon.core import Core


def handle(core: Core, call: Call) -> None:
    desk, settings = core.desk, core.settings
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = usage.ru_utime + usage.ru_stime
    lived_s = max(1e-6, (desk.now.wall_us - int(settings.facts["started_us"])) / 1e6)
    desk.answer(
        call,
        {
            **settings.facts,
            "home": desk.home_id,
            "home_path": desk.home_path,
            "epoch": desk.epoch,
            "cpu_s": round(cpu_s, 3),
            "rss_mib": settings.rss_mib(),
            "cpu_share": round(cpu_s / lived_s, 5),
            "runs_open": sum(run.phase in ACTIVE for run in desk.world.runs.values()),
            "agents": len(desk.world.agents),
            "ledger_bytes": settings.ledger_bytes(),
        },
    )
