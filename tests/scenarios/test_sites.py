"""A second site behind a real sshd of this machine, with a stand-in for its Slurm. S14."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scalebox_hpc.testing.sshd import Sshd, program, running
from tests.scenarios.lab import Lab, command_lines

SLURM = Path(__file__).parent / "stand_in_slurm"
SITE = """
batch = "slurm_cli"
python = "python3"
interval = "1s"
advertise = "127.0.0.1"

[paths]
shared = "{shared}"

[ssh]
host = "{host}"
port = {port}
key = "{key}"
known_hosts = "{known_hosts}"

[machines.small]
cpus = 2
memory = "2G"
"""


@dataclass(frozen=True)
class Other:
    """Site b."""

    server: Sshd
    shared: Path
    gate: Path  # a file for which tasks wait

    def open_gate(self) -> None:
        """Let tasks end."""
        self.gate.touch()

    @property
    def folder(self) -> Path:
        """The shared folder of the lab's home."""
        (found,) = self.shared.iterdir()
        return found

    def relays(self) -> list[int]:
        """The processes of its relays."""
        mark = str(self.shared).encode()
        return [
            pid for pid, words in command_lines() if b"serve" in words and any(mark in word for word in words)
        ]


@pytest.fixture
def other(lab: Lab, tmp_path: Path) -> Iterator[Other]:
    if program() is None:
        pytest.skip("no sshd is installed (apt-get install openssh-server)")
    state = tmp_path / "slurm"
    path = f"{SLURM}:{os.environ['PATH']}"
    more = f'SetEnv "PATH={path}" "STAND_IN_SLURM={state}"\n'
    with running(tmp_path / "sshd", more) as server:
        ssh, shared = server.ssh, tmp_path / "b" / "shared"
        text = SITE.format(
            shared=shared, host=ssh.host, port=ssh.port, key=ssh.key, known_hosts=ssh.known_hosts
        )
        lab.example("cross-site-primes")
        lab.file("site-configs/b.toml", text)
        yield Other(server, shared, tmp_path / "gate")
        lab.close()


GATED = """
sbx = 1
[pipeline]
name = "gated"
[modules.far]
run = ["./far.sh", "{body}"]
seed = ["1", "2", "3", "4", "5", "6"]
site = "b"
to = ["near"]
resources = { memory = "100M", time = "5m" }
[modules.near]
run = "sort -n {bodies} | paste -sd+"
gather = { by = "all" }
resources = { memory = "100M", time = "5m" }
"""
FAR = """#!/bin/sh
echo "$1" begins
while [ ! -e "GATE" ]; do sleep 0.1; done
echo "$1" ends
echo "$1" > messages.txt
"""


PUBLISH = """
sbx = 1
[pipeline]
name = "publish"
[modules.work]
run = ["./work.sh", "{body}"]
seed = ["x"]
"""
WORK = """#!/bin/sh
mkdir publish
echo "$1 at $SBX_SITE without a pipeline of its own$SBX_PIPELINE, $SBX_RESULTS" > publish/"$1".txt
"""


def test_s14_primes_are_counted_at_another_site(lab: Lab, other: Other) -> None:
    lab.run()
    assert lab.result("total.txt") == "1229\n"
    rows = lab.rows()
    assert {row["module"]: row["site"] for row in rows} == {
        "scatter": "local",
        "count": "b",
        "total": "local",
    }
    assert len(rows) == 12
    here, there = lab.status()["sites"]
    assert (here["site"], here["remote"], there["site"], there["remote"]) == ("local", False, "b", True)
    assert there["results"].startswith(str(other.shared))
    task = next(row["task"] for row in rows if row["module"] == "count")
    assert lab.sbx("log", task).stdout == next(row["stdout"] for row in rows if row["task"] == task)
    assert "results there in" in lab.sbx("status").text
    lab.wait(lambda: not other.relays(), 60.0, "the end of the relay, which nobody needs")
    tries = {path.name.split(".")[0] for path in (other.folder / "tries").iterdir()}
    assert tries == {f"sbx-{lab.status()['run']}-default-b"}, "tokens of tries there, and of no others"
    left = {path.name for path in (other.folder / "runs").iterdir()}
    assert left == set(), "the run SUCCEEDED, so what its tasks shared is gone"


