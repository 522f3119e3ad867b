"""Many agents at once: all say hello and take tasks, then all connect anew and report, in one moment each."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bench_home import cpu_s, peak_mib, wait_for
from crowded_home import CrowdedHome
from table import show

FIRST = 4  # elements of a pool's first submission
TURNS = 2  # so many batches there are for each agent
LEAST = 50  # tasks an agent: for fewer so many agents are not asked for soon
LEAST_TASKS = 5000


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Let both storms come and see how long the last one waits, and that nothing is lost."""
    home, agents, batch = (
        CrowdedHome(folder / "thunder", interval="1s"),
        options.thunder_agents,
        options.thunder_batch,
    )
    tasks = max(max(batch * TURNS, LEAST) * (FIRST + agents), LEAST_TASKS)
    with home.running() as daemon:
        pid = daemon.daemon_status()["pid"]
        home.write_seeds(tasks)
        run = home.submit(FIRST + agents)
        with home.crowd("first", home.elements(FIRST), batch, holds=1) as first:
            first.do("hold")
            wait_for(lambda: daemon.status(run)["state"] == "RUNNING", "the last seed")
            with home.crowd("storm", home.elements(FIRST + agents)[FIRST:], batch) as storm:
                storms = [_storm(storm, pid, word) for word in ("hold", "work")]
                first.do("work")
                ended = [storm.end(), first.end()]
        status, most_mib = daemon.status(run), peak_mib(pid)
    recorded = sum(each["recorded"] for each in ended)
    if (status["state"], status["succeeded"], recorded) != ("SUCCEEDED", tasks, tasks):
        raise SystemExit(
            f"bench: {recorded} reports of {tasks} tasks were recorded; the run is {status['state']}"
        )
    names = ("hello, and a first batch", "new connections, and a report of it")
    rows = [["", "all served after", "longest answer", "CPU of the daemon", "answers by status"]]
    for name, seen in zip(names, storms, strict=True):
        statuses = ", ".join(f"{count} x {status}" for status, count in seen["statuses"].items())
        rows.append(
            [
                name,
                f"{seen['took_s']:.2f} s",
                f"{seen['longest_s']:.2f} s",
                f"{seen['daemon_s']:.2f} s",
                statuses,
            ]
        )
    show(
        f"{agents} agents in one moment, with {batch} tasks each",
        rows,
        f"all {tasks} tasks were recorded once; memory of the daemon was {most_mib:.0f} MiB at most",
    )
    return {
        "thunder": {"agents": agents, "batch": batch, "tasks": tasks, "storms": storms, "most_mib": most_mib}
    }


def _storm(crowd: Any, pid: int, word: str) -> dict[str, Any]:
    before_s = cpu_s(pid) or 0.0
    seen: dict[str, Any] = crowd.do(word)
    return seen | {"daemon_s": (cpu_s(pid) or 0.0) - before_s}
