"""Whole runs through played agents, ten thousand tasks to a million, on both ledgers, and millions queued."""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench_home import cpu_s, peak_mib, wait_for
from crowded_home import CrowdedHome, PlayedCrowd
from table import show

from scalebox_hpc.client import Daemon
from scalebox_hpc.testing.postgres import Postgres, programs

LOOK_S = 0.2
ON_DISK = "/var/tmp"  # where any user may go: root's Postgres runs as another one
DURABLE = """fsync = on
full_page_writes = on
shared_buffers = 128MB
autovacuum_naptime = 1min
max_wal_size = 4GB
"""
COLUMNS = (  # title, key, form
    ("spool us", "spool_us", ".1f"),
    ("ingest us", "ingest_us", ".1f"),
    ("ingested/s", "ingest_per_s", ".0f"),
    ("done/s", "per_s", ".0f"),
    ("us", "daemon_us", ".1f"),
    ("early", "early_us", ".1f"),
    ("late", "late_us", ".1f"),
    ("MiB", "most_mib", ".0f"),
    ("bytes", "bytes_a_task", ".0f"),
    ("a sync", "a_sync", ".0f"),
    ("agents us", "crowd_us", ".1f"),
)


class Seen(NamedTuple):
    """The daemon at one moment."""

    at_s: float  # of the wall clock
    cpu_s: float
    done: int


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure each size on each ledger and show a row for each."""
    found = [_whole_run(options, folder / f"sqlite-{tasks}", tasks) for tasks in options.scale_tasks]
    if options.scale_queued:
        found.append(_only_queued(options, folder / "sqlite-queued", options.scale_queued))
    for tasks in options.scale_postgres:
        with _server() as address:
            if not address:
                print("scale: no Postgres is installed here, so there are no figures for it")
                break
            found.append(_whole_run(options, folder / f"postgres-{tasks}", tasks, address))
    _show(options, found)
    return {"scale": {"agents": options.scale_agents, "batch": options.scale_batch, "runs": found}}


@contextmanager
def _server() -> Iterator[str]:
    """The address of a Postgres that keeps what it is told; "" where there are no programs for it."""
    found = programs()
    if found is None:
        yield ""
        return
    with tempfile.TemporaryDirectory(prefix="sbx-pg-", dir=ON_DISK, ignore_cleanup_errors=True) as place:
        server = Postgres(Path(place), found)
        server.make()
        with (server.folder / "data" / "postgresql.conf").open("a") as settings:
            settings.write(DURABLE)
        server.start()
        try:
            yield server.address
        finally:
            server.stop()


def _whole_run(options: argparse.Namespace, folder: Path, tasks: int, address: str = "") -> dict[str, Any]:
    home, agents, batch = CrowdedHome(folder, address), options.scale_agents, options.scale_batch
    with home.running() as daemon:
        pid = daemon.daemon_status()["pid"]
        run, figures = _load(home, daemon, tasks, agents)
        with home.crowds(agents, batch) as crowds:
            figures |= _work(daemon, run, pid, crowds, tasks)
        status, about = daemon.status(run), daemon.daemon_status()
    if status["state"] != "SUCCEEDED" or status["succeeded"] != tasks:
        raise SystemExit(f"bench: {status['succeeded']} of {tasks} tasks succeeded: {status['state']}")
    return {
        **{"ledger": "postgres" if address else "sqlite", "tasks": tasks, **figures},
        "bytes_a_task": about["ledger_bytes"] / tasks,
    }


def _load(home: CrowdedHome, daemon: Daemon, tasks: int, agents: int) -> tuple[str, dict[str, float]]:
    """Submit a run and wait until all its tasks are in the ledger."""
    pid = daemon.daemon_status()["pid"]
    home.write_seeds(tasks)
    before_s, began_s = cpu_s(pid) or 0.0, time.monotonic()
    run = home.submit(agents)
    accepted_s, spooled_s = time.monotonic(), cpu_s(pid) or 0.0
    wait_for(lambda: daemon.status(run)["state"] != "LOADING", "the last seed")
    loaded_s, after_s = time.monotonic(), cpu_s(pid) or 0.0
    return run, {
        "spool_us": (spooled_s - before_s) / tasks * 1e6,
        "spool_s": accepted_s - began_s,
        "ingest_us": (after_s - spooled_s) / tasks * 1e6,
        "ingest_per_s": tasks / (loaded_s - accepted_s),
        "most_mib": peak_mib(pid),
    }


def _only_queued(options: argparse.Namespace, folder: Path, tasks: int) -> dict[str, Any]:
    home = CrowdedHome(folder)
    with home.running() as daemon:
        run, figures = _load(home, daemon, tasks, options.scale_agents)
        if daemon.status(run)["tasks"] != tasks:
            raise SystemExit(f"bench: {daemon.status(run)['tasks']} of {tasks} tasks are there")
        about = daemon.daemon_status()
    return {
        **{"ledger": "sqlite, queued only", "tasks": tasks, **figures},
        "bytes_a_task": about["ledger_bytes"] / tasks,
    }


def _work(daemon: Daemon, run: str, pid: int, crowds: list[PlayedCrowd], tasks: int) -> dict[str, Any]:
    """Let all agents work until the run is over, and look on."""
    seen, nap = [_look(daemon, run, pid)], threading.Event()
    for crowd in crowds:
        crowd.say("work")
    for crowd in crowds:
        crowd.hear()
    while seen[-1].done < tasks:
        nap.wait(LOOK_S)
        seen.append(_look(daemon, run, pid))
    ended = [crowd.end() for crowd in crowds]
    first, last = seen[0], seen[-1]
    early = next(each for each in seen if each.done >= 0.2 * tasks)
    late = next(each for each in reversed(seen) if each.done <= 0.8 * tasks)
    return {
        "per_s": tasks / (last.at_s - first.at_s),
        "daemon_us": (last.cpu_s - first.cpu_s) / tasks * 1e6,
        "early_us": _each_us(first, early),
        "late_us": _each_us(late, last),
        "most_mib": peak_mib(pid),
        "crowd_us": sum(each["cpu_s"] for each in ended) / tasks * 1e6,
        "a_sync": tasks / sum(each["syncs"] for each in ended),
    }


def _each_us(before: Seen, after: Seen) -> float:
    return (after.cpu_s - before.cpu_s) / (after.done - before.done) * 1e6


def _look(daemon: Daemon, run: str, pid: int) -> Seen:
    return Seen(time.monotonic(), cpu_s(pid) or 0.0, daemon.status(run)["succeeded"])


def _show(options: argparse.Namespace, found: list[dict[str, Any]]) -> None:
    rows = [["tasks", "ledger", *(name for name, _, _ in COLUMNS)]]
    for each in found:
        values = [each.get(key) for _, key, _ in COLUMNS]
        cells = [
            "" if value is None else format(value, form)
            for value, (_, _, form) in zip(values, COLUMNS, strict=True)
        ]
        rows.append([f"{each['tasks']}", each["ledger"], *cells])
    show(
        f"{options.scale_agents} played agents that hold up to {options.scale_batch} tasks each",
        rows,
        "us are CPU of the daemon a task: spooling seeds, making tasks of them, all else; early and late:"
        " of the first and the last fifth",
    )
