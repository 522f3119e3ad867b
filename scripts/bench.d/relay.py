"""What the relay of a remote site takes: memory with many connections, and CPU beside direct ones.

Both ways lead to the same TLS server, by turns in one run; the processes are measured one by one.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from bench_home import finer_cpu_s
from table import show

from scalebox_hpc.bundle import build_relay

MIB = 1 << 20
SYNC_BYTES = 2048  # each way; about what a sync with a few results takes
PARTS = ("relay", "attach", "home end", "server")


class Both:
    """The server at home, reached directly or through a relay."""

    def __init__(self, folder: Path) -> None:
        self._shared = folder / "shared"
        self._shared.mkdir(parents=True, mode=0o700)
        build_relay(self._shared / "relay.pyz")
        self._ends: list[subprocess.Popen[str]] = []
        port = self._start("serve", str(folder))["port"]
        attach = self._start("link", str(folder), str(port))["attach"]
        record = json.loads((self._shared / "relay.json").read_text())
        self.ports = {"direct": port, "relay": record["port"]}
        server, link = (end.pid for end in self._ends)
        self.pids = {"relay": record["pid"], "attach": attach, "home end": link, "server": server}
        self._context = ssl.create_default_context(cafile=str(folder / "tls.crt"))
        self._context.check_hostname = False

    def _start(self, *words: str) -> dict[str, int]:
        program = str(Path(__file__).with_name("relay_home.py"))
        end = subprocess.Popen(
            [sys.executable, program, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._ends.append(end)
        assert end.stdout is not None
        return dict(json.loads(end.stdout.readline()))

    def connect(self, way: str) -> ssl.SSLSocket:
        """Open a connection as an agent does."""
        raw = socket.create_connection(("127.0.0.1", self.ports[way]), timeout=60)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._context.wrap_socket(raw)

    def cpu(self) -> dict[str, float]:
        """CPU seconds of each process so far."""
        return {name: finer_cpu_s(pid) for name, pid in self.pids.items()}

    def memory(self) -> dict[str, float]:
        """MiB of each process now."""
        page = os.sysconf("SC_PAGE_SIZE")
        texts = {name: Path(f"/proc/{pid}/statm").read_text() for name, pid in self.pids.items()}
        return {name: int(text.split()[1]) * page / MIB for name, text in texts.items()}

    def close(self) -> None:
        """End them all, the line before the server."""
        for end in reversed(self._ends):
            end.communicate("")


@contextmanager
def both(folder: Path) -> Iterator[Both]:
    """Run the server, the line and the relay."""
    made = Both(folder)
    try:
        yield made
    finally:
        made.close()


def bounce(connection: ssl.SSLSocket, data: bytes) -> None:
    """Send bytes and take back as many."""
    connection.sendall(data)
    left = len(data)
    while left:
        left -= len(connection.recv(left))


def bulk(ends: Both, way: str, mib: int) -> dict[str, float]:
    """What it takes to send so many MiB there and back, per MiB carried."""
    data = os.urandom(64 << 10)
    with ends.connect(way) as connection:
        bounce(connection, data)
        before, began = ends.cpu(), time.monotonic()
        for _ in range(mib * MIB // len(data)):
            bounce(connection, data)
        took_s, after = time.monotonic() - began, ends.cpu()
    used = {name: (after[name] - before[name]) / (2 * mib) * 1e3 for name in PARTS}
    return {**used, "rate": 2 * mib / took_s}


def syncs(ends: Both, way: str, count: int) -> dict[str, float]:
    """What a small request and its answer take, ten connections by turns."""
    data = os.urandom(SYNC_BYTES)
    with ExitStack() as stack:
        connections = [stack.enter_context(ends.connect(way)) for _ in range(10)]
        before, began = ends.cpu(), time.monotonic()
        for number in range(count):
            bounce(connections[number % 10], data)
        took_s, after = time.monotonic() - began, ends.cpu()
    used = {name: (after[name] - before[name]) / count * 1e6 for name in PARTS}
    return {**used, "rate": count / took_s}


def crowds(ends: Both, sizes: list[int]) -> dict[int, dict[str, float]]:
    """Memory while so many connections are open and idle."""
    found = {0: ends.memory()}
    with ExitStack() as stack:
        opened = 0
        for size in sizes:
            while opened < size:
                bounce(stack.enter_context(ends.connect("relay")), b"here")
                opened += 1
            found[size] = ends.memory()
    return found


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure memory first, while nothing has been carried, then CPU by turns."""
    sizes = [int(size) for size in options.relay_connections.split(",")]
    rounds: dict[str, list[dict[str, float]]] = {}
    with both(folder / "relay") as ends:
        memory = crowds(ends, sizes)
        for _ in range(options.rounds):
            for way in ("direct", "relay"):
                rounds.setdefault(f"MiB {way}", []).append(bulk(ends, way, options.relay_mib))
                rounds.setdefault(f"sync {way}", []).append(syncs(ends, way, options.relay_syncs))
        memory[-1] = ends.memory()
    _show(memory, rounds, options)
    return {"relay": {"memory_mib": memory, "rounds": rounds}}


def _show(
    memory: dict[int, dict[str, float]],
    rounds: dict[str, list[dict[str, float]]],
    options: argparse.Namespace,
) -> None:
    titles = {0: "idle", -1: "after all was carried"}
    rows = [["memory, MiB", *PARTS]]
    for size, used in memory.items():
        name = titles.get(size, f"{size} connections")
        rows.append([name, *(f"{used[part]:.1f}" for part in PARTS)])
    show("the relay of a remote site: memory", rows)
    rows = [["CPU", *PARTS, "rate"]]
    units = {"MiB": ("ms a MiB", 2, "MiB/s"), "sync": ("µs a sync", 0, "syncs/s")}
    for name, found in rounds.items():
        unit, digits, rate = units[name.split()[0]]
        middle = {part: median(one[part] for one in found) for part in (*PARTS, "rate")}
        used = [f"{middle[part]:.{digits}f}" for part in PARTS]
        rows.append([f"{unit}, {name.split()[1]}", *used, f"{middle['rate']:.0f} {rate}"])
    show(
        f"the same: CPU, median of {options.rounds}",
        rows,
        f"{options.relay_mib} MiB there and back in pieces of 64 KiB;"
        f" {options.relay_syncs} syncs of 2 KiB each way, one at a time",
    )
