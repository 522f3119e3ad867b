"""The daemon's wheel on a disk without room: it rests between turns, and hears who tells it to stop."""

from __future__ import annotations

from pathlib import Path
from queue import Empty
from types import SimpleNamespace
from typing import Any

import pytest

from scalebox_hpc.daemon import loop
from scalebox_hpc.daemon.core import Core, Outcome
from scalebox_hpc.daemon.events import Call, Reply, Told
from scalebox_hpc.daemon.home import create
from scalebox_hpc.daemon.keys import open_keys
from scalebox_hpc.daemon.premises import Premises
from scalebox_hpc.daemon.state import Now
from scalebox_hpc.errors import StorageFull


class Inbox:
    """A queue whose waiting is only a clock that goes on."""

    def __init__(self) -> None:
        self.events: list[Call | Told] = []
        self.now_s = 1000.0

    def put(self, event: Call | Told) -> None:
        self.events.append(event)

    def qsize(self) -> int:
        return len(self.events)

    def get(self, timeout: float = 0.0) -> Call | Told:
        if self.events:
            return self.events.pop(0)
        self.now_s += timeout
        raise Empty

    get_nowait = get


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Inbox:
    made = Inbox()
    monkeypatch.setattr(loop, "clock", lambda: Now(int(made.now_s * 1e6), made.now_s))
    return made


@pytest.fixture
def wheel(tmp_path: Path, inbox: Inbox) -> loop.Wheel:
    home = create(tmp_path / ".sbx")
    lock: Any = SimpleNamespace(still_held=lambda: True)
    contact: Any = SimpleNamespace(shared_folders=lambda: [])
    queue: Any = inbox
    return loop.Wheel(Premises(home, lock, open_keys(home), contact, queue, "127.0.0.1:1", 0))


def test_word_from_a_hand_does_not_make_it_spin_on_a_full_disk(
    wheel: loop.Wheel, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns_s: list[float] = []

    def turn(core: Core, events: list[Any], now: Now) -> Outcome:
        turns_s.append(now.mono_s)
        if len(turns_s) <= 3:
            raise StorageFull("no room for the ledger")
        core.stopping = True
        assert [event.kind for event in events] == ["cancel failed"], "it is not forgotten"
        return Outcome([], [], [])

    monkeypatch.setattr(Core, "turn", turn)
    inbox.put(Told("cancel failed", {"names": (), "why": ""}))
    wheel.run()
    assert turns_s == [1000.0 + number * loop.FULL_PAUSE_S for number in range(4)]


def test_who_looks_is_told_of_a_full_disk_until_there_is_room(
    wheel: loop.Wheel, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[tuple[str, int]] = []
    turns: list[list[str]] = []

    def ask(*verbs: str) -> None:
        for verb in verbs:
            inbox.put(Call(verb, {}, lambda reply, verb=verb: answers.append((verb, reply.status))))

    def turn(core: Core, events: list[Any], now: Now) -> Outcome:
        calls = [event for event in events if isinstance(event, Call)]
        turns.append([call.verb for call in calls])
        if len(turns) == 1:
            ask("run.status")
            raise StorageFull("no room for the ledger")
        if len(turns) == 2:
            ask("run.status", "run.cancel")
        if len(turns) == 3:
            ask("run.status")
        core.stopping = len(turns) == 4
        return Outcome([(call, Reply(200, {})) for call in calls], [], [])

    monkeypatch.setattr(Core, "turn", turn)
    inbox.put(Told("cancel failed", {"names": (), "why": ""}))
    wheel.run()
    assert turns == [[], [], ["run.cancel"], ["run.status"]]
    assert answers == [("run.status", 503), ("run.status", 503), ("run.cancel", 200), ("run.status", 200)]


def test_it_stops_at_once_when_it_is_told_to_while_it_rests(
    wheel: loop.Wheel, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def turn(core: Core, events: list[Any], now: Now) -> Outcome:
        if not core.stopping:
            inbox.put(Told("stop"))
        raise StorageFull("no room for the ledger")

    monkeypatch.setattr(Core, "turn", turn)
    inbox.put(Told("cancel failed", {"names": (), "why": ""}))
    wheel.run()
    assert inbox.now_s == 1000.0


def test_an_interrupt_that_finds_no_room_does_not_make_it_spin(
    wheel: loop.Wheel, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried_s: list[float] = []

    def interrupt(core: Core, now: Now, reason: str) -> list[str]:
        tried_s.append(now.mono_s)
        if len(tried_s) <= 3:
            raise StorageFull("no room for the ledger")
        core.stopping = True
        return []

    monkeypatch.setattr(Core, "interrupt", interrupt)
    wheel.interrupt()
    wheel.run()
    assert tried_s == [1000.0 + number * loop.FULL_PAUSE_S for number in range(4)]
