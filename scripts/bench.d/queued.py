"""What a daemon weighs with many queued tasks, and how fast they come in."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from bench_home import BenchHome, peak_mib, wait_for
from table import show

QUEUED = """sbx = 1
[pipeline]
name = "queued"
[pools.one]
slots = 1
walltime = "3h"
[modules.wait]
run = ["sleep", "{{body}}"]
seed = {{ command = "seq 3600 {last}" }}
pool = "one"
resources = {{ memory = "50M", time = "2h" }}
"""


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Queue tasks behind one that sleeps, and look at the daemon."""
    home = BenchHome(folder / "queued")
    with home.running() as daemon:
        empty_mib = daemon.daemon_status()["rss_mib"]
        began_s = time.perf_counter()
        run = home.run(QUEUED.format(last=3599 + options.queued), "--detach")
        accepted_s = time.perf_counter() - began_s
        wait_for(lambda: daemon.status(run)["state"] != "LOADING", "the last seed")
        loaded_s = time.perf_counter() - began_s
        tasks = daemon.status(run)["tasks"]
        if tasks != options.queued:
            raise SystemExit(f"bench: {tasks} of {options.queued} tasks are there")
        status = daemon.daemon_status()
        figures = {
            "tasks": tasks,
            "accepted_s": accepted_s,
            "loaded_s": loaded_s,
            "per_s": tasks / (loaded_s - accepted_s),
            "empty_mib": empty_mib,
            "rss_mib": status["rss_mib"],
            "peak_mib": peak_mib(status["pid"]),
            "ledger_mib": status["ledger_bytes"] / 2**20,
        }
    show(
        f"a daemon with {tasks} queued tasks",
        [
            ["", ""],
            ["memory, empty", f"{empty_mib:.0f} MiB"],
            ["memory with them", f"{figures['rss_mib']:.0f} MiB"],
            ["most it had", f"{figures['peak_mib']:.0f} MiB"],
            ["ledger on disk", f"{figures['ledger_mib']:.0f} MiB"],
            ["run accepted after", f"{accepted_s:.1f} s"],
            ["then tasks/s made of seeds", f"{figures['per_s']:.0f}"],
        ],
    )
    return {"queued": figures}
