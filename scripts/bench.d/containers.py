"""No-op tasks a second in containers: warm, unpacked, one a task, in HyperQueue; and on the bare host.

Needs a container runtime and an image; `scripts/bench` runs this part in the cluster in a box where this
machine has none. Rounds are interleaved and compared round by round.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from statistics import median
from typing import Any

from bench_home import BenchHome
from table import ratios, show, spread
from throughput import CAVEAT, numbers

HERE = Path(__file__).resolve().parent
RUNTIMES = ("apptainer", "singularity")
PIPELINE = """sbx = 1
[pipeline]
name = "contained"
[pools.some]
slots = {slots}
[modules.noop]
run = ["/bin/true", "{{body}}"]
seed = {{ command = "seq {count}" }}
pool = "some"
resources = {{ memory = "50M", time = "1m" }}
{image}
"""
SITE = """batch = "local"
[paths]
scratch = "{scratch}"
[containers]
local_copy = "unpacked"
"""


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure the rounds and show them. Passed over, and said so, where there is no runtime or image."""
    runtime = next((path for name in RUNTIMES if (path := shutil.which(name))), None)
    if runtime is None or options.image is None:
        print("\ncontainers: passed over, no apptainer here, or no --image given")
        return {}
    image = str(options.image.resolve())
    rounds = []
    for n in range(options.rounds):
        here = folder / f"contained-{n}"
        here.mkdir()
        warm = f'image = "{image}"'
        each = warm + '\ncontainer = { reuse = "task" }'
        rounds.append(
            {
                "bare": _sbx(here / "bare", options.contained_tasks, options.slots, ""),
                "warm": _sbx(here / "warm", options.contained_tasks, options.slots, warm),
                "unpacked": _sbx(here / "unpacked", options.contained_tasks, options.slots, warm, SITE),
                "each": _sbx(here / "each", options.each_tasks, options.slots, each),
                "hq": _hyperqueue(here / "hq", options.each_tasks, options.slots, runtime, image),
            }
        )
    _show(options, rounds)
    return {"containers": {"slots": options.slots, "rounds": rounds}}


def _sbx(folder: Path, count: int, slots: int, image: str, site: str = "") -> dict[str, float]:
    """Tasks a second from the first start to the last end, and what starting the container took."""
    home = BenchHome(folder)
    words = []
    if site:  # its copies go into the home's folder, so that each round pays for it
        (folder / "site-configs").mkdir()
        (folder / "site-configs" / "here.toml").write_text(site.format(scratch=folder), encoding="utf-8")
        words = ["--site", "here"]
    with home.running() as daemon:
        run = home.run(PIPELINE.format(count=count, slots=slots, image=image), *words)
        attempts = [each for each in daemon.attempts(run) if each["outcome"] == "SUCCEEDED"]
    if len(attempts) != count:
        raise SystemExit(f"bench: {len(attempts)} of {count} tasks succeeded")
    first_us = min(each["started_us"] for each in attempts)
    last_us = max(each["ended_us"] for each in attempts)
    began_us = min(each["received_us"] for each in attempts)
    return {
        "per_s": count / ((last_us - first_us) / 1e6),
        "whole_per_s": count / ((last_us - began_us) / 1e6),  # the start of the container counted
    }


def _hyperqueue(folder: Path, count: int, slots: int, runtime: str, image: str) -> dict[str, float] | None:
    folder.mkdir()
    words = [sys.executable, "-I", str(HERE / "hyperqueue_pool.py"), str(count), str(folder), str(slots)]
    (took_s,) = numbers([*words, runtime, "--quiet", "exec", image])
    return {"per_s": count / took_s} if took_s else None


def _show(options: argparse.Namespace, rounds: list[dict[str, Any]]) -> None:
    def of(name: str, key: str = "per_s") -> list[float]:
        return [each[name][key] for each in rounds if each[name]]

    def row(title: str, values: list[float], base: list[float]) -> list[str]:
        if not values:
            return [title, "not installed here", ""]
        return [title, spread(values), spread(ratios(values, base), ".3f")]

    rows = [
        ["", "tasks/s", "of the bare host"],
        row("the bare host", of("bare"), of("bare")),
        row("a warm container", of("warm"), of("bare")),
        row("the same, its start counted", of("warm", "whole_per_s"), of("bare", "whole_per_s")),
        row("a warm container, image unpacked on the node's disk", of("unpacked"), of("bare")),
        row("the same, unpacking counted", of("unpacked", "whole_per_s"), of("bare", "whole_per_s")),
        row("one container a task", of("each"), of("bare")),
        row("HyperQueue, `exec` a task", of("hq"), of("bare")),
    ]
    times = median(ratios(of("warm"), of("each")))
    notes = [f"warm did {times:.0f} times the tasks/s of one container a task"]
    if of("hq"):
        times = median(ratios(of("warm"), of("hq")))
        notes.append(f"and {times:.0f} times those of HyperQueue's PyPI package running `exec`, {CAVEAT}")
    what = f"{options.contained_tasks} of /bin/true (one container a task: {options.each_tasks})"
    show(f"containers: {what} on {options.slots} slots, {len(rounds)} rounds", rows, *notes)
