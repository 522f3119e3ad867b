"""Runs that are cancelled, resumed, retried, whose gathers miss members or get others later."""

from __future__ import annotations

from typing import Any

import pytest

from scalebox_hpc.daemon.state import RunPhase
from scalebox_hpc.domain.pipeline import Gather, RetryRule
from scalebox_hpc.testing.agent import Json, Played
from scalebox_hpc.testing.audit import look
from scalebox_hpc.testing.world import World
from tests.fault.conftest import MakeWorld
from tests.fault.pipelines import (
    Player,
    attempts,
    count,
    in_order,
    ledger,
    module,
    pipeline,
    player,
    sums,
    tasks,
    total,
    totals,
)

SIZED = Gather("header", "group", size=(("headers", "_size"),))  # as in size = "{headers._size}"


class Broken:
    """A count that fails for some bodies until it is mended."""

    def __init__(self, *bodies: str, run_s: float = 1.0) -> None:
        self.bodies, self.run_s = set(bodies), run_s

    def __call__(self, offer: Json, members: list[Json]) -> Played:
        if offer["body"] in self.bodies:
            return Played(cause="exit", exit_code=3, run_s=self.run_s)
        return count(offer, members)


def groups(offer: Json, _: list[Json]) -> Played:
    """Send `group:number` for each word of the body, `a:1` to group a."""
    return Played([("count", word) for word in offer["body"].split()])


def sized(size: int | None = None) -> Any:
    """Count that passes a number on to its group, which has this size."""

    def play(offer: Json, _: list[Json]) -> Played:
        group, number = offer["body"].split(":")
        headers = {"group": group, **({"_size": str(size)} if size else {})}
        return Played([("total", number, headers)])

    return play


def grouped(make_world: MakeWorld, gather: Gather, words: str, **roles: Any) -> World:
    world = make_world(player(**{"scatter": groups, **roles}))
    world.accept(sums(gather=gather), [("scatter", words)])
    return world


def test_a_failed_task_leaves_the_gather_incomplete(make_world: MakeWorld) -> None:
    world = make_world(player(count=Broken("2")))
    world.accept(sums(), [("scatter", "4")])
    assert world.finish() is RunPhase.FAILED
    assert tasks(world)["total"] == [(1, "FAILED", "incomplete")]
    assert attempts(world, "total.1") == []
    in_order(world)


def test_missing_run_tells_what_is_missing(make_world: MakeWorld) -> None:
    def telling(offer: Json, members: list[Json]) -> Played:
        missing = [(row["task"], row["body"], row["cause"]) for row in offer["missing"]]
        return Played(text=f"{total(offer, members).text} {missing}")

    world = make_world(player(count=Broken("2"), total=telling))
    world.accept(sums(gather=Gather("all", missing="run")), [("scatter", "4")])
    assert world.finish() is RunPhase.FAILED
    assert totals(world) == ["8 [('count.2', '2', 'exit')]"]
    in_order(world)


def test_retry_of_failed_tasks_fires_the_incomplete_gather(make_world: MakeWorld) -> None:
    broken = Broken("2", "3")
    world = make_world(player(count=broken))
    world.accept(sums(), [("scatter", "4")])
    world.finish()
    broken.bodies.clear()
    answer = world.command("run.retry", run="run-1")
    assert answer.body["requeued"] == 3
    assert world.finish() is RunPhase.SUCCEEDED
    assert totals(world) == ["10"]
    assert attempts(world, "count.2") == [("FAILED", "exit"), ("SUCCEEDED", "")]
    in_order(world)


@pytest.mark.parametrize("chosen", [{"tasks": ["work.2"]}, {"cause": "refused"}])
def test_a_refused_repeat_goes_round_only_if_asked_for(make_world: MakeWorld, chosen: dict[str, Any]) -> None:
    sent: list[tuple[str, str, dict[str, str]]] = [("work", "x", {"a": "1"}), ("work", "x", {"a": "2"})]
    world = make_world(Player({"send": lambda offer, _: Played(sent), "work": lambda offer, _: Played()}))
    world.accept(pipeline(module("send", ["work"]), module("work")), [("send", "x")])
    assert world.finish() is RunPhase.FAILED
    plain = world.command("run.retry", run="run-1").body
    assert plain == {
        "requeued": 0, "tasks": [], "passed_over": [["work.2", "its message was refused as a repeat"]],
    }  # fmt: skip
    named = world.command("run.retry", run="run-1", tasks=["run-1"]).body
    assert named["passed_over"] == [["run-1", "run-1 has no such task; --run names another run"]]
    assert world.phase() is RunPhase.FAILED
    assert world.command("run.retry", run="run-1", **chosen).body["tasks"] == ["work.2"]
    assert world.finish() is RunPhase.SUCCEEDED
    assert attempts(world, "work.2") == [("SUCCEEDED", "")]
    in_order(world)


