"""A whole agent whose only way home is the relay: it works through kills, and each result counts once."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scalebox_hpc.bundle import build_agent, build_relay
from scalebox_hpc.sites.relay import LinkDown, LinkUp, RelayLink, RelayPlace
from tests.cluster.box import wait_until
from tests.contract.relay_rig import DEADLINE_S, PYTHON, Here, kill
from tests.unit.agent.fake_daemon import HOME, TRY, FakeDaemon

TASKS = 150


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    shared = tmp_path / "shared"
    (shared / "results").mkdir(parents=True)
    build_agent(shared / "agent.pyz")
    build_relay(shared / "relay.pyz")
    with FakeDaemon(shared) as daemon:
        yield daemon


def agent_words(shared: Path, scratch: Path) -> list[str]:
    words = [
        PYTHON,
        "-I",
        str(shared / "agent.pyz"),
        "run",
        "--shared",
        str(shared),
        "--home",
        HOME,
        "--try",
        TRY,
    ]
    words += ["--element", "0", "--restart", "0", "--incarnation", secrets.token_hex(8)]
    return [*words, "--scratch", str(scratch)]


def test_results_come_home_once_whatever_is_killed(daemon: FakeDaemon, tmp_path: Path) -> None:
    direct = json.loads((daemon.shared / "contact.json").read_text())["addresses"][0].rpartition(":")
    place = RelayPlace(PYTHON, str(daemon.shared / "relay.pyz"), str(daemon.shared), HOME, daemon.fingerprint)
    transport, news = Here(), list[LinkUp | LinkDown]()
    link = RelayLink(
        transport, place, lambda: socket.create_connection((direct[0], int(direct[2]))), news.append
    )

    def ups(count: int) -> bool:
        return sum(isinstance(one, LinkUp) for one in news) >= count

    daemon.sheet(1, words=["/bin/sh", "-c", 'sleep 0.02; echo "$SBX_BODY"'])
    leases = [daemon.add(str(number)) for number in range(TASKS)]
    wait_until(lambda: ups(1), DEADLINE_S)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    words = agent_words(daemon.shared, scratch)
    with subprocess.Popen(words, env={**os.environ, "SBX_INCARNATION": words[-3]}) as agent:
        wait_until(lambda: len(daemon.results) >= 10, DEADLINE_S)
        kill(json.loads((daemon.shared / "relay.json").read_text())["pid"])
        wait_until(lambda: ups(2) and len(daemon.results) >= 60, DEADLINE_S)
        kill(transport.opened[-1].process.pid)
        wait_until(lambda: len(daemon.results) == TASKS, DEADLINE_S)
        assert agent.wait(60) == 0
    assert [daemon.results[lease]["stdout"] for lease in leases] == [f"{number}\n" for number in range(TASKS)]
    assert len(daemon.hellos) == 1, "the same agent all the time"
    assert ups(3)
    link.end(stop=True)
    transport.close()
