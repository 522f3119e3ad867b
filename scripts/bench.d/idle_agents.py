"""What agents cost a daemon that have nothing to do: many in their long polls, beside a few at work."""

from __future__ import annotations

import argparse
import threading
from pathlib import Path
from typing import Any

from bench_home import finer_cpu_s, peak_mib
from crowded_home import CrowdedHome
from table import show

TASKS_AN_AGENT = 50  # a backlog for which that many elements are asked for
LEAST_TASKS = 5000
BATCH = 20
POLL_S = 25.0  # each agent polls once in that time, and many at the same moment: whole ones are watched
CALM_S = 5.0  # for a daemon to come to rest after the last report


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Let agents work off all but a few tasks, which go on, and look at the daemon for a while."""
    home, agents, nap = CrowdedHome(folder / "idle-agents"), options.idle_agents, threading.Event()
    watched_s = max(1, round(options.idle_s / POLL_S)) * POLL_S if options.idle_s > 1 else options.idle_s
    tasks = max(agents * TASKS_AN_AGENT, LEAST_TASKS)
    with home.running() as daemon:
        pid, empty_mib = daemon.daemon_status()["pid"], daemon.daemon_status()["rss_mib"]
        home.write_seeds(tasks)
        run = home.submit(agents)
        with home.crowds(agents, BATCH) as crowds:
            busy = len(crowds[0].elements)
            for crowd in crowds[1:]:
                crowd.do("work")
            while daemon.status(run)["succeeded"] < tasks - busy:
                nap.wait(0.2)
            nap.wait(min(CALM_S, options.idle_s))
            before_s = finer_cpu_s(pid)
            nap.wait(watched_s)
            used_s = finer_cpu_s(pid) - before_s
            pool, status = daemon.status(run)["pools"][0], daemon.daemon_status()
            crowds[0].do("work")
            for crowd in crowds:
                crowd.end()
        state = daemon.status(run)["state"]
    if pool["agents"] != agents or state != "SUCCEEDED":
        raise SystemExit(f"bench: {pool['agents']} of {agents} agents were there, the run is {state}")
    figures = {
        **{"agents": agents, "seconds": watched_s, "share": used_s / watched_s},
        **{"rss_mib": status["rss_mib"], "empty_mib": empty_mib, "most_mib": peak_mib(pid)},
    }
    show(
        f"a daemon with {agents} agents, of which {busy} have work, over {watched_s:g} s",
        [
            ["", ""],
            ["CPU", f"{figures['share'] * 100:.2f} % of a core"],
            ["memory", f"{figures['rss_mib']:.0f} MiB"],
            ["memory before", f"{empty_mib:.0f} MiB"],
        ],
    )
    return {"idle_agents": figures}