def test_a_gather_that_ran_with_less_runs_again_with_all_as_a_new_generation(make_world: MakeWorld) -> None:
    broken = Broken("2")
    world = make_world(player(count=broken))
    world.accept(sums(gather=Gather("all", missing="run")), [("scatter", "4")])
    world.finish()
    broken.bodies.clear()
    world.command("run.retry", run="run-1", tasks=["count.2"])
    assert world.finish() is RunPhase.SUCCEEDED
    assert totals(world) == ["8", "10"]
    assert look(ledger(world), "SELECT generation, attempts FROM task WHERE generation > 1") == [(2, 2)]
    in_order(world)


def test_members_that_come_while_the_gather_works_fire_it_again_afterwards(make_world: MakeWorld) -> None:
    broken = Broken("2")

    def slow(offer: Json, members: list[Json]) -> Played:
        return Played(text=total(offer, members).text, run_s=60.0)

    world = make_world(player(count=broken, total=slow))
    world.accept(sums(gather=Gather("all", missing="run")), [("scatter", "4")])
    world.run(until=lambda: bool(look(ledger(world), "SELECT 1 FROM part WHERE state = 'fired'")))
    world.run(for_s=5.0)
    broken.bodies.clear()
    world.command("run.retry", run="run-1", tasks=["count.2"])
    assert world.finish() is RunPhase.SUCCEEDED
    assert totals(world) == ["8", "10"]
    in_order(world)


