"""A home whose ledger is in Postgres: real daemons, real agents, a real server that may be killed."""

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from scalebox_hpc.testing.postgres import Postgres, postgres, programs
from tests.scenarios.lab import Lab, ThisMachine, lab_at

TOTAL = "1229\n"  # primes below 10 000
TASKS = 80
KILLS, MANY_TASKS = 5, 400
SMALL = ("-p", "limit=10000", "-p", f"step={10_000 // TASKS}")


@pytest.fixture(scope="module")
def own() -> Iterator[Postgres]:
    """A server that tests here kill and start again."""
    if programs() is None:
        pytest.skip("no Postgres server is installed (apt-get install postgresql)")
    with postgres() as made:
        yield made


@pytest.fixture
def pg_lab(lab: Lab, own: Postgres) -> Lab:
    lab.env["SBX_LEDGER"] = own.address
    lab.example("primes")
    return lab


def check_primes(lab: Lab, tasks: int = TASKS) -> None:
    assert lab.wait_for_end()["state"] == "SUCCEEDED"
    assert lab.result("total.txt") == TOTAL
    assert lab.states("count") == {"SUCCEEDED": tasks}
    succeeded = Counter(row["task"] for row in lab.rows() if row["outcome"] == "SUCCEEDED")
    assert set(succeeded.values()) == {1}
    assert len(succeeded) == tasks + 2
    assert lab.sbx("daemon", "stop").exit_code == 0
    assert lab.json("ledger", "check")["broken"] == []


def test_a_run_is_exact_and_the_home_remembers_its_ledger(pg_lab: Lab, own: Postgres) -> None:
    pg_lab.run(*SMALL)
    assert not (pg_lab.home / "ledger.db").exists()
    assert json.loads((pg_lab.home / "home.json").read_text())["ledger"] == own.address
    assert own.address in pg_lab.json("daemon", "status")["ledger"]
    check_primes(pg_lab)
    del pg_lab.env["SBX_LEDGER"]
    assert pg_lab.sbx("daemon", "start").exit_code == 0
    assert pg_lab.status()["state"] == "SUCCEEDED"
    assert pg_lab.sbx("ledger", "move", "sqlite").exit_code == 3, "the daemon has it"
    pg_lab.sbx("daemon", "stop")
    pg_lab.env["SBX_LEDGER"] = "sqlite"
    refused = pg_lab.sbx("daemon", "start")
    assert refused.exit_code == 3
    assert "sbx ledger move sqlite" in refused.stderr
    before = pg_lab.json("ledger", "info")
    moved = pg_lab.json("ledger", "move", "sqlite")
    assert moved["tables"] == before["tables"]
    assert pg_lab.json("ledger", "info")["kind"] == "sqlite"
    assert pg_lab.sbx("daemon", "start").exit_code == 0
    assert pg_lab.status()["state"] == "SUCCEEDED"


def test_kill_9_of_the_server_in_the_middle_of_primes(pg_lab: Lab, own: Postgres) -> None:
    pg_lab.run(*SMALL, "--detach")
    for number in (10, 40):
        pg_lab.wait(lambda: pg_lab.module("count")["succeeded"] >= number, 60, "some tasks")  # noqa: B023
        own.kill()
        said = pg_lab.wait(lambda: _pause(pg_lab), 30, "the pause to be told")
        assert "the server of the ledger" in said
        own.start()
        pg_lab.wait(lambda: pg_lab.sbx("status").exit_code == 0, 60, "the daemon to go on")
    check_primes(pg_lab)
    log = (pg_lab.home / "log" / "daemon.log").read_text()
    assert " ledger.back away_s=" in log
    assert "Traceback" not in log


def _pause(lab: Lab) -> str:
    """What `sbx status` says while the daemon waits; nothing as long as it does not."""
    done = lab.sbx("status")
    return done.stderr if done.exit_code == 4 else ""


def test_kill_9_of_the_daemon_over_postgres(pg_lab: Lab) -> None:
    pg_lab.run(*SMALL, "--detach")
    pg_lab.wait(lambda: pg_lab.module("count")["succeeded"] >= 10, 60, "some tasks")
    pg_lab.kill_daemon()
    assert pg_lab.sbx("daemon", "start").exit_code == 0
    check_primes(pg_lab)


