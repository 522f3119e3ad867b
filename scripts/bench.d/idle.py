"""What a daemon costs that has nothing to do: with no runs, and with an idle agent in its long poll."""

from __future__ import annotations

import argparse
import threading
from pathlib import Path
from typing import Any

from bench_home import BenchHome, finer_cpu_s, wait_for
from table import show

IDLE = """sbx = 1
[pipeline]
name = "idle"
[pools.one]
slots = 1
idle = "2h"
[modules.later]
run = ["false"]
seed = ["1"]
pool = "one"
resources = { memory = "50M", time = "1m" }
retry = [{ on = 1, retries = 1, delay = "1h" }]
"""


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Watch the daemon for a while in both states."""
    home = BenchHome(folder / "idle")
    with home.running() as daemon:
        pid = daemon.daemon_status()["pid"]
        alone = _share(pid, options.idle_s)
        run = home.run(IDLE, "--detach")
        wait_for(lambda: bool(list(daemon.attempts(run))), "the first attempt")
        with_agent = _share(pid, options.idle_s)
    show(
        f"CPU of an idle daemon over {options.idle_s:g} s, in percent of a core",
        [["", "%"], ["no runs", f"{alone * 100:.3f}"], ["an agent polls", f"{with_agent * 100:.3f}"]],
    )
    return {"idle": {"seconds": options.idle_s, "no_runs": alone, "an_agent_polls": with_agent}}


def _share(pid: int, idle_s: float) -> float:
    before_s = finer_cpu_s(pid)
    threading.Event().wait(idle_s)
    return (finer_cpu_s(pid) - before_s) / idle_s