def test_a_later_success_of_a_gather_replaces_what_it_sent(make_world: MakeWorld) -> None:
    """Two gathers in a row: the second has the members of the first one's newest generation only."""
    broken = Broken("2")
    first = Player(
        {
            "scatter": player().roles["scatter"],
            "count": lambda offer, members: (
                broken(offer, members)
                if offer["body"] in broken.bodies
                else Played([("middle", offer["body"])])
            ),
            "middle": lambda offer, members: Played([("total", total(offer, members).text)]),
            "total": total,
        }
    )
    world = make_world(first)
    some = Gather("all", missing="run")
    world.accept(
        pipeline(
            module("scatter", ["count"]),
            module("count", ["middle"]),
            module("middle", ["total"], gather=some),
            module("total", gather=some),
        ),
        [("scatter", "4")],
    )
    world.finish()
    assert totals(world) == ["8"]
    broken.bodies.clear()
    world.command("run.retry", run="run-1")
    assert world.finish() is RunPhase.SUCCEEDED
    assert totals(world) == ["8", "10"]
    in_order(world)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_later_success_fills_the_parts_that_its_earlier_one_left(
    make_world: MakeWorld, chunked: bool
) -> None:
    """A first gather feeds a sized one: the new generation's members take the places of the old."""
    broken = Broken("2")
    copies = 8 if chunked else 4

    def middle(_: Json, members: list[Json]) -> Played:
        said = total(_, members).text
        return Played([("total", f"{said}", {"group": "g", "_size": "2"}) for _ in range(copies)])

    def first(offer: Json, members: list[Json]) -> Played:
        played = broken(offer, members)
        return Played([("middle", offer["body"])]) if played.cause is None else played

    world = make_world(player(count=first, middle=middle))
    world.accept(
        pipeline(
            module("scatter", ["count"]),
            module("count", ["middle"]),
            module("middle", ["total"], gather=Gather("all", missing="run")),
            module("total", gather=SIZED),
        ),
        [("scatter", "4")],
    )
    world.finish()
    assert totals(world) == ["16"] * (copies // 2)
    broken.bodies.clear()
    world.command("run.retry", run="run-1")
    assert world.finish() is RunPhase.SUCCEEDED
    assert totals(world) == ["16"] * (copies // 2) + ["20"] * (copies // 2)
    in_order(world)


def test_retry_rules_are_kept_over_a_crash(make_world: MakeWorld) -> None:
    world = make_world(player(count=Broken("1")))
    rule = RetryRule(on=(3,), retries=4, delay_s=20.0)
    world.accept(sums(retry=[rule]), [("scatter", "2")])
    world.run(until=lambda: len(attempts(world, "count.1")) == 2)
    world.crash()
    assert world.finish() is RunPhase.FAILED
    assert attempts(world, "count.1") == [("FAILED", "exit")] * 5
    in_order(world)


def test_a_group_fires_as_soon_as_it_is_full(make_world: MakeWorld) -> None:
    def late(offer: Json, members: list[Json]) -> Played:
        played = sized(2)(offer, members)
        return Played(played.messages, run_s=200.0) if offer["body"] == "b:8" else played

    world = grouped(make_world, SIZED, "a:1 b:4 a:2 b:8", count=late)
    world.run(until=lambda: totals(world) == ["3"])
    assert world.phase() is RunPhase.RUNNING
    assert world.finish() is RunPhase.SUCCEEDED
    assert totals(world) == ["3", "12"]
    in_order(world)


def test_members_beyond_the_size_begin_the_next_part(make_world: MakeWorld) -> None:
    world = grouped(make_world, SIZED, "a:1 a:2 a:4 a:8", count=sized(2))
    assert world.finish() is RunPhase.SUCCEEDED
    assert sum(map(int, totals(world))) == 15
    assert look(ledger(world), "SELECT part, members FROM part ORDER BY part") == [(1, 2), (2, 2)]
    in_order(world)


def test_a_part_short_of_its_size_runs_at_closing_when_nothing_failed(make_world: MakeWorld) -> None:
    world = grouped(make_world, SIZED, "a:1 a:2 a:4", count=sized(5))
    assert world.finish() is RunPhase.SUCCEEDED
    assert totals(world) == ["7"]
    in_order(world)


def test_a_part_short_of_its_size_is_incomplete_when_something_failed(make_world: MakeWorld) -> None:
    def failing(offer: Json, members: list[Json]) -> Played:
        if offer["body"] == "a:2":
            return Played(cause="exit", exit_code=1)
        return sized(2)(offer, members)

    world = grouped(make_world, SIZED, "a:1 a:2 b:4 b:8", count=failing)
    assert world.finish() is RunPhase.FAILED
    assert totals(world) == ["12"], "a full part is complete whatever failed"
    assert tasks(world)["total"] == [(1, "FAILED", "incomplete"), (1, "SUCCEEDED", "")]
    in_order(world)


def test_a_group_is_incomplete_only_where_the_failed_task_belongs(make_world: MakeWorld) -> None:
    gather = Gather("regex", r"^([a-z]):")

    def failing(offer: Json, _: list[Json]) -> Played:
        if offer["body"] == "a:2":
            return Played(cause="exit", exit_code=1)
        return Played([("total", offer["body"])])

    world = grouped(
        make_world, gather, "a:1 a:2 b:4 b:8", count=failing,
        total=lambda _, members: Played(text=" ".join(sorted(member["body"] for member in members))),
    )  # fmt: skip
    assert world.finish() is RunPhase.FAILED
    assert totals(world) == ["b:4 b:8"]
    assert tasks(world)["total"] == [(1, "FAILED", "incomplete"), (1, "SUCCEEDED", "")]
    in_order(world)


def test_members_that_disagree_on_the_size_fail_their_sender(make_world: MakeWorld) -> None:
    def disagreeing(offer: Json, members: list[Json]) -> Played:
        return sized(int(offer["body"].split(":")[1]))(offer, members)

    world = grouped(make_world, SIZED, "a:2 a:3", count=disagreeing)
    assert world.finish() is RunPhase.FAILED
    ((cause, note),) = look(ledger(world), "SELECT cause, note FROM attempt WHERE outcome = 'FAILED'")
    assert cause == "output"
    assert note.startswith("members of group 'a' of 'total' disagree on its size: ")
    in_order(world)


def test_members_that_disagree_on_the_size_of_a_new_group_across_chunks_fail_their_sender(
    make_world: MakeWorld,
) -> None:
    def disagreeing(_: Json, __: list[Json]) -> Played:
        sizes = ["9"] * 6 + ["8"]  # more than travel in a report, the odd one in its last chunk
        return Played([("total", str(n), {"group": "g", "_size": size}) for n, size in enumerate(sizes)])

    world = grouped(make_world, SIZED, "a:1", count=disagreeing)
    assert world.finish() is RunPhase.FAILED
    assert "stage_chunk" in world.faults.names
    ((cause, note),) = look(ledger(world), "SELECT cause, note FROM attempt WHERE outcome = 'FAILED'")
    assert cause == "output"
    assert note == "members of group 'g' of 'total' disagree on its size: 9 and 8"
    assert look(ledger(world), "SELECT count(*) FROM part") == [(0,)]
    in_order(world)


@pytest.mark.parametrize(
    ("gather", "message"),
    [(Gather("all"), ("nobody", "1")), (Gather("header", "group"), ("total", "1"))],
)
def test_what_an_agent_should_have_refused_is_no_harm(
    make_world: MakeWorld, gather: Gather, message: tuple[str, str]
) -> None:
    """A message to no module, or to no group: agents see to that, yet an odd one must not end the daemon."""
    world = make_world(player(count=lambda *_: Played([message])))
    world.accept(sums(gather=gather), [("scatter", "1")])
    assert world.finish() is RunPhase.FAILED
    assert attempts(world, "count.1") == [("FAILED", "output")]
    in_order(world)


def test_all_fires_once_even_without_members(make_world: MakeWorld) -> None:
    world = make_world(player(count=lambda *_: Played()))
    world.accept(sums(), [("scatter", "3")])
    assert world.finish() is RunPhase.SUCCEEDED
    assert totals(world) == ["0"]
    in_order(world)


@pytest.mark.parametrize(
    ("repeat", "end", "states"),
    [
        ("refuse", RunPhase.FAILED, [(1, "FAILED", "refused"), (2, "SUCCEEDED", "")]),
        ("ignore", RunPhase.SUCCEEDED, [(2, "SUCCEEDED", "")]),
        ("again", RunPhase.SUCCEEDED, [(3, "SUCCEEDED", "")]),
    ],
)
def test_a_known_key_with_other_content(
    make_world: MakeWorld, repeat: str, end: RunPhase, states: list[tuple[int, str, str]]
) -> None:
    def keyed(_: Json, __: list[Json]) -> Played:
        same = {"sbx_key": "k"}
        return Played([("work", "1", same), ("work", "1", same), ("work", "2", same), ("work", "3")])

    world = make_world(Player({"send": keyed, "work": lambda *_: Played()}))
    world.accept(pipeline(module("send", ["work"]), module("work", repeat=repeat)), [("send", "x")])
    assert world.finish() is end
    assert tasks(world)["work"] == states
    ignored = look(ledger(world), "SELECT ignored FROM module WHERE name = 'work'")
    assert ignored == [(2,) if repeat == "ignore" else (1,)]
    in_order(world)


def test_cancel_while_running_then_resume(make_world: MakeWorld) -> None:
    world = make_world(player(count=lambda offer, _: Played([("total", offer["body"])], run_s=50.0)))
    world.accept(sums(), [("scatter", "9")])
    world.run(until=lambda: bool(totals(world)) or len(attempts(world, "count.1")) == 1)
    assert world.command("run.cancel", run="run-1").body["state"] == RunPhase.CANCELLED
    assert world.finish() is RunPhase.CANCELLED
    in_order(world)
    cancelled = look(ledger(world), "SELECT count(*) FROM attempt WHERE outcome = 'CANCELLED'")[0][0]
    assert cancelled > 0, "what ran has an attempt that says so"
    succeeded = look(ledger(world), "SELECT count(*) FROM task WHERE state = 'SUCCEEDED'")[0][0]
    assert world.command("run.resume", run="run-1").status == 200
    assert world.finish() is RunPhase.SUCCEEDED
    assert totals(world) == ["45"]
    assert succeeded >= 2
    in_order(world)


def test_cancel_is_not_undone_by_a_crash_or_by_late_reports(make_world: MakeWorld) -> None:
    world = make_world(player(count=lambda offer, _: Played([("total", offer["body"])], run_s=5.0)))
    world.accept(sums(), [("scatter", "9")])
    world.run(until=lambda: bool(look(ledger(world), "SELECT 1 FROM task WHERE state = 'RUNNING' AND n > 1")))
    world.network.deaf.update(world.agents)
    world.command("run.cancel", run="run-1")
    world.crash()
    world.run(for_s=20.0)
    world.network.deaf.clear()
    assert world.finish() is RunPhase.CANCELLED
    assert totals(world) == []
    in_order(world)


def test_an_interrupted_run_waits_for_resume(make_world: MakeWorld) -> None:
    world = make_world(player())
    world.accept(sums(), [("scatter", "9")])
    world.run(until=lambda: len(attempts(world, "count.1")) == 1)
    assert world.core is not None
    assert world.core.interrupt(world.clock.now(), "told to stop") == ["run-1"]
    world.crash()
    assert world.finish() is RunPhase.INTERRUPTED
    world.command("run.resume", run="run-1")
    assert world.finish() is RunPhase.SUCCEEDED
    assert totals(world) == ["45"]
    in_order(world)


def test_a_report_of_many_chunks_comes_in_by_slices(make_world: MakeWorld) -> None:
    world = make_world(player(scatter=lambda *_: Played([("count", str(n % 7)) for n in range(2_000)])))
    world.accept(sums(), [("scatter", "x")])
    assert world.finish() is RunPhase.SUCCEEDED
    assert totals(world) == ["21"]
    assert look(ledger(world), "SELECT ignored FROM module WHERE name = 'count'") == [(1_993,)]
    in_order(world)


def test_a_run_whose_name_is_taken_is_refused_and_the_daemon_goes_on(make_world: MakeWorld) -> None:
    """Names are drawn so that it does not happen; should it all the same, nobody but its user is told."""
    world = make_world(player())
    world.accept(sums(), [("scatter", "3")])
    again = world.submit(sums(), [("scatter", "9")])
    assert again.status == 409
    assert "run-1" in again.body["error"]
    assert world.finish() is RunPhase.SUCCEEDED
    assert totals(world) == ["6"]
    in_order(world)
