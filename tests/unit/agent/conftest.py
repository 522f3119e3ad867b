"""A daemon, and agents as processes of their own."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scalebox_hpc.agent.child import Children
from scalebox_hpc.bundle import build_agent
from tests.unit.agent.fake_daemon import HOME, TRY, FakeDaemon

PYTHON = os.environ.get("SBX_TEST_AGENT_PYTHON", sys.executable)  # another one may run the agent


class Agents:
    """Starts agents and leaves none behind."""

    def __init__(self, daemon: FakeDaemon, scratch: Path) -> None:
        self.daemon, self.scratch = daemon, scratch
        self.incarnation = secrets.token_hex(8)
        self.started: list[subprocess.Popen[str]] = []
        self.before: list[str] = []  # words before those of an agent that is started
        build_agent(daemon.shared / "agent.pyz")

    def words(self, verb: str, *more: str) -> list[str]:
        """Return the command line of an agent."""
        shared = str(self.daemon.shared)
        fixed = ["--shared", shared, "--home", HOME, "--try", TRY, "--element", "0", "--restart", "0"]
        return [PYTHON, "-I", f"{shared}/agent.pyz", verb, *fixed, "--incarnation", self.incarnation, *more]

    def start(self, *more: str, **env: str) -> subprocess.Popen[str]:
        """Start an agent."""
        agent = subprocess.Popen(
            [*self.before, *self.words("run", "--scratch", str(self.scratch), *more)],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "SBX_INCARNATION": self.incarnation, **env},
        )
        self.started.append(agent)
        return agent

    def alive(self, *markers: str) -> list[int]:
        """Return the processes of this incarnation whose environment holds all markers."""
        wanted = {marker.encode() for marker in (*markers, f"SBX_INCARNATION={self.incarnation}")}
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    if wanted <= set(Path(f"/proc/{name}/environ").read_bytes().split(b"\0")):
                        found.append(int(name))
                except OSError:
                    continue
        return found

    def end(self) -> None:
        """Kill what is still there, as the wrapper of an element does."""
        for agent in self.started:
            if agent.poll() is None:
                agent.kill()
            said = agent.communicate()[1]
            print(said, file=sys.stderr)
        for pid in self.alive():
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(autouse=True)
def no_other_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the children that this process has already, such as a Postgres of other tests.

    To an agent every child that is not a task's own is an orphan, which it kills.
    """
    listed, others = Children._list_raw, set(children_of_this_thread())
    monkeypatch.setattr(
        Children, "_list_raw", lambda self: [pid for pid in listed(self) if pid not in others]
    )


def children_of_this_thread() -> list[bytes]:
    try:
        return Path(f"/proc/self/task/{threading.get_native_id()}/children").read_bytes().split()
    except OSError:
        return []  # a kernel without the list


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    shared = tmp_path / "shared dir"
    (shared / "results").mkdir(parents=True)
    with FakeDaemon(shared) as daemon:
        yield daemon


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    path = tmp_path / "scratch"
    path.mkdir()
    return path


@pytest.fixture
def agents(daemon: FakeDaemon, scratch: Path) -> Iterator[Agents]:
    agents = Agents(daemon, scratch)
    yield agents
    agents.end()


@pytest.fixture
def run(daemon: FakeDaemon, agents: Agents) -> Callable[..., dict[str, object]]:
    """Run one task of module 1 on an agent of its own; returns its result."""

    def run(script: str, body: str = "a body", headers: dict[str, str] | None = None, **sheet: object):
        if 1 not in daemon.sheets or sheet:
            daemon.sheet(1, words=["/bin/sh", "-c", script], **sheet)
        if not agents.started:
            agents.start()
        return daemon.wait_for_result(daemon.add(body, headers=headers or {}))

    return run
