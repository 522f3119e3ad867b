"""`status`, `ps`, `show`, `log`: words and JSON shapes."""

from __future__ import annotations

from typing import Any

import pytest

from scalebox_hpc.client import LogPiece
from scalebox_hpc.errors import UsageError
from tests.cli.conftest import Say
from tests.cli.fake_daemon import START_US, DaemonSays, attempt, module, status, task


def piece(text: str, offset: int, *, done: bool) -> LogPiece:
    end = offset + len(text)
    return {"text": text, "offset": offset, "end": end, "done": done, "path": "/x/log.out", "attempt": 2}


def test_status_shows_modules_pools_and_the_daemons_cost(sbx: Say) -> None:
    pool: Any = {
        "pool": "small", "site": "hpc1", "machine": "cpu", "slots": 64,
        "elements_pending": 2, "elements_running": 1,
        "agents": 3, "busy": 2, "state": "ok", "reason": "Priority",
    }  # fmt: skip
    going = module("count", ready=80, running=12, succeeded=8, closed=False, rate_per_s=2.5, eta_s=90.0)
    text = sbx(DaemonSays([status("RUNNING", [going], pools=[pool])]), "status").stdout
    assert "count        80       12     8       0  2.5/s  1m30s" in text
    assert "small at hpc1/cpu: 3 agents, 2 busy; 1 element running, 2 pending (Priority)" in text
    assert "1.2 % of a CPU, 41.0M of memory" in text


def test_status_in_json_is_the_run_with_its_daemon(sbx_json: Say) -> None:
    found = sbx_json(DaemonSays(), "status")
    assert found.pop("daemon")["pid"] == 4242
    assert found == status()


def test_status_follows_to_the_outcome(sbx: Say) -> None:
    assert sbx(DaemonSays([status("RUNNING"), status("FAILED")]), "status", "-f").exit_code == 1


def test_status_lists_all_runs(sbx: Say, sbx_json: Say) -> None:
    assert "primes-7f3a  SUCCEEDED  " in sbx(DaemonSays(), "status", "--all").stdout
    assert [run["run"] for run in sbx_json(DaemonSays(), "status", "--all")["runs"]] == ["primes-7f3a"]


TASKS = [task("count.1", state="SUCCEEDED", cause=None), task("count.2"), task("count.3", cause="oom")]


def test_ps_counts_and_lists_failed_tasks_first(sbx: Say) -> None:
    lines = sbx(DaemonSays(tasks=TASKS), "ps").stdout.splitlines()
    assert lines[0].split()[:3] == ["module", "failed", "running"]
    assert [line.split()[0] for line in lines[4:]] == ["count.2", "count.3", "count.1"]


def test_ps_filters(sbx_json: Say) -> None:
    found = sbx_json(DaemonSays(tasks=TASKS), "ps", "--state", "failed", "--cause", "oom")
    assert found == {"run": "primes-7f3a", "tasks": [TASKS[2]], "more": False}


def test_ps_says_that_there_is_more(sbx: Say, sbx_json: Say) -> None:
    many = [task(f"count.{n}") for n in range(1, 500)]
    result = sbx(DaemonSays(tasks=many), "ps", "--state", "FAILED")
    assert len(result.stdout.splitlines()) == 101
    assert "--limit 0" in result.stderr
    assert len(sbx_json(DaemonSays(tasks=many), "ps")["tasks"]) == 499
    assert sbx_json(DaemonSays(tasks=many), "ps", "-n", "3")["more"] is True


def test_ps_refuses_a_state_that_is_none(sbx: Say) -> None:
    with pytest.raises(UsageError, match="there is no state BROKEN"):
        sbx(DaemonSays(), "ps", "--state", "BROKEN")


def test_a_body_cannot_move_the_cursor(sbx: Say) -> None:
    text = sbx(DaemonSays(tasks=[task(body="a\x1b[2Jb")]), "ps", "--state", "FAILED").stdout
    assert "a\\x1b[2Jb" in text


def test_show_tells_a_tasks_story(sbx: Say) -> None:
    daemon = DaemonSays(tasks=[task(headers={"obs": "x1"})], attempts=[attempt()])
    text = sbx(daemon, "show", "count.17").stdout
    for words in ("FAILED (exit)", "10 20", "obs=x1", "scatter.1", "exit, exit status 3", "77_2", "n1"):
        assert words in text
    assert "stderr of attempt 1:\n  Traceback\n  ValueError: no number" in text


def test_show_in_json_is_the_daemons_answer(sbx_json: Say) -> None:
    daemon = DaemonSays(tasks=[task()], attempts=[attempt()])
    assert sbx_json(daemon, "show", "count.17") == daemon.task("newest", "count.17")


def test_show_a_task_without_attempts(sbx: Say) -> None:
    later = task(state="READY", cause=None, attempts=0, not_before_us=START_US + 1_000_000)
    daemon = DaemonSays(tasks=[later])
    text = sbx(daemon, "show", "count.17").stdout
    assert "no attempt so far" in text
    assert "not before" in text


def test_log_prints_every_piece_as_it_is(sbx: Say) -> None:
    daemon = DaemonSays(pieces=[piece("one\n", 0, done=False), piece("two", 4, done=True)])
    assert sbx(daemon, "log", "count.17").stdout == "one\ntwo"
    assert [call[3]["offset"] for call in daemon.asked] == [0, 4]
    assert [call[3]["attempt"] for call in daemon.asked] == [None, 2]


def test_log_of_a_running_attempt_ends_at_what_there_is(sbx: Say) -> None:
    daemon = DaemonSays(pieces=[piece("one\n", 0, done=False), piece("", 4, done=False)])
    assert sbx(daemon, "log", "count.17").stdout == "one\n"


def test_log_without_output_points_to_the_other_stream(sbx: Say) -> None:
    result = sbx(DaemonSays(pieces=[piece("", 0, done=True)]), "log", "count.17")
    assert "wrote nothing to stdout; look with --stderr" in result.stderr


def test_log_in_json(sbx_json: Say) -> None:
    daemon = DaemonSays(pieces=[piece("one\n", 0, done=True)])
    assert sbx_json(daemon, "log", "count.17", "--stderr") == {
        "run": "primes-7f3a", "task": "count.17", "attempt": 2, "stream": "stderr", "text": "one\n",
        "done": True, "path": "/x/log.out",
    }  # fmt: skip


def test_following_a_log_waits_for_the_attempt_and_for_more() -> None:
    from scalebox_hpc.cli.log import pieces

    naps: list[float] = []
    waiting = task(state="READY", attempts=0)

    def nap(seconds: float) -> None:
        naps.append(seconds)
        daemon.all_tasks = [task(state="RUNNING", attempts=0)]

    nothing = piece("", 0, done=True) | {"path": ""}  # no log so far
    written = [piece("one", 0, done=False), piece("", 3, done=False), piece("two", 3, done=True)]
    daemon: Any = DaemonSays(tasks=[waiting], pieces=[nothing, *written])  # type: ignore[list-item]
    found = list(pieces(daemon, "primes-7f3a", "count.17", "stdout", None, nap))
    assert "".join(one["text"] for one in found) == "onetwo"
    assert naps == [1.0, 1.0, 1.0]
