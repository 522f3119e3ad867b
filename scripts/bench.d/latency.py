"""How long a task that becomes ready waits for a slot that is free.

In the chain each task sends the next; in the poll tasks become due, by a retry's delay, while the agent
waits in its long poll.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from bench_home import BenchHome
from table import show

CHAIN = """sbx = 1
[pipeline]
name = "chain"
[pools.one]
slots = 1
[modules.step]
run = ["./step", "{{body}}", "{steps}"]
seed = ["1"]
to = ["step"]
pool = "one"
resources = {{ memory = "50M", time = "1m" }}
"""
STEP = """#!/bin/sh
: > messages.txt
[ "$1" -ge "$2" ] || echo $(($1 + 1)) > messages.txt
"""
POLL = """sbx = 1
[pipeline]
name = "poll"
[pools.some]
slots = 2
idle = "1m"
[modules.due]
run = ["./due"]
seed = { command = "seq 10" }
pool = "some"
resources = { memory = "50M", time = "1m" }
retry = [{ on = 75, retries = 5, delay = "1s" }]
"""
DUE = """#!/bin/sh
[ "$SBX_ATTEMPT" -ge 6 ] || exit 75
"""


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run both pipelines and show median and 95th percentile."""
    chain = _waits_ms(folder / "chain", CHAIN.format(steps=options.steps), ("step", STEP))
    poll = _waits_ms(folder / "poll", POLL, ("due", DUE))
    figures = {}
    rows = [["", "tasks", "median ms", "p95 ms"]]
    for name, waits in (("each sent by the one before", chain), ("due while the agent polls", poll)):
        middle, high = median(waits), quantiles(waits, n=20)[-1]
        rows.append([name, str(len(waits)), f"{middle:.1f}", f"{high:.1f}"])
        figures[name] = {"tasks": len(waits), "median_ms": middle, "p95_ms": high}
    show("from ready to started, with a free slot", rows)
    return {"latency": figures}


def _waits_ms(folder: Path, pipeline: str, program: tuple[str, str]) -> list[float]:
    """Milliseconds from ready to started of each attempt, but the first ones, for which the agent starts."""
    home = BenchHome(folder)
    path = folder / program[0]
    path.write_text(program[1], encoding="utf-8")
    path.chmod(0o755)
    with home.running() as daemon:
        attempts = list(daemon.attempts(home.run(pipeline)))
    seeds = {each["task"] for each in attempts if each["attempt"] == 1} if "retry" in pipeline else {"step.1"}
    return [
        (each["started_us"] - each["ready_us"]) / 1000
        for each in attempts
        if not (each["attempt"] == 1 and each["task"] in seeds)
    ]
