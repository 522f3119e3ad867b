"""How long it takes until a gather task has its members, and what that costs daemon and agent."""

from __future__ import annotations

import argparse
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

from bench_home import BenchHome, cpu_s, peak_mib
from table import show

SENDERS = 100
LOOK_S = 0.02
GATHER = """sbx = 1
[pipeline]
name = "gather"
[pools.one]
slots = 1
[modules.send]
run = ["./send", "{{body}}", "{each}"]
seed = {{ command = "seq {senders}" }}
to = ["count"]
pool = "one"
resources = {{ memory = "50M", time = "10m" }}
[modules.count]
run = "wc -l < {{members}}; sort -c {{bodies}}"
gather = {{ by = "all" }}
pool = "one"
resources = {{ memory = "50M", time = "10m" }}
"""
SEND = """#!/bin/sh
seq -f "file-$1-%.0f.fits,{\\"obs\\":\\"$1\\"}" "$2" | sort -R > messages.txt
"""


class Seen(NamedTuple):
    """The two processes at one moment."""

    at_s: float  # of the wall clock
    daemon_cpu_s: float
    agent_cpu_s: float
    agent_peak_mib: float


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Gather what a hundred tasks send, and show what the last step took."""
    home = BenchHome(folder / "gather")
    program = home.folder / "send"
    program.write_text(SEND, encoding="utf-8")
    program.chmod(0o755)
    each = max(1, options.members // SENDERS)
    with home.running() as daemon:
        with Watch(home, daemon.daemon_status()["pid"]) as watch:
            run = home.run(GATHER.format(each=each, senders=SENDERS))
        (attempt,) = [one for one in daemon.attempts(run) if one["module"] == "count"]
    if int(attempt["stdout"]) != each * SENDERS:
        raise SystemExit(f"bench: {attempt['stdout'].strip()} of {each * SENDERS} members are there")
    from_s, until_s = attempt["received_us"] / 1e6, attempt["started_us"] / 1e6
    first, last = watch.around(from_s, until_s)
    figures = {
        "members": each * SENDERS,
        "fetched_s": until_s - from_s,
        "daemon_cpu_s": last.daemon_cpu_s - first.daemon_cpu_s,
        "agent_cpu_s": last.agent_cpu_s - first.agent_cpu_s,
        "agent_mib": last.agent_peak_mib - first.agent_peak_mib,
    }
    show(
        f"a gather task of {figures['members']} members, with a header each, out of order",
        [
            ["", ""],
            ["from its lease to its start", f"{figures['fetched_s']:.1f} s"],
            ["CPU of the daemon meanwhile", f"{figures['daemon_cpu_s']:.1f} s"],
            ["CPU of the agent meanwhile", f"{figures['agent_cpu_s']:.1f} s"],
            ["memory that the agent took for it", f"{figures['agent_mib']:.0f} MiB"],
        ],
    )
    return {"gather": figures}


class Watch:
    """Looks at daemon and agent from beside, all the time."""

    def __init__(self, home: BenchHome, daemon_pid: int) -> None:
        self._home, self._daemon_pid = home, daemon_pid
        self._seen = [Seen(0.0, 0.0, 0.0, 0.0)]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def around(self, from_s: float, until_s: float) -> tuple[Seen, Seen]:
        """The last looks before both moments."""
        before = [seen for seen in self._seen if seen.at_s <= from_s][-1]
        return before, [seen for seen in self._seen if seen.at_s <= until_s + LOOK_S][-1]

    def _look(self) -> None:
        agent_pid: int | None = None
        while not self._over.wait(LOOK_S):
            agent_pid = agent_pid or self._home.agent_pid()
            if agent_pid is None:
                continue
            agent_s, daemon_s = cpu_s(agent_pid), cpu_s(self._daemon_pid)
            if agent_s is not None and daemon_s is not None:
                self._seen.append(Seen(time.time_ns() / 1e9, daemon_s, agent_s, peak_mib(agent_pid)))