def test_a_run_may_be_at_another_site_as_a_whole(lab: Lab, other: Other) -> None:
    lab.pipeline(PUBLISH, work_sh=WORK)
    done = lab.run("--site", "b")
    there = other.folder / "results" / lab.status()["run"]
    assert f"results  {there} at b" in done.text
    assert (there / "x.txt").read_text() == f"x at b without a pipeline of its own, {there}\n"
    assert {row["site"] for row in lab.rows()} == {"b"}
    token = json.loads((lab.home / "daemon.json").read_text())["token"].encode()
    key, tls_key = ((lab.home / name).read_bytes() for name in ("key", "tls.key"))
    text = b"".join(path.read_bytes() for path in other.folder.rglob("*") if path.is_file())
    assert [secret in text for secret in (token, key, key.hex().encode(), tls_key)] == [False] * 4
    assert lab.sbx("rm", there.name, "--results", "--yes").exit_code == 0
    lab.wait(lambda: not there.exists(), 60.0, "the removal of the run's results at b")
    assert list((other.folder / "logs").iterdir()) == []


def test_elements_that_cannot_start_there_say_why(lab: Lab, other: Other) -> None:
    site = lab.directory / "site-configs" / "b.toml"
    site.write_text(site.read_text().replace('python = "python3"', 'python = "/nonexistent/python9"', 1))
    lab.pipeline(PUBLISH, work_sh=WORK)
    done = lab.run("--site", "b", exit_code=3)
    assert "pool default is paused" in done.text
    lab.wait(lambda: "python9" in lab.status()["pools"][0]["reason"], 30.0, "the words of a silent element")


def test_a_link_that_is_lost_pauses_the_site_and_loses_nothing(lab: Lab, other: Other) -> None:
    start(lab, other)
    other.server.stop()
    paused = lab.wait(lambda: site_b(lab)["state"] == "paused" and site_b(lab), 60.0, "word of the lost link")
    assert paused["reason"]
    assert "site b cannot be reached, so its tasks wait" in lab.sbx("status").text
    other.open_gate()  # what runs there ends while nobody can hear it
    other.server.start()
    assert_right(lab)
    assert site_b(lab)["state"] == "ok"


def test_relay_and_daemon_may_be_killed_at_once(lab: Lab, other: Other) -> None:
    start(lab, other)
    relays = other.relays()
    lab.kill_daemon()
    for pid in relays:
        os.kill(pid, signal.SIGKILL)
    assert lab.sbx("daemon", "start").exit_code == 0
    other.open_gate()
    assert_right(lab)


def test_a_daemon_that_starts_again_finds_the_relay_at_work(lab: Lab, other: Other) -> None:
    start(lab, other)
    before = other.relays()
    lab.kill_daemon()
    assert lab.sbx("daemon", "start").exit_code == 0
    running = next(task["task"] for task in lab.tasks("far") if task["state"] == "RUNNING")
    log = lab.wait(lambda: lab.sbx("log", running).stdout, 20.0, str(lab.sbx("log", running)))
    assert log.endswith("begins\n")
    assert other.relays() == before
    other.open_gate()
    assert_right(lab)


def start(lab: Lab, other: Other) -> None:
    """Begin a run whose tasks at site b wait for the gate, and wait until some have begun."""
    lab.pipeline(GATED, far_sh=FAR.replace("GATE", str(other.gate)))
    assert lab.sbx("run", "pipeline.toml", "--detach").exit_code == 0
    lab.wait(lambda: lab.module("far")["running"] >= 2, 90.0, "tasks at site b")


def site_b(lab: Lab) -> dict[str, Any]:
    return next(site for site in lab.status()["sites"] if site["site"] == "b")


def assert_right(lab: Lab) -> None:
    """The run ends well, and each of its tasks has succeeded once."""
    assert lab.wait_for_end()["state"] == "SUCCEEDED"
    rows = lab.rows()
    assert sorted(row["task"] for row in rows if row["outcome"] == "SUCCEEDED") == sorted(
        ["near.1", *(f"far.{n}" for n in range(1, 7))]
    )
    assert next(row["stdout"] for row in rows if row["module"] == "near") == "1+2+3+4+5+6\n"
