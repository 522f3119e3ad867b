from __future__ import annotations

from typing import Any

import pytest

from scalebox_hpc.errors import DaemonAbsent
from scalebox_hpc.report.failures import AskedExamples, NoExamples
from scalebox_hpc.report.follow import SilentView, follow
from scalebox_hpc.report.plain import PlainView
from tests.cli.fake_daemon import DaemonSays, attempt, module, status, task


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def at_work(done: int, **changes: Any) -> Any:
    going = module("count", succeeded=done, running=2, ready=100 - done, closed=False)
    return status("RUNNING", [going], version=done, **changes)


def test_following_ends_with_the_run() -> None:
    daemon: Any = DaemonSays([at_work(1), at_work(2), status("SUCCEEDED")])
    assert follow(daemon, "r", SilentView(), nap=lambda _: None)["state"] == "SUCCEEDED"


def test_a_daemon_that_is_back_soon_is_followed_on() -> None:
    daemon: Any = DaemonSays([at_work(1), DaemonAbsent("away"), DaemonAbsent("away"), status("FAILED")])
    assert follow(daemon, "r", SilentView(), nap=lambda _: None)["state"] == "FAILED"


def test_a_daemon_that_stays_away_is_an_error() -> None:
    daemon: Any = DaemonSays([at_work(1), DaemonAbsent("away"), DaemonAbsent("away")])
    with pytest.raises(DaemonAbsent):
        follow(daemon, "r", SilentView(), absence_s=0, nap=lambda _: None)


def test_plain_lines_come_at_most_every_five_seconds_and_only_on_change() -> None:
    lines: list[str] = []
    clock = Clock()
    view = PlainView(lines.append, NoExamples(), clock)
    for at_s, done in ((0.0, 1), (1.0, 2), (4.9, 3), (5.0, 4), (11.0, 4), (17.0, 5)):
        clock.now_s = at_s
        view.show(at_work(done))
    assert lines == [
        "primes-7f3a: RUNNING: 1 of 102 done, 2 running, 99 waiting",
        "primes-7f3a: RUNNING: 4 of 102 done, 2 running, 96 waiting",
        "primes-7f3a: RUNNING: 5 of 102 done, 2 running, 95 waiting",
    ]


def test_notes_and_first_failures_are_said_at_once_and_once() -> None:
    lines: list[str] = []
    daemon: Any = DaemonSays(tasks=[task()], attempts=[attempt()])
    view = PlainView(lines.append, AskedExamples(daemon), Clock())
    broken = module("count", failed=3, causes={"exit": 3})
    for _ in range(3):
        view.show(status("RUNNING", [broken], notes=["n1 is put aside"]))
    assert lines[:2] == [
        "primes-7f3a: note: n1 is put aside",
        "primes-7f3a: first failure (exit) of count: count.17: exit status 3: ValueError: no number",
    ]
    assert len(lines) == 3


def test_a_run_that_waits_says_for_what() -> None:
    pool: Any = {"pool": "small", "elements_pending": 3, "state": "ok", "reason": "Resources"}
    waiting = status("RUNNING", [module("count", succeeded=0, ready=5, closed=False)], pools=[pool])
    lines: list[str] = []
    PlainView(lines.append, NoExamples(), Clock()).show(waiting)
    assert lines == ["primes-7f3a: RUNNING: 0 of 5 done, 5 waiting (3 elements of small pending: Resources)"]
