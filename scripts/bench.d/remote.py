"""No-op tasks a second at a site elsewhere, through its relay, side by side with the same tasks here.

The site is this machine behind an sshd of its own, with the tests' stand-in for Slurm, so that both run on
the same processors: what differs is the way between agent and daemon, and its relay and ssh.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from bench_home import BenchHome, wait_for
from table import ratios, show, spread
from throughput import NOOP

from scalebox_hpc.testing.sshd import Sshd, program, running

SLURM = Path(__file__).resolve().parents[2] / "tests/scenarios/stand_in_slurm"
HERE, THERE = "site a, this machine", "site b, through its relay"
_SITE = """batch = "slurm_cli"
interval = "1s"
advertise = "127.0.0.1"
[paths]
shared = "{shared}"
[ssh]
host = "{ssh.host}"
port = {ssh.port}
key = "{ssh.key}"
known_hosts = "{ssh.known_hosts}"
[machines.two]
cpus = 2
memory = "2G"
"""


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure both by turns, and show them."""
    if program() is None:
        print("\ntasks at another site are passed over: there is no sshd")
        return {"remote": None}
    rates: dict[str, list[float]] = {HERE: [], THERE: []}
    for turn in range(options.rounds):
        here = folder / f"remote-{turn}"
        here.mkdir()
        path = f"{SLURM}:{os.environ['PATH']}"
        with running(here / "sshd", f'SetEnv "PATH={path}" "STAND_IN_SLURM={here}/slurm"\n') as server:
            rates[HERE].append(_rate(here / "a", options.remote_tasks))
            rates[THERE].append(_rate(here / "b", options.remote_tasks, server))
    shares = ratios(rates[THERE], rates[HERE])
    rows = [
        ["", "tasks/s", "of those here"],
        [HERE, spread(rates[HERE]), "1"],
        [THERE, spread(rates[THERE]), spread(shares, ".2f")],
    ]
    show(
        f"no-op tasks by site: {options.remote_tasks} of /bin/true on 2 slots, {options.rounds} rounds", rows
    )
    return {"remote": {"tasks": options.remote_tasks, "per_s": rates}}


def _rate(folder: Path, count: int, server: Sshd | None = None) -> float:
    """Tasks a second, from the first start to the last end."""
    home = BenchHome(folder)
    words: list[str] = []
    if server is not None:
        (folder / "site-configs").mkdir()
        text = _SITE.format(shared=folder / "there", ssh=server.ssh)
        (folder / "site-configs" / "b.toml").write_text(text, encoding="utf-8")
        words = ["--site", "b"]
    with home.running() as daemon:
        run = home.run(NOOP.format(count=count), *words)
        attempts = [each for each in daemon.attempts(run) if each["outcome"] == "SUCCEEDED"]
        wait_for(lambda: not _at_work(folder / "there"), "the end of what worked at site b")
    if len(attempts) != count:
        raise SystemExit(f"bench: {len(attempts)} of {count} tasks succeeded")
    first_us = min(each["started_us"] for each in attempts)
    return count / (max(each["ended_us"] for each in attempts) - first_us) * 1e6


def _at_work(shared: Path) -> bool:
    """Whether a process of ours, relay or agent, lives on in a shared folder."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if os.fsencode(shared) in path.read_bytes():
                return True
        except OSError:
            pass  # it ended
    return False
