"""A daemon starts once, says why it cannot, and leaves nothing behind when it goes in order."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from scalebox_hpc.daemon import lock as locks
from scalebox_hpc.daemon.ask import ask
from scalebox_hpc.daemon.contact import read_daemon_json
from scalebox_hpc.daemon.home import Home
from scalebox_hpc.daemon.log_file import last
from scalebox_hpc.daemon.main import answers, start_detached, stop
from scalebox_hpc.errors import ConflictError, DaemonAbsent, EnvironmentProblem
from scalebox_hpc.holder import Holder, ProcFs, link

STUB = str(Path(__file__).with_name("stub_daemon.py"))
COMMAND = (sys.executable, "-P", STUB)


@pytest.fixture
def started(home: Home) -> Iterator[Home]:
    """A home whose daemon, if any, is gone after the test."""
    yield home
    if home.daemon_json.exists() and answers(home.path):
        stop(home.path)
    assert locks.read_holder(home) is None


def pid_of(home: Home) -> int:
    entries = read_daemon_json(home.path)
    assert entries is not None
    return int(entries["pid"])


@contextmanager
def watched(pid: int) -> Iterator[Callable[[], None]]:
    """Gives a function that waits until the process, which is not our child, is gone."""
    handle = os.pidfd_open(pid)

    def ended() -> None:
        assert select.select([handle], [], [], 30)[0], f"process {pid} does not end"

    try:
        yield ended
    finally:
        os.close(handle)


def test_a_daemon_that_waits_for_room_is_not_started_again(started: Home) -> None:
    start_detached(started.path, command=COMMAND)
    (started.path / "full").touch()
    start_detached(started.path, command=("/bin/false",))
    (started.path / "full").unlink()


def test_a_daemon_is_detached_and_answers(started: Home) -> None:
    start_detached(started.path, command=COMMAND)
    pid = pid_of(started)
    assert os.getsid(pid) != os.getsid(0)
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    assert stat[1] != str(os.getpid())
    assert stat[4] == "0"  # no terminal
    assert os.readlink(f"/proc/{pid}/fd/1") == "/dev/null"
    assert started.daemon_json.stat().st_mode & 0o777 == 0o600
    assert started.log.stat().st_mode & 0o777 == 0o600
    entries = read_daemon_json(started.path)
    assert entries is not None
    assert ask(entries, "GET", "/v1/daemon") == (200, {"held": True})
    assert entries["token"] not in started.log.read_text()
    start_detached(started.path, command=("/bin/false",))  # one answers, so none is started


def test_a_stopped_daemon_leaves_neither_lock_nor_address_and_the_next_keeps_its_port(started: Home) -> None:
    start_detached(started.path, command=COMMAND)
    first = read_daemon_json(started.path)
    stop(started.path)
    assert not started.daemon_json.exists()
    assert locks.read_holder(started) is None
    with pytest.raises(DaemonAbsent):
        stop(started.path)
    start_detached(started.path, command=COMMAND)
    second = read_daemon_json(started.path)
    assert first is not None
    assert second is not None
    assert (first["address"], first["fingerprint"], first["token"]) == (
        second["address"],
        second["fingerprint"],
        second["token"],
    )


def test_sigterm_stops_a_daemon_in_order(started: Home) -> None:
    start_detached(started.path, command=COMMAND)
    pid = pid_of(started)
    with watched(pid) as ended:
        os.kill(pid, signal.SIGTERM)
        ended()
    assert not started.daemon_json.exists()


def test_of_two_starters_one_daemon_comes_out_and_both_return(started: Home) -> None:
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: start_detached(started.path, command=COMMAND), range(3)))
    assert answers(started.path)
    said = [entry.event for entry in last(started.log, 100, "INFO")]
    assert said.count("daemon.answers") == 1
    assert set(said) <= {"daemon.starts", "daemon.answers", "daemon.refused"}


def test_a_killed_daemon_is_followed_by_the_next(started: Home) -> None:
    start_detached(started.path, command=COMMAND)
    pid = pid_of(started)
    with watched(pid) as ended:
        os.kill(pid, signal.SIGKILL)
        ended()
    assert not answers(started.path)
    start_detached(started.path, command=COMMAND)
    assert pid_of(started) != pid


def test_what_keeps_the_engine_from_starting_is_told_to_who_started_it(started: Home) -> None:
    (started.path / "broken").touch()
    with pytest.raises(EnvironmentProblem, match="the ledger is broken") as refused:
        start_detached(started.path, command=COMMAND)
    assert refused.value.hint == "mend it"
    refused_in_log = [entry.fields for entry in last(started.log, 100, "ERROR")]
    assert refused_in_log == [{"why": "the ledger is broken", "todo": "mend it"}]
    assert not started.daemon_json.exists()


def test_a_daemon_that_dies_without_a_word_is_told_with_the_end_of_its_log(started: Home) -> None:
    with pytest.raises(EnvironmentProblem, match="did not start") as refused:
        start_detached(started.path, command=(sys.executable, "-c", "raise SystemExit('no such luck')"))
    assert "no such luck" in refused.value.hint


def test_a_home_held_elsewhere_is_not_waited_for(home: Home) -> None:
    holder = ProcFs().myself()
    held = Holder("login9", "m9", "boot", "pid:[1]", 1, "1", holder.nonce)
    assert link(home.lock, held, locks.KIND)
    with pytest.raises(ConflictError, match="login9") as refused:
        start_detached(home.path, command=COMMAND)
    assert "sbx daemon takeover" in refused.value.hint
    start_detached(home.path, takeover=True, command=COMMAND)
    stop(home.path)
    assert locks.read_holder(home) is None


@pytest.mark.parametrize("run", ["die", "thread"])
def test_a_thread_that_dies_takes_the_daemon_with_it_loudly(started: Home, run: str) -> None:
    start_detached(started.path, command=COMMAND)
    pid, entries = pid_of(started), read_daemon_json(started.path)
    assert entries is not None
    with watched(pid) as ended:
        assert ask(entries, "GET", f"/v1/runs/{run}")[0] == 503
        ended()
    assert "CRITICAL" in started.log.read_text()
    assert "a bug" in started.log.read_text() or run == "thread"


def foreground(home: Home, what: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, STUB, "foreground", home.path, what],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("code", [0, 1, 3])
def test_a_foreground_daemon_lives_as_long_as_what_it_is_for(home: Home, code: int) -> None:
    with foreground(home, str(code)) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (code, "submitted\n", "")
    assert not home.daemon_json.exists()
    assert locks.read_holder(home) is None


def test_what_a_foreground_run_raises_reaches_its_command(home: Home) -> None:
    with foreground(home, "raise") as process:
        _, err = process.communicate(timeout=60)
    assert err.rstrip().endswith("LedgerProblem: no")
    assert locks.read_holder(home) is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_foreground_run_says_how_to_go_on(home: Home, number: int) -> None:
    with foreground(home, "wait") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "submitted\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "sbx resume primes-7f3a\n")
    assert locks.read_holder(home) is None


def test_a_foreground_run_is_refused_where_a_daemon_lives(started: Home) -> None:
    start_detached(started.path, command=COMMAND)
    with foreground(started, "0") as process:
        out, err = process.communicate(timeout=60)
    assert "HomeHeld" in err
    assert f"process {pid_of(started)}" in err
    assert out == ""
    assert answers(started.path)


def test_a_foreground_daemon_whose_engine_dies_ends_with_code_4(home: Home) -> None:
    with foreground(home, "wait") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "submitted\n"
        entries = read_daemon_json(home.path)
        assert entries is not None
        assert ask(entries, "GET", "/v1/runs/die")[0] == 503
        process.communicate(timeout=60)
    assert process.returncode == 4
