"""Measures what `scripts/bench` measures, prints a table for each part and writes the figures as JSON.

It asserts nothing: what the figures are held against stands in docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

PARTS = {
    "noop": "throughput",
    "peers": "throughput",
    "claims": "claims",
    "queued": "queued",
    "gather": "gather",
    "latency": "latency",
    "idle": "idle",
    "containers": "containers",
    "relay": "relay",
    "remote": "remote",
    "scale": "scale",
    "idle-agents": "idle_agents",
    "thunder": "thunder",
    "transfers": "transfers",
}
CROWDED = ("scale", "idle-agents", "thunder", "transfers")  # take long, and are measured when asked for only


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.splitlines()[0])
    number = {"type": int, "metavar": "N"}
    usual = ",".join(part for part in PARTS if part not in CROWDED)
    parser.add_argument(
        "--parts", default=usual, help=f"comma separated, of {','.join(PARTS)} (default %(default)s)"
    )
    parser.add_argument("--rounds", default=3, **number, help="of noop and peers (default %(default)s)")
    parser.add_argument(
        "--tasks", default=20_000, **number, help="of sbx and the bare pools (default %(default)s)"
    )
    parser.add_argument("--hq-tasks", default=5000, **number, help="of HyperQueue (default %(default)s)")
    parser.add_argument("--parallel-tasks", default=2000, **number, help="of parallel (default %(default)s)")
    parser.add_argument(
        "--rows", default="10000,1000000", help="sizes of the ledgers claimed from (default %(default)s)"
    )
    parser.add_argument(
        "--queued", default=1_000_000, **number, help="tasks queued in a daemon (default %(default)s)"
    )
    parser.add_argument(
        "--members", default=1_000_000, **number, help="of the gather task (default %(default)s)"
    )
    parser.add_argument(
        "--steps", default=200, **number, help="of the chain for latency (default %(default)s)"
    )
    parser.add_argument("--idle-s", default=60.0, type=float, help="length of the idle parts (default 60)")
    parser.add_argument("--image", type=Path, help="for containers: what the tasks run in")
    parser.add_argument("--slots", default=4, **number, help="of containers (default %(default)s)")
    parser.add_argument(
        "--contained-tasks", default=5000, **number, help="of warm containers (default %(default)s)"
    )
    parser.add_argument(
        "--each-tasks", default=200, **number, help="of one container a task (default %(default)s)"
    )
    add_relay(parser)
    add_scale(parser)
    add_transfers(parser)
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary directory)")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    options.parts = options.parts.split(",")
    for name in ("rows", "scale_tasks", "scale_postgres"):
        setattr(options, name, [int(size) for size in getattr(options, name).split(",") if size])
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return options


def add_relay(parser: argparse.ArgumentParser) -> None:
    """Add what the part with a relay knows."""
    number = {"type": int, "metavar": "N"}
    parser.add_argument(
        "--relay-connections", default="100,1000", help="idle ones of relay (default %(default)s)"
    )
    parser.add_argument(
        "--relay-mib", default=64, **number, help="of bulk there and back (default %(default)s)"
    )
    parser.add_argument("--relay-syncs", default=3000, **number, help="of relay (default %(default)s)")
    parser.add_argument(
        "--remote-tasks", default=5000, **number, help="at each site, of remote (default %(default)s)"
    )


def add_scale(parser: argparse.ArgumentParser) -> None:
    """Add what the parts with played agents know."""
    number = {"type": int, "metavar": "N"}
    sizes = "10000,100000,1000000"
    parser.add_argument("--scale-tasks", default=sizes, help="of whole runs on SQLite (default %(default)s)")
    parser.add_argument("--scale-postgres", default=sizes, help="likewise on Postgres (default %(default)s)")
    parser.add_argument(
        "--scale-queued",
        default=5_000_000,
        **number,
        help="tasks only queued, on SQLite (default %(default)s)",
    )
    parser.add_argument("--scale-agents", default=32, **number, help="of scale (default %(default)s)")
    parser.add_argument(
        "--scale-batch", default=500, **number, help="tasks that each of them holds (default %(default)s)"
    )
    parser.add_argument("--idle-agents", default=2000, **number, help="of idle-agents (default %(default)s)")
    parser.add_argument("--thunder-agents", default=500, **number, help="of thunder (default %(default)s)")
    parser.add_argument(
        "--thunder-batch",
        default=100,
        **number,
        help="tasks each of them reports at once (default %(default)s)",
    )


def add_transfers(parser: argparse.ArgumentParser) -> None:
    """Add what the part about transfers knows."""
    number = {"type": int, "metavar": "N"}
    parser.add_argument(
        "--large-mib", default=2048, **number, help="of the file of transfers (default %(default)s)"
    )
    parser.add_argument(
        "--small-files", default=10_000, **number, help="of 4 KiB, of transfers (default %(default)s)"
    )
    parser.add_argument(
        "--many-files", default=100_000, **number, help="for memory, of transfers (default %(default)s)"
    )
    parser.add_argument(
        "--far-mib", default=128, **number, help="over a delayed line, of transfers (default %(default)s)"
    )
    parser.add_argument(
        "--streams", default=8, **number, help="over a delayed line, of transfers (default %(default)s)"
    )


def machine() -> dict[str, Any]:
    """What kind of machine this is, without its name."""
    return {
        "cpus": os.cpu_count(),
        "load_1m": os.getloadavg()[0],
        "python": platform.python_version(),
        "kernel": platform.release(),
    }


def main() -> None:
    """Run the parts one after another."""
    options = arguments()
    figures: dict[str, Any] = {"machine": machine()}
    print("this machine: {cpus} cpus, load {load_1m:.2f}, Python {python}".format(**figures["machine"]))
    files = list(dict.fromkeys(PARTS[part] for part in options.parts))
    with tempfile.TemporaryDirectory(prefix="sbx-bench-", dir=options.folder) as folder:
        for name in files:
            measure: Callable[[argparse.Namespace, Path], dict[str, Any]] = import_module(name).measure
            figures |= measure(options, Path(folder))
            sys.stdout.flush()
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
