"""What it costs to claim tasks from a small and from a large ledger, on the real ledger code.

The ledgers hold nothing but tasks and their messages; claims from them alternate.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from pathlib import Path
from statistics import median
from typing import Any

from table import show

from scalebox_hpc.ledger.sqlite import SqliteStore

AT_ONCE = 64
SLICE = 10_000
CLAIMS = 100
MODULE = 1


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Fill ledgers, claim from them by turns, show the medians."""
    stores = {size: _filled(folder / f"claims-{size}.db", size) for size in options.rows}
    took_us: dict[int, list[float]] = {size: [] for size in stores}
    for turn in range(min(CLAIMS, min(stores) // AT_ONCE)):
        for size, store in stores.items():
            took_us[size].append(_claim(store, turn))
    for store in stores.values():
        store.close()
    medians = {size: median(values) for size, values in took_us.items()}
    least = medians[min(medians)]
    rows = [["tasks in the ledger", "us a claim", "us a task", "of the smallest"]]
    rows += [
        [f"{size}", f"{took:.0f}", f"{took / AT_ONCE:.2f}", f"{took / least:.2f}"]
        for size, took in medians.items()
    ]
    show(f"claiming {AT_ONCE} tasks at a time, {len(took_us[min(medians)])} times", rows)
    return {"claims": {"at_once": AT_ONCE, "us_by_size": medians}}


def _filled(path: Path, size: int) -> SqliteStore:
    store = SqliteStore(path, create=True)
    now_us = time.time_ns() // 1000
    for first in range(1, size + 1, SLICE):
        ids = range(first, min(first + SLICE, size + 1))
        with store.transaction():
            store.many(
                "add_task",
                [(n, MODULE, n, "READY", "", n, _key(n), now_us + first, now_us + first) for n in ids],
            )
            store.many("add_message", [(n, 0, n, MODULE, str(n), None, None, n, None, 1) for n in ids])
    return store


def _key(n: int) -> bytes:
    return hashlib.blake2b(str(n).encode(), digest_size=16).digest()


def _claim(store: SqliteStore, turn: int) -> float:
    now_us = time.time_ns() // 1000 + 10**9
    lease = {"epoch": "00c0ffee", "now": now_us, "agent": 1}
    params = {**lease, "module": MODULE, "count": AT_ONCE, "memory_mib": 1024, "site": None}
    with store.transaction():
        began_ns = time.perf_counter_ns()
        rows = store.rows("claim", params)
        took_us = (time.perf_counter_ns() - began_ns) / 1000
    if len(rows) != AT_ONCE:
        raise SystemExit(f"bench: claim {turn} got {len(rows)} tasks")
    return took_us
