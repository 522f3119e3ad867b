"""No-op tasks a second: sbx beside a bare pool, HyperQueue and GNU parallel, round by round.

Rounds are interleaved, so that a noisy machine treats all alike, and compared round by round.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from bench_home import AgentMeter, BenchHome
from table import ratios, show, spread

HERE = Path(__file__).resolve().parent
CAVEAT = (
    "which holds Python bindings with a local cluster that forks from one growing process (a native `hq`"
    " worker, which is not in that package, may be several times faster)"
)
NOOP = """sbx = 1
[pipeline]
name = "noop"
[pools.two]
slots = 2
[modules.noop]
run = ["/bin/true", "{{body}}"]
seed = {{ command = "seq {count}" }}
pool = "two"
resources = {{ memory = "50M", time = "1m" }}
"""


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure the rounds of noop and peers and show them."""
    rounds: list[dict[str, Any]] = []
    for n in range(options.rounds):
        here = folder / f"round-{n}"
        here.mkdir()
        figures = _sbx(options.tasks, here / "sbx") | _pool(options.tasks, here / "pool")
        if "peers" in options.parts:
            figures |= _hyperqueue(options.hq_tasks, here / "hq") | _parallel(
                options.parallel_tasks, here / "parallel"
            )
        rounds.append(figures)
    _show(options, rounds)
    return {"noop": {"tasks": options.tasks, "rounds": rounds}}


def _sbx(count: int, folder: Path) -> dict[str, Any]:
    home = BenchHome(folder)
    with home.running() as daemon:
        before_s = daemon.daemon_status()["cpu_s"]
        with AgentMeter(home) as agent:
            began_s = time.perf_counter()
            run = home.run(NOOP.format(count=count))
            wall_s = time.perf_counter() - began_s
        used_s = daemon.daemon_status()["cpu_s"] - before_s
        attempts = [each for each in daemon.attempts(run) if each["outcome"] == "SUCCEEDED"]
    if len(attempts) != count:
        raise SystemExit(f"bench: {len(attempts)} of {count} tasks succeeded")
    first_us = min(each["started_us"] for each in attempts)
    last_us = max(each["ended_us"] for each in attempts)
    return {
        "sbx_per_s": count / ((last_us - first_us) / 1e6),
        "sbx_whole_per_s": count / wall_s,
        "daemon_us": used_s / count * 1e6,
        "agent_us": agent.cpu_s / count * 1e6,
    }


def numbers(words: list[str]) -> list[float]:
    """The numbers that a program prints last. Raises SystemExit where it fails."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"bench: {' '.join(words)} failed:\n{done.stderr}")
    return [float(word) for word in done.stdout.splitlines()[-1].split()]


def _pool(count: int, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    took_s, own_s = numbers([sys.executable, "-I", str(HERE / "bare_pool.py"), str(count), str(folder)])
    return {"pool_per_s": count / took_s, "pool_us": own_s / count * 1e6}


def _hyperqueue(count: int, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    (took_s,) = numbers([sys.executable, "-I", str(HERE / "hyperqueue_pool.py"), str(count), str(folder)])
    return {"hq_per_s": count / took_s} if took_s else {}


def _parallel(count: int, folder: Path) -> dict[str, Any]:
    program = shutil.which("parallel")
    if program is None:
        return {}
    folder.mkdir()
    lines = "".join(f"{n}\n" for n in range(count))
    with open(folder / "out", "wb") as out, open(folder / "err", "wb") as err:
        began_s = time.perf_counter()
        subprocess.run(
            [program, "-j2", "/bin/true", "{}"], input=lines.encode(), stdout=out, stderr=err, check=True
        )
        took_s = time.perf_counter() - began_s
    return {"parallel_per_s": count / took_s}


def _show(options: argparse.Namespace, rounds: list[dict[str, Any]]) -> None:
    def of(key: str) -> list[float]:
        return [each[key] for each in rounds if key in each]

    shares = ratios(of("sbx_per_s"), of("pool_per_s"))
    rows = [
        ["", "tasks/s", "of the bare pool"],
        ["sbx, first start to last end", spread(of("sbx_per_s")), spread(shares, ".2f")],
        ["sbx run, the whole command", spread(of("sbx_whole_per_s")), ""],
        ["bare posix_spawn pool", spread(of("pool_per_s")), "1"],
    ]
    notes = [
        "CPU a task in us, without the task's own: "
        + ", ".join(f"{name} {spread(of(name + '_us'))}" for name in ("daemon", "agent", "pool")),
    ]
    if "peers" in options.parts:
        for name, key in (("HyperQueue, PyPI package", "hq_per_s"), ("GNU parallel", "parallel_per_s")):
            rows.append([name, spread(of(key)) if of(key) else "not installed here", ""])
        if found := of("hq_per_s"):
            times = median(ratios(of("sbx_per_s"), found))
            notes.append(f"sbx did {times:.1f} times the tasks/s of HyperQueue's PyPI package, {CAVEAT}.")
        if found := of("parallel_per_s"):
            notes.append(
                f"sbx did {median(ratios(of('sbx_per_s'), found)):.1f} times the tasks/s of GNU parallel."
            )
    what = f"{options.tasks} of /bin/true on 2 slots, stdout and stderr captured"
    show(f"no-op tasks: {what}, {len(rounds)} rounds", rows, *notes)
