"""Gathers of many: what their agents fetch comes in pages, each read once, none too much for a turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from scalebox_hpc.daemon import firing, members
from scalebox_hpc.daemon.events import Call, Reply
from scalebox_hpc.daemon.state import RunPhase
from scalebox_hpc.domain.pipeline import Gather
from scalebox_hpc.testing.agent import PAGE as ASKED
from scalebox_hpc.testing.agent import Json, Played
from scalebox_hpc.testing.audit import look
from scalebox_hpc.testing.ledger import FaultyStore
from scalebox_hpc.testing.world import World
from tests.fault.conftest import MakeWorld
from tests.fault.pipelines import in_order, ledger, module, pipeline, player, sums, totals

FAILED = Played(cause="exit", exit_code=1)


@dataclass
class Reading:
    """How many rows each statement has read by pages."""

    rows: dict[str, int] = field(default_factory=dict)
    pages: dict[str, int] = field(default_factory=dict)


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reading]:
    counted, some = Reading(), FaultyStore.some

    def counting(store: FaultyStore, name: str, *args: Any) -> tuple[list[Any], bool]:
        rows, more = some(store, name, *args)
        counted.rows[name] = counted.rows.get(name, 0) + len(rows)
        counted.pages[name] = counted.pages.get(name, 0) + 1
        return rows, more

    monkeypatch.setattr(FaultyStore, "some", counting)
    return counted


def tell_missing(offer: Json, told: list[Json]) -> Played:
    bodies = sorted(member["body"] for member in told)
    return Played(text=f"{len(bodies)} {[row['task'] for row in offer['missing']]}")


def scattered(offer: Json, _: list[Json]) -> Played:
    """To both modules in between, half of it each."""
    numbers = range(int(offer["body"]))
    return Played([("odd" if number % 2 else "even", str(number)) for number in numbers])


def test_what_is_missing_is_read_once_however_many_pages_it_takes(
    make_world: MakeWorld, reading: Reading
) -> None:
    failing = 12

    def play(offer: Json, _: list[Json]) -> Played:
        return FAILED if int(offer["body"]) < failing else Played([("total", offer["body"])])

    world = make_world(player(scatter=scattered, odd=play, even=play, total=tell_missing))
    world.accept(
        pipeline(
            module("scatter", ["odd", "even"]),
            module("odd", ["total"]),
            module("even", ["total"]),
            module("total", gather=Gather("all", missing="run")),
        ),
        [("scatter", "20")],
    )
    assert world.finish() is RunPhase.FAILED
    (told,) = totals(world)
    query = "SELECT m.name || '.' || n FROM task JOIN module AS m USING (module_id) WHERE state = 'FAILED'"
    failed = [name for (name,) in look(ledger(world), f"{query} ORDER BY m.name, n")]
    assert told == f"8 {failed}"
    assert len(failed) == failing
    assert reading.rows["missing_page"] == failing, "a closing of `all` counts, and reads none"
    assert reading.pages["missing_page"] <= failing / ASKED + 4
    in_order(world)


def grouped(offer: Json, _: list[Json]) -> Played:
    """Groups are last digits; the numbers below five fail, one in each of four groups."""
    return FAILED if int(offer["body"]) < 5 else Played([("total", offer["body"])])


def test_a_closing_reads_what_failed_once_for_all_groups(
    make_world: MakeWorld, reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And once for each that lacks some; where nothing is missing nothing is read."""
    monkeypatch.setattr(firing, "PAGE", 3)
    gather = Gather("regex", "([0-9])$", missing="run")
    world = make_world(player(count=grouped, total=tell_missing))
    world.accept(sums(gather=gather), [("scatter", "29")])
    assert world.finish() is RunPhase.FAILED
    assert sorted(totals(world)) == sorted(
        [f"2 ['count.{digit}']" for digit in range(1, 5)] + ["2 []"] + ["3 []" for _ in range(5, 10)]
    )
    assert reading.rows["missing_page"] == 4 + 4 * 4
    in_order(world)


