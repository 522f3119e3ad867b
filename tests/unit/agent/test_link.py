"""The way to the daemon: pinned, kept alive, tried again, never blocking."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scalebox_hpc.agent.link import BACKOFF_MOST_S, Link
from scalebox_hpc.agent.loop import Loop
from tests.unit.agent.fake_daemon import HOME, JOIN, TOKEN, FakeDaemon

Answer = tuple[int, dict[str, Any]]


class Line:
    """A link and its loop, turned until something came."""

    def __init__(self, daemon: FakeDaemon, home: str = HOME) -> None:
        self.loop = Loop()
        self.link = Link(self.loop, str(daemon.shared / "contact.json"), home)
        self.link.token = TOKEN
        self.answers: list[Answer] = []

    def got(self, status: int, answer: dict[str, Any]) -> None:
        self.answers.append((status, answer))

    def sync(self, number: int, wait: bool = False, timeout_s: float = 10.0) -> None:
        body = {"incarnation": "i", "sync": number, "took": 0, "wait": wait, "held": [], "results": []}
        body |= {"free": {}, "prefetch": {}, "leaving": "idle"}
        self.link.sync(json.dumps(body).encode(), timeout_s, self.got)

    def turn_until(self, is_true: Callable[[], bool], seconds: float = 10.0) -> None:
        until = time.monotonic() + seconds
        while not is_true():
            assert time.monotonic() < until, "not in time"
            self.loop.turn(min(until, self.loop.now + 0.1))


@pytest.fixture
def line(daemon: FakeDaemon) -> Iterator[Line]:
    line = Line(daemon)
    yield line
    line.link.close()


def test_one_connection_serves_many_calls(line: Line, daemon: FakeDaemon) -> None:
    for number in range(1, 6):
        line.sync(number)
        line.turn_until(lambda number=number: len(line.answers) == number)  # type: ignore[misc]
    assert [answer["sync"] for _, answer in line.answers] == [1, 2, 3, 4, 5]
    assert daemon._server is not None
    assert len(daemon._server.connections) == 1


def test_a_newer_sync_supersedes_the_parked_one_over_a_second_connection(
    line: Line, daemon: FakeDaemon
) -> None:
    line.sync(1, wait=True)
    line.turn_until(lambda: len(daemon.syncs) == 1)
    line.sync(2)
    line.turn_until(lambda: len(line.answers) == 2)
    assert sorted((answer["sync"], answer["superseded"]) for _, answer in line.answers) == [
        (1, True),
        (2, False),
    ]


def test_a_third_sync_takes_the_connection_of_the_oldest(line: Line, daemon: FakeDaemon) -> None:
    with daemon.changed:  # it answers nothing meanwhile
        for number in (1, 2, 3):
            line.sync(number)
            line.loop.turn(line.loop.now + 0.2)
        assert [status for status, _ in line.answers] == [0]
    line.turn_until(lambda: len(line.answers) == 3)
    assert line.link.ready_at == 0.0


def test_a_silent_daemon_is_given_up_after_the_timeout(line: Line, daemon: FakeDaemon) -> None:
    line.sync(1, wait=True, timeout_s=-4.5)  # connecting has 5 s of its own
    line.turn_until(lambda: bool(line.answers))
    assert line.answers[0][0] == 0
    assert "no answer" in line.answers[0][1]["error"]
    assert line.link.ready_at > line.loop.now


def test_big_requests_and_answers_pass(line: Line, daemon: FakeDaemon) -> None:
    daemon.sheet(1, text="x" * (4 << 20))
    body = {"module": 1, "padding": "y" * (6 << 20)}
    line.link.ask("/v1/agent/sheet", json.dumps(body).encode(), line.got)
    line.turn_until(lambda: bool(line.answers))
    assert len(line.answers[0][1]["text"]) == 4 << 20


def test_other_calls_are_tried_until_the_daemon_is_there(line: Line, daemon: FakeDaemon) -> None:
    daemon.stop()
    daemon.sheet(1)
    for _ in range(3):
        line.link.ask("/v1/agent/sheet", b'{"module": 1}', line.got)
    line.turn_until(lambda: line.link.ready_at > 0)
    assert line.answers == []
    daemon.start()
    line.turn_until(lambda: len(line.answers) == 3)
    assert {status for status, _ in line.answers} == {200}


def test_a_busy_daemon_is_asked_again(line: Line, daemon: FakeDaemon) -> None:
    daemon.sheet(1)
    daemon.status = 503
    line.link.ask("/v1/agent/sheet", b'{"module": 1}', line.got)
    line.turn_until(lambda: daemon.calls >= 3)
    daemon.status = 200
    line.turn_until(lambda: bool(line.answers))
    assert line.answers[0][0] == 200


def test_a_bad_token_is_an_answer(line: Line) -> None:
    line.link.token = JOIN
    line.sync(1)
    line.turn_until(lambda: bool(line.answers))
    assert line.answers == [(401, {})]


def test_back_off_grows_to_its_limit(line: Line, daemon: FakeDaemon) -> None:
    daemon.stop()
    waits = []
    for _ in range(9):
        line.answers.clear()
        line.sync(1)
        line.turn_until(lambda: bool(line.answers))
        waits.append(line.link.ready_at - line.loop.now)
    assert waits[0] <= 0.2
    assert BACKOFF_MOST_S / 2 <= waits[-1] <= BACKOFF_MOST_S


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read"),
        ("{", "not a contact file"),
        ("[]", "not a contact file"),
        ('{"home": "ffff", "addresses": ["127.0.0.1:1"], "fingerprint": "00"}', "is of home ffff"),
        (f'{{"home": "{HOME}", "addresses": [], "fingerprint": "00"}}', "names no address"),
    ],
)
def test_a_contact_file_that_is_no_use_is_told(
    line: Line, daemon: FakeDaemon, content: str | None, why: str
) -> None:
    path = daemon.shared / "contact.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    line.sync(1)
    assert why in line.answers[0][1]["error"]
