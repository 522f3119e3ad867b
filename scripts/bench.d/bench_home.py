"""A home to measure in: its daemon, its runs, and what the processes cost.

It knows `sbx` by its command line and by `scalebox_hpc.client`, as any user does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scalebox_hpc.client import Daemon

SBX = str(Path(sys.executable).parent / "sbx")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
LOOK_S = 0.05


class BenchHome:
    """One home with a pipeline beside it. Its daemon runs while `running` is entered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pipeline = folder / "pipeline.toml"
        self.home = folder / ".sbx"
        self.env = {**os.environ, "SBX_HOME": str(self.home)}
        folder.mkdir()

    @contextmanager
    def running(self) -> Iterator[Daemon]:
        """Start the daemon and stop it at the end, with everything of it."""
        self.sbx("daemon", "start")
        try:
            with Daemon.of_home(self.home) as daemon:
                yield daemon
                for run in daemon.runs():
                    if run["state"] in ("LOADING", "RUNNING"):
                        daemon.cancel(run["run"])
                wait_for(lambda: self.agent_pid() is None, "the agent's end")
        finally:
            self.sbx("daemon", "stop")

    def sbx(self, *words: str) -> str:
        """Run a verb of sbx here and return what it printed."""
        done = subprocess.run(
            [SBX, *words], cwd=self.folder, env=self.env, stdout=subprocess.PIPE, text=True, check=True
        )
        return done.stdout

    def run(self, pipeline: str, *words: str) -> str:
        """Run a pipeline and return the run's id; with `--detach` before it is over."""
        self.pipeline.write_text(pipeline, encoding="utf-8")
        return self.sbx("run", "--quiet", *words, str(self.pipeline)).split()[0]

    def agent_pid(self) -> int | None:
        """The process of this home's agent, if one lives."""
        wanted = str(self.home).encode()
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                words = _read(f"/proc/{entry}/cmdline").split(b"\0")
                if (
                    words[2:4]
                    and words[2].endswith(b"agent.pyz")
                    and words[3] == b"run"
                    and wanted in words[2]
                ):
                    return int(entry)
        return None


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def cpu_s(pid: int) -> float | None:
    """CPU that a process has used itself, its children excluded; None where it is gone."""
    text = _read(f"/proc/{pid}/stat").rpartition(b") ")[2].split()
    return (int(text[11]) + int(text[12])) * TICK_S if text else None


def finer_cpu_s(pid: int) -> float:
    """The same to the nanosecond, of the threads that live."""
    threads = os.listdir(f"/proc/{pid}/task")
    return sum(int(_read(f"/proc/{pid}/task/{thread}/schedstat").split()[0]) for thread in threads) / 1e9


def peak_mib(pid: int) -> float:
    """The most memory that a process has had; 0 where it is gone."""
    lines = dict(line.split(b":", 1) for line in _read(f"/proc/{pid}/status").splitlines())
    return int(lines.get(b"VmHWM", b"0 kB").split()[0]) / 1024


def wait_for(is_so: Callable[[], bool], what: str, within_s: float = 600.0) -> None:
    """Wait until something is so. Raises SystemExit when it takes too long."""
    nap, until = threading.Event(), time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > until:
            raise SystemExit(f"bench: {what} did not come within {within_s:.0f} s")
        nap.wait(LOOK_S)


class AgentMeter:
    """Watches the agent of a home from beside and keeps the last it saw of its CPU time."""

    def __init__(self, home: BenchHome) -> None:
        self.cpu_s = 0.0
        self._home, self._over = home, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> AgentMeter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        pid: int | None = None
        while not self._over.wait(LOOK_S):
            pid = pid or self._home.agent_pid()
            used = cpu_s(pid) if pid else None
            self.cpu_s = used or self.cpu_s