def test_a_full_part_misses_nothing_whatever_failed(make_world: MakeWorld) -> None:
    gather = Gather("regex", "([0-9])$", size=("2",), missing="run")
    world = make_world(player(count=grouped, total=tell_missing))
    world.accept(sums(gather=gather), [("scatter", "24")])
    assert world.finish() is RunPhase.FAILED
    assert "2 []" in totals(world)
    assert all(text.endswith("[]") for text in totals(world) if text.startswith("2 "))
    in_order(world)


def leased(world: World) -> tuple[str, str]:
    """Incarnation and lease of the gather's task, once it runs."""
    query = (
        "SELECT g.incarnation, t.task_id || '.' || t.lease_epoch || '.' || t.lease_n"
        " FROM task AS t JOIN agent AS g USING (agent_id) JOIN module AS m USING (module_id)"
        " WHERE m.name = 'total' AND t.state = 'RUNNING'"
    )
    world.run(until=lambda: bool(look(ledger(world), query)))
    return look(ledger(world), query)[0]


def pages(world: World, count: int, limit: int) -> list[Json]:
    """First pages of the members, asked for in one turn."""
    assert world.core is not None
    incarnation, lease = leased(world)
    args = {"incarnation": incarnation, "lease": lease, "after": 0, "what": "members", "limit": limit}
    replies: list[Reply] = []
    calls = [Call("agent.members", args, replies.append) for _ in range(count)]
    found = {id(call): reply for call, reply in world.core.turn(calls, world.clock.now()).replies}
    return [dict(found[id(call)].body) for call in calls]


@pytest.fixture
def full(make_world: MakeWorld) -> World:
    """A gather with thirty members at work."""
    world = make_world(player(total=lambda *_: Played(run_s=60.0)))
    world.accept(sums(), [("scatter", "30")])
    return world


def test_all_pages_of_a_turn_share_what_a_turn_bears(full: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "TURN_ROWS", 12)
    monkeypatch.setattr(members, "LEAST_ROWS", 3)
    assert [len(page["rows"]) for page in pages(full, 4, 10)] == [10, 3, 3, 3]
    assert [len(page["rows"]) for page in pages(full, 1, 100)] == [12], "a turn begins anew"
    assert full.finish() is RunPhase.SUCCEEDED


def test_long_members_come_in_short_pages(full: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "PAGE_TEXT", 5 * (firing.ROW_TEXT + 1))
    (page,) = pages(full, 1, 10_000)
    assert 4 <= len(page["rows"]) <= 5
    assert page["next"] == page["rows"][-1][0]
    assert full.finish() is RunPhase.SUCCEEDED


def test_the_last_page_says_that_it_is(full: World) -> None:
    (page,) = pages(full, 1, 10_000)
    assert (len(page["rows"]), page["next"]) == (30, None)
    identity, position, task, body, written, inherited = page["rows"][0]
    assert (position, written, inherited) == (0, None, None)
    assert (task, body) == ("count.1", "1")
    assert identity < page["rows"][1][0]
    assert full.finish() is RunPhase.SUCCEEDED


def test_a_part_that_fired_empty_takes_no_more_members_than_fit(make_world: MakeWorld) -> None:
    """All that was before it had failed; resumed, its members come after all."""
    world = make_world(player(scatter=lambda offer, _: FAILED))
    world.accept(sums(gather=Gather("all", size=("3",), missing="run")), [("scatter", "7")])
    assert world.finish() is RunPhase.FAILED
    assert totals(world) == ["0"]
    world.play = player().play
    world.command("run.resume", run="run-1")
    assert world.finish() is RunPhase.SUCCEEDED
    parts = look(ledger(world), "SELECT size, members FROM part ORDER BY part")
    assert parts == [(3, 3), (3, 3), (3, 1)]
    in_order(world)
