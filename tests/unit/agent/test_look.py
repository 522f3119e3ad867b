"""What the agent's file finds on a node for the doctor, as a process of its own."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.box import wait_until
from tests.unit.agent.conftest import Agents
from tests.unit.agent.fake_daemon import TRY, FakeDaemon


def look(agents: Agents, *more: str) -> dict[str, Any]:
    """Let it look, and answer its first word as the doctor does: with the clock of 1970."""
    folder = agents.daemon.shared / "tries" / TRY
    process = subprocess.Popen(
        agents.words("probe", "--walltime-s", "100", *more), stderr=subprocess.PIPE, text=True
    )
    agents.started.append(process)
    wait_until((folder / "here.json").exists, 20, "its first word")
    (folder / "seen.new").write_text(json.dumps({"clock_s": 0.0}))
    (folder / "seen.new").rename(folder / "seen.json")
    assert process.wait(30) == 0
    return dict(json.loads((folder / "found.json").read_text()))


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_each_address_is_tried_in_order(
    agents: Agents, daemon: FakeDaemon, scratch: Path, closed_port: int
) -> None:
    real = json.loads((daemon.shared / "contact.json").read_text())["addresses"][0]
    daemon.write_contact([f"127.0.0.1:{closed_port}", real])
    daemon.do_hello = "leave"
    found = look(agents, "--scratch", str(scratch))
    assert [each["address"] for each in found["addresses"]] == [f"127.0.0.1:{closed_port}", real]
    assert [each["status"] for each in found["addresses"]] == [0, 200]
    assert "ECONNREFUSED" in found["addresses"][0]["said"]
    assert daemon.hellos[-1]["try"] == TRY
    assert (found["scratch"], found["scratch_problem"]) == (str(scratch), "")
    assert not list(scratch.iterdir())
    assert found["seen"]["ahead_s"] > 1e9  # its clock is ahead of one that stands in 1970
    assert not daemon.ended


def test_another_certificate_is_not_ours(agents: Agents, daemon: FakeDaemon) -> None:
    real = json.loads((daemon.shared / "contact.json").read_text())["addresses"]
    daemon.write_contact(real, fingerprint="0" * 64)
    [tried] = look(agents)["addresses"]
    assert tried["status"] == 0
    assert "not the one that contact.json names" in tried["said"]


def test_what_cannot_be_read_or_written_is_told(agents: Agents, daemon: FakeDaemon) -> None:
    (daemon.shared / "contact.json").unlink()
    found = look(agents, "--scratch", "/proc/nowhere")
    assert "contact.json cannot be read" in found["problem"]
    assert "/proc/nowhere" in found["scratch_problem"]
