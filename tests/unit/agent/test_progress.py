"""What a program says of its progress: looked at seldom, never trusted, told to the daemon."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from scalebox_hpc.agent import progress
from scalebox_hpc.agent.lease import Told
from scalebox_hpc.agent.progress import EVERY_S, FILE, FILE_BYTES, YOUNG_S, Watch, read
from scalebox_hpc.wire import codec
from tests.unit.agent.conftest import Agents
from tests.unit.agent.fake_daemon import FakeDaemon


class Desk:
    """A work directory, and one attempt in it that began at 100 s."""

    def __init__(self, path: Path) -> None:
        self.path, self.fd = path, os.open(path, os.O_RDONLY)
        self.held: Any = SimpleNamespace(started_at=100.0, progress=None)
        self.attempt: Any = SimpleNamespace(held=self.held, slot=SimpleNamespace(tree=self))
        self.attempts = {"a": self.attempt}
        self.watch = Watch(self.attempts)

    def write(self, content: str | dict[str, Any]) -> None:
        """Replace the file as a whole."""
        text = content if isinstance(content, str) else json.dumps(content)
        (self.path / "new").write_text(text)
        os.replace(self.path / "new", self.path / FILE)

    def told(self) -> Told | None:
        found = read(self.fd)
        return None if found is None else found[1]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    os.close(desk.fd)


def test_only_done_is_needed(desk: Desk) -> None:
    assert desk.told() is None
    desk.write({"done": 5})
    assert desk.told() == (5, 0, 0, "")
    desk.write({"done": 5.5, "total": 10, "rate": 0.5, "unit": "files", "more": "passed over"})
    assert desk.told() == (5.5, 10, 0.5, "files")
    desk.write({"done": 5, "total": None, "rate": None, "unit": None})
    assert desk.told() == (5, 0, 0, "")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "no JSON",
        '{"done": 5',
        "[5]",
        "5",
        "[" * FILE_BYTES,
        "\0" * 100,
        '{"done": -1}',
        '{"done": NaN}',
        '{"done": 1e999}',
        '{"done": true}',
        '{"done": "5"}',
        '{"total": 5}',
        '{"done": ' + "9" * 4000 + "}",
        '{"done": 1, "total": -5}',
        '{"done": 1, "rate": Infinity}',
        '{"done": 1, "unit": 7}',
        '{"done": 1, "unit": "a unit that is much too long"}',
        '{"done": 1, "unit": "\\u001b[2J"}',
        '{"done": 1, "unit": "\\ud800"}',
        '{"done": 1, "more": "' + "x" * FILE_BYTES + '"}',
    ],
)
def test_what_makes_no_sense_is_passed_over(desk: Desk, content: str) -> None:
    desk.write(content)
    assert desk.told() is None


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
objects = st.fixed_dictionaries({}, optional=dict.fromkeys(("done", "total", "rate", "unit"), values))
sensible = st.fixed_dictionaries(
    {"done": st.integers(0) | st.floats(0)}, optional={"unit": st.text(max_size=16)}
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@example(b'{"done": 1e18, "rate": 1000000000000000000}')
@given(st.binary() | (objects | sensible).map(lambda said: json.dumps(said).encode()))
def test_whatever_is_read_is_what_a_daemon_takes(desk: Desk, content: bytes) -> None:
    (desk.path / FILE).write_bytes(content)
    told = desk.told()
    if told is not None:
        sync = json.loads(
            json.dumps({"incarnation": "0" * 16, "sync": 1, "progress": {"1.00000000.1": told}})
        )
        assert codec.sync(sync).progress == {"1.00000000.1": told}


def test_what_is_no_plain_file_is_not_opened(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> None:
    path, outside = desk.path / FILE, tmp_path_factory.mktemp("outside") / "x"
    os.mkfifo(path)
    assert desk.told() is None  # it would block for ever
    path.unlink()
    outside.write_text('{"done": 1}')
    path.symlink_to(outside)
    assert desk.told() is None
    path.unlink()
    path.mkdir()
    assert desk.told() is None


def test_what_takes_the_files_place_after_the_look_is_not_read(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.write({"done": 1})
    state = os.stat(desk.path / FILE)
    monkeypatch.setattr(progress.os, "stat", lambda *_, **__: state)
    (desk.path / FILE).unlink()
    os.mkfifo(desk.path / FILE)
    assert desk.told() is None
    (desk.path / FILE).unlink()
    (desk.path / FILE).symlink_to("/etc/passwd")
    assert desk.told() is None


def test_a_huge_file_is_not_read(desk: Desk) -> None:
    with (desk.path / FILE).open("wb") as file:
        file.truncate(1 << 40)
    assert desk.told() is None


def test_the_young_are_left_alone_and_nobody_is_looked_at_twice_at_once(desk: Desk) -> None:
    desk.write({"done": 1})
    assert not desk.watch.look(100.0 + YOUNG_S / 2)
    assert not desk.watch.look(100.0 + YOUNG_S)
    at = desk.watch.wake_at()
    assert at == 100.0 + YOUNG_S / 2 + EVERY_S
    assert desk.watch.look(at)
    assert desk.held.progress.done == 1
    assert not desk.watch.look(at + EVERY_S), "nothing new"
    desk.write({"done": 2})
    assert desk.watch.look(at + 2 * EVERY_S)
    assert desk.held.progress.done == 2


def test_with_nothing_at_work_there_is_nothing_to_look_at(desk: Desk) -> None:
    desk.attempts.clear()
    assert desk.watch.wake_at() == progress.INF


def test_where_no_rate_is_said_the_mean_since_the_first_look_is_told(desk: Desk) -> None:
    for at, done in ((110.0, 100), (112.0, 120), (114.0, 180)):
        desk.write({"done": done, "total": 200})
        assert desk.watch.look(at)
    assert desk.held.progress == (180, 200, 20.0, "")
    desk.write({"done": 50, "total": 200})
    assert desk.watch.look(116.0)
    assert desk.held.progress.rate == 0.0


def test_the_last_word_that_made_sense_stays_while_the_next_is_written(desk: Desk) -> None:
    desk.write({"done": 1, "rate": 3})
    assert desk.watch.look(110.0)
    desk.write('{"done": 2')
    assert not desk.watch.look(112.0)
    assert desk.held.progress == (1, 0, 3, "")
    (desk.path / FILE).write_text('{"done": 2, "rate": 3}')
    assert desk.watch.look(114.0)
    assert desk.held.progress == (2, 0, 3, "")


WRITER = """
echo '{"done": 7, "total": 9, "rate": 1, "unit": "laps"}' > new
mv new progress.json
while [ ! -e "$SBX_SHARED" ]; do sleep 0.05; done
"""
MISCHIEF = """
mkfifo progress.json
while [ ! -e "$SBX_SHARED" ]; do sleep 0.05; done
"""


def test_a_whole_agent_tells_it_and_a_fifo_holds_nobody_up(daemon: FakeDaemon, agents: Agents) -> None:
    daemon.sheet(1, words=["/bin/sh", "-c", WRITER])
    daemon.sheet(2, words=["/bin/sh", "-c", MISCHIEF])
    lease, other = daemon.add("1"), daemon.add("2", module=2)
    agents.start()
    daemon.wait_for(lambda: any(sync.get("progress") for sync in list(daemon.syncs)))
    told = [sync["progress"] for sync in list(daemon.syncs) if "progress" in sync]
    assert told == [{lease: [7, 9, 1, "laps"]}]
    (daemon.shared / "run").touch()
    assert daemon.wait_for_result(lease)["outcome"] == "ok"
    assert daemon.wait_for_result(other)["exit_code"] == 0