@pytest.fixture
def watched(own: Postgres) -> Iterator[psycopg.Connection[tuple[int]]]:
    """A session beside; each commit takes the server 50 ms, so that it can be seen."""
    slow = {"fsync": "on", "commit_delay": "50000", "commit_siblings": "0"}
    with psycopg.connect(f"host={own.folder} user=sbx dbname=postgres", autocommit=True) as session:
        for name, value in slow.items():
            session.execute(f"ALTER SYSTEM SET {name} = {value}")
        session.execute("SELECT pg_reload_conf()")
        yield session
        session.execute("ALTER SYSTEM RESET ALL")
        session.execute("SELECT pg_reload_conf()")


def test_kill_9_of_the_daemon_in_a_commit(pg_lab: Lab, watched: psycopg.Connection[tuple[int]]) -> None:
    """The server ends what it began; the next daemon finds it there, and nobody was told."""
    committing = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = 'COMMIT'"
    pg_lab.run("-p", "limit=10000", "-p", f"step={10_000 // MANY_TASKS}", "--detach")
    for _ in range(KILLS):
        pid, until_s = json.loads((pg_lab.home / "daemon.json").read_text())["pid"], time.monotonic() + 30.0
        while watched.execute(committing).fetchone() == (0,):
            assert time.monotonic() < until_s, "no commit was seen"
        os.kill(pid, signal.SIGKILL)
        assert pg_lab.sbx("daemon", "start").exit_code == 0
    check_primes(pg_lab, MANY_TASKS)


def test_two_homes_share_a_server(pg_lab: Lab, tmp_path: Path) -> None:
    with lab_at(ThisMachine(), tmp_path / "other") as other:
        other.directory.mkdir()
        other.env = dict(pg_lab.env)
        other.example("primes")
        pg_lab.run(*SMALL, "--detach")
        other.run(*SMALL)
        check_primes(pg_lab)
        check_primes(other)


def test_a_following_command_waits_for_the_server(pg_lab: Lab, own: Postgres) -> None:
    """As long as it takes: the run goes on, and the command says what it waits for."""
    pg_lab.run("-p", "limit=100", "-p", "step=50")
    here = str(pg_lab.directory)
    with subprocess.Popen(
        [pg_lab.place.sbx, "run", "pipeline.toml", *SMALL],
        cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as follower:  # fmt: skip
        pg_lab.wait(lambda: len(pg_lab.json("status", "--all")["runs"]) == 2, 60, "the second run")
        pg_lab.wait(lambda: pg_lab.module("count")["succeeded"] >= 10, 60, "some tasks")
        own.kill()
        pg_lab.wait(lambda: _pause(pg_lab), 30, "the pause to be told")
        own.start()
        _, said = follower.communicate(timeout=120)
    assert follower.returncode == 0, said
    assert "waits for its ledger" in said
    check_primes(pg_lab)


def test_a_daemon_that_waits_for_its_server_can_be_stopped(pg_lab: Lab, own: Postgres) -> None:
    pg_lab.run(*SMALL, "--detach")
    pg_lab.wait(lambda: pg_lab.module("count")["succeeded"] >= 10, 60, "some tasks")
    own.kill()
    pg_lab.wait(lambda: _pause(pg_lab), 30, "the pause to be told")
    stopped = pg_lab.sbx("daemon", "stop")
    assert stopped.exit_code == 0, str(stopped)
    refused = pg_lab.sbx("daemon", "start")
    assert refused.exit_code == 4, str(refused)
    own.start()
    assert pg_lab.sbx("daemon", "start").exit_code == 0
    check_primes(pg_lab)


def test_a_server_that_is_down_at_the_start_is_named(pg_lab: Lab, tmp_path: Path) -> None:
    pg_lab.env["SBX_LEDGER"] = f"postgresql://sbx@/postgres?host={tmp_path}"
    done = pg_lab.sbx("run", "pipeline.toml")
    assert done.exit_code == 4
    assert str(tmp_path) in done.stderr
    assert "does not answer" in done.stderr
    assert not (pg_lab.home / "ledger.db").exists()


def test_a_password_in_the_address_is_refused_and_not_repeated(pg_lab: Lab) -> None:
    pg_lab.env["SBX_LEDGER"] = "postgresql://ann:tr0ub4dor@db.example.org/sbx"
    done = pg_lab.sbx("run", "pipeline.toml")
    assert done.exit_code == 2
    assert "tr0ub4dor" not in done.text
    assert all(word in done.stderr for word in ("PGPASSFILE", ".pgpass", "PGSERVICE", "PGPASSWORD"))
    for path in pg_lab.home.rglob("*"):
        assert not path.is_file() or b"tr0ub4dor" not in path.read_bytes()
