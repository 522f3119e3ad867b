"""Batch systems that lose answers, say no, say too much, forget; disks that fill; clocks that step back."""

from __future__ import annotations

import pytest

from scalebox_hpc.daemon import cancelling
from scalebox_hpc.daemon.state import RunPhase
from scalebox_hpc.domain.allocation import Ending
from scalebox_hpc.domain.pipeline import RetryRule
from scalebox_hpc.errors import BatchProblem, StorageFull, SubmitLimited, SubmitRefused, SubmitUnconfirmed
from scalebox_hpc.testing.agent import Json, Played
from scalebox_hpc.testing.audit import look
from scalebox_hpc.testing.batch import Crash
from scalebox_hpc.testing.world import World
from tests.fault.conftest import MakeWorld
from tests.fault.pipelines import Player, attempts, in_order, ledger, module, pipeline, player, sums, totals

SEEDS = [("scatter", "7")]


def states(world: World) -> list[str]:
    return [state for (state,) in look(ledger(world), "SELECT state FROM try ORDER BY try_id")]


def test_a_lost_answer_of_sbatch_is_resolved_by_looking(make_world: MakeWorld) -> None:
    world = make_world(player())
    world.batch.after_submit = SubmitUnconfirmed("no answer in 30 s")
    world.accept(sums(), SEEDS)
    assert world.finish() is RunPhase.SUCCEEDED
    assert "SUPERSEDED" not in states(world)
    in_order(world)


def test_a_hello_proves_a_submission_that_nobody_lists(make_world: MakeWorld) -> None:
    world = make_world(player())
    world.batch.after_submit = SubmitUnconfirmed("no answer in 30 s")
    world.batch.incomplete = "squeue does not answer"
    world.accept(sums(), SEEDS)
    world.run(until=lambda: totals(world) == ["28"])
    world.batch.incomplete = ""
    assert world.finish() is RunPhase.SUCCEEDED
    assert "SUPERSEDED" not in states(world)
    in_order(world)


def test_a_lost_request_is_made_again_under_another_name_once_listings_lack_it(make_world: MakeWorld) -> None:
    world = make_world(player())
    world.batch.before_submit = SubmitUnconfirmed("no answer in 30 s")
    world.accept(sums(), SEEDS)
    world.run(for_s=50.0)
    assert len(world.batch.submitted) == 1
    assert world.finish() is RunPhase.SUCCEEDED
    first, *more = (request.name for request in world.batch.submitted)
    assert more
    assert first not in more
    assert states(world) == ["SUPERSEDED", *["ENDED"] * len(more)]
    in_order(world)


def test_what_was_given_up_and_turns_up_later_is_cancelled(make_world: MakeWorld) -> None:
    world = make_world(player(count=lambda offer, _: Played([("total", offer["body"])], run_s=500.0)))
    world.batch.after_submit = SubmitUnconfirmed("no answer in 30 s")
    world.hold_elements = True
    world.accept(sums(), SEEDS)
    (name,) = world.batch.tries
    world.batch.hidden.add(name)
    world.run(until=lambda: len(world.batch.submitted) == 2)
    world.batch.hidden.clear()
    world.hold_elements = False
    world.start_elements(world.batch.submitted[1].name)
    world.run(until=lambda: name not in world.batch.alive())
    assert world.finish() is RunPhase.SUCCEEDED
    in_order(world)


def test_a_refused_submission_pauses_the_pool_with_a_note(make_world: MakeWorld) -> None:
    world = make_world(player())
    world.batch.refusal = SubmitRefused("invalid partition specified: gpu")
    world.accept(sums(), SEEDS)
    world.run(until=lambda: states(world) == ["REFUSED"])
    world.run(for_s=120.0)
    assert len(world.batch.submitted) == 1
    status = world.command("run.status", run="run-1").body
    assert status["pools"][0]["state"] == "paused"
    assert "invalid partition" in status["pools"][0]["reason"]
    assert any("invalid partition" in note for note in status["notes"])
    assert world.phase() is RunPhase.PAUSED
    world.batch.refusal = None
    assert world.command("run.resume", run="run-1").status == 200
    assert world.finish() is RunPhase.SUCCEEDED
    in_order(world)


@pytest.mark.parametrize(
    "problem", [BatchProblem("cannot contact slurmctld"), SubmitLimited("AssocMaxSubmit")]
)
def test_a_passing_refusal_is_tried_again_later(make_world: MakeWorld, problem: Exception) -> None:
    world = make_world(player())
    world.batch.refusal = problem
    world.accept(sums(), SEEDS)
    world.run(for_s=100.0)
    assert 2 <= len(world.batch.submitted) <= 5
    world.batch.refusal = None
    assert world.finish() is RunPhase.SUCCEEDED
    in_order(world)


def test_elements_that_end_without_a_hello_pause_the_pool(make_world: MakeWorld) -> None:
    world = make_world(player())
    world.hold_elements = True
    world.accept(sums(), SEEDS)
    for _ in range(3):
        world.run(until=lambda: bool(world.batch.alive()))
        world.batch.end(next(iter(world.batch.alive())), Ending.FAILED)
    world.run(until=lambda: world.phase() is RunPhase.PAUSED)
    status = world.command("run.status", run="run-1").body
    assert "hello" in status["pools"][0]["reason"]


def test_what_was_given_back_before_a_crash_is_known_after_it(make_world: MakeWorld) -> None:
    """It is cancelled though the order was lost, and its end without a hello does not count."""
    world = make_world(player())
    world.hold_elements = True
    world.accept(sums(), SEEDS)
    world.run(until=lambda: bool(world.batch.alive()))
    world.run(for_s=10.0)
    (name,) = world.batch.alive()
    core = world.core
    assert core is not None
    with core.store.transaction():
        for allocation in core.desk.world.allocations.values():
            cancelling.give_back(core.desk, allocation, range(allocation.request.elements))
    world.crash()
    world.hold_elements = False
    world.run(until=lambda: name not in world.batch.alive())
    assert [target.name for target in world.batch.cancelled] == [name]
    assert world.finish() is RunPhase.SUCCEEDED
    assert look(ledger(world), "SELECT hello_less FROM pool") == [(0,)]
    in_order(world)


def test_an_element_that_was_seen_running_and_then_forgotten_is_replaced(make_world: MakeWorld) -> None:
    world = make_world(player())
    world.hold_elements = True
    world.accept(sums(), SEEDS)
    (name,) = world.batch.tries
    world.batch.activate(name)
    world.run(until=lambda: states(world) == ["ACTIVE"])
    world.batch.forget(name)
    world.hold_elements = False
    assert world.finish() is RunPhase.SUCCEEDED
    assert len(world.batch.submitted) > 1
    in_order(world)


def test_a_batch_system_that_is_down_for_hours_ends_nothing(make_world: MakeWorld) -> None:
    world = make_world(player(count=lambda offer, _: Played([("total", offer["body"])], run_s=4000.0)))
    world.accept(sums(), SEEDS)
    world.run(until=lambda: bool(look(ledger(world), "SELECT 1 FROM task WHERE state = 'RUNNING' AND n > 1")))
    world.batch.incomplete = "slurmctld is down"
    world.run(for_s=3000.0)
    assert not look(ledger(world), "SELECT 1 FROM attempt WHERE outcome <> 'SUCCEEDED'")
    world.batch.incomplete = ""
    world.run(for_s=3000.0)
    world.run(for_s=3000.0)
    assert world.finish() is RunPhase.SUCCEEDED
    in_order(world)


def test_foreign_jobs_under_our_home_are_cancelled(make_world: MakeWorld) -> None:
    world = make_world(player(count=lambda offer, _: Played([("total", offer["body"])], run_s=100.0)))
    world.accept(sums(), SEEDS)
    request = world.batch.submitted[0]
    stray = request.name.replace(".1.1", ".77.1")
    world.batch.tries[stray] = type(world.batch.tries[request.name])(
        request, "4711", dict(world.batch.tries[request.name].elements)
    )
    assert world.finish() is RunPhase.SUCCEEDED
    assert any(target.name == stray and target.job_id == "4711" for target in world.batch.cancelled)


def test_a_cancel_that_fails_is_repeated_patiently_until_nothing_is_left(make_world: MakeWorld) -> None:
    world = make_world(player())
    world.hold_elements = True
    world.accept(sums(), SEEDS)
    world.run(until=lambda: bool(world.batch.alive()))
    world.batch.cancel_problem = BatchProblem("no answer from scancel in 30 s")
    assert world.command("run.cancel", run="run-1").status == 200
    world.run(for_s=300.0)
    assert world.batch.alive()
    assert world.faults.names.count("before cancel") == 1 + 3, "at once, and after 30, 60 and 120 s more"
    whys = look(ledger(world), "SELECT DISTINCT detail FROM event WHERE what = 'cancel failed'")
    assert whys == [("no answer from scancel in 30 s",)]
    world.batch.cancel_problem = None
    assert world.finish() is RunPhase.CANCELLED
    in_order(world)


def test_an_element_whose_cancel_failed_is_not_over_because_a_listing_lacks_it(make_world: MakeWorld) -> None:
    world = make_world(player(work=lambda offer, _: Played()))
    world.hold_elements = True
    world.accept(pipeline(module("work")), [("work", str(number)) for number in range(8)])
    world.run(until=lambda: bool(world.batch.alive()))
    (name,) = world.batch.alive()
    assert len(world.batch.tries[name].elements) == 2
    world.hold_elements = False
    world.start_elements(name, 0)
    world.hold_elements = True
    world.run(until=lambda: bool(world.living()))
    world.batch.cancel_problem = BatchProblem("no answer from scancel in 30 s")
    world.run(until=lambda: not world.living())
    world.batch.hidden.add(name)
    world.run(for_s=300.0)
    assert world.phase() is RunPhase.SUCCEEDED
    assert world.batch.alive() == {name: 1}
    world.batch.hidden.clear()
    world.batch.cancel_problem = None
    assert world.finish() is RunPhase.SUCCEEDED
    in_order(world)


def out_of_sight_at_the_end(world: World) -> None:
    """A run ends while one of its tries is neither cancelled nor listed, for longer than anybody waits."""
    world.hold_elements = True
    world.accept(sums(), SEEDS)
    world.run(until=lambda: bool(world.batch.tries))
    (name,) = world.batch.tries
    world.batch.out_of_sight.add(name)
    world.run(until=lambda: len(world.batch.submitted) == 2)
    assert states(world)[0] == "SUPERSEDED"
    world.hold_elements = False
    world.start_elements(world.batch.submitted[1].name)
    world.run(until=lambda: world.phase() is RunPhase.SUCCEEDED)
    world.run(for_s=120.0)
    assert list(world.batch.alive()) == [name]


def test_what_turns_up_when_no_run_is_open_is_cancelled(make_world: MakeWorld) -> None:
    world = make_world(player())
    out_of_sight_at_the_end(world)
    world.batch.out_of_sight.clear()
    world.run(until=lambda: not world.batch.alive())
    world.run(until=lambda: world.daemon.has_left)
    in_order(world)


def test_what_turns_up_when_no_daemon_is_there_is_cancelled_by_the_next(make_world: MakeWorld) -> None:
    world = make_world(player())
    out_of_sight_at_the_end(world)
    world.run(until=lambda: world.daemon.has_left)
    world.batch.out_of_sight.clear()
    world.run(for_s=1000.0)
    assert world.batch.alive()
    world.start()
    world.run(until=lambda: not world.batch.alive())
    in_order(world)


def test_a_daemon_does_not_leave_before_its_order_to_cancel_is_obeyed(make_world: MakeWorld) -> None:
    world = make_world(player())
    world.hold_elements = True
    world.accept(sums(), SEEDS)
    world.run(until=lambda: bool(world.batch.tries))
    world.batch.cancel_problem = BatchProblem("scancel does not answer")
    world.command("run.cancel", run="run-1")
    world.run(for_s=3000.0)
    assert world.batch.alive()
    assert not world.daemon.has_left
    world.batch.cancel_problem = None
    world.run(until=lambda: world.daemon.has_left)
    assert not world.batch.alive()


@pytest.mark.parametrize("point", ["before cancel", "after cancel"])
def test_a_crash_around_a_cancel_leaves_nothing_behind(make_world: MakeWorld, point: str) -> None:
    """Also no element that already runs and whose agent never says hello."""
    world = make_world(player())
    world.hold_elements = True
    world.accept(sums(), SEEDS)
    world.run(until=lambda: bool(world.batch.alive()))
    world.batch.activate(next(iter(world.batch.tries)))
    world.run(for_s=20.0)
    world.faults.always[point] = Crash()
    world.run(until=lambda: world.crashes > 0 or not world.command("run.cancel", run="run-1"))
    world.faults.always.clear()
    assert world.finish() is RunPhase.CANCELLED
    in_order(world)


def test_what_was_given_back_and_started_all_the_same_may_work(make_world: MakeWorld) -> None:
    world = make_world(player(count=lambda offer, _: Played([("total", offer["body"])], run_s=300.0)))
    world.hold_elements = True
    world.accept(sums(), [("scatter", "1")])
    world.run(until=lambda: bool(world.batch.alive()))
    assert world.core is not None
    (allocation,) = world.core.desk.world.allocations.values()
    allocation.cancelled.add(0)  # and the order was not carried out
    world.start_elements(allocation.request.name)
    world.hold_elements = False
    for name in world.batch.alive():
        world.start_elements(name)
    world.run(until=lambda: bool(world.living()))
    assert world.finish() is RunPhase.SUCCEEDED
    assert attempts(world, "count.1") == [("SUCCEEDED", "")]
    assert allocation.request.name not in [target.name for target in world.batch.cancelled]
    in_order(world)


def test_a_disk_that_is_full_at_any_commit_is_survived(make_world: MakeWorld) -> None:
    world = make_world(player())
    world.accept(sums(), SEEDS)
    world.finish()
    commits = [number for number, name in enumerate(world.faults.names, 1) if name == "commit"]
    for number in commits[1:]:
        world = make_world(player())
        world.faults.at[number] = StorageFull("no room for the ledger")
        world.accept(sums(), SEEDS)
        assert world.finish() is RunPhase.SUCCEEDED
        assert world.daemon.full == 1
        assert totals(world) == ["28"]
        in_order(world)


def test_a_disk_that_stays_full_for_minutes_is_survived(make_world: MakeWorld) -> None:
    world = make_world(player())
    world.accept(sums(), SEEDS)
    world.run(until=lambda: bool(attempts(world, "scatter.1")))
    world.faults.always["commit"] = StorageFull("no room for the ledger")
    world.run(for_s=200.0)
    assert world.daemon.full > 3
    del world.faults.always["commit"]
    assert world.finish() is RunPhase.SUCCEEDED
    assert totals(world) == ["28"]
    in_order(world)


@pytest.mark.parametrize("back_s", [3.0, 3600.0])
def test_a_wall_clock_that_steps_back_stops_nothing(make_world: MakeWorld, back_s: float) -> None:
    world = make_world(player())
    world.accept(sums(), SEEDS)
    world.run(until=lambda: bool(attempts(world, "count.1")))
    before_s = world.clock.mono_s
    world.clock.step_wall(-back_s)
    assert world.finish() is RunPhase.SUCCEEDED
    assert world.clock.mono_s - before_s < 60.0
    in_order(world)


def test_a_daemon_that_starts_after_the_wall_clock_stepped_back_goes_on(make_world: MakeWorld) -> None:
    world = make_world(player())
    world.accept(sums(), SEEDS)
    world.run(until=lambda: bool(attempts(world, "count.1")))
    before_s = world.clock.mono_s
    world.crash()
    world.clock.step_wall(-3600.0)
    assert world.finish() is RunPhase.SUCCEEDED
    assert world.clock.mono_s - before_s < 60.0
    in_order(world)


def test_a_daemon_with_nothing_to_do_does_not_turn(make_world: MakeWorld) -> None:
    """Not even while tasks wait for a retry that is due and nobody is there to take it."""

    def failing(offer: Json, _: list[Json]) -> Played:
        return Played(cause="exit", exit_code=1)

    world = make_world(Player({"work": failing}))
    rule = RetryRule(on=(1,), retries=1, delay_s=30.0)
    world.accept(pipeline(module("work", retry=[rule])), [("work", "1")])
    world.run(until=lambda: bool(attempts(world, "work.1")))
    world.hold_elements = True
    world.run(for_s=60.0)
    assert world.core is not None
    before = world.core.turns
    world.run(for_s=60.0)
    assert world.core.turns - before < 60.0 / 0.1


def test_a_job_id_that_only_a_listing_told_outlives_the_daemon(make_world: MakeWorld) -> None:
    world = make_world(player(count=lambda offer, _: Played([("total", offer["body"])], run_s=100.0)))
    world.batch.after_submit = SubmitUnconfirmed("no answer in 30 s")
    world.batch.incomplete = "squeue does not answer"
    world.accept(sums(), [("scatter", "2")])
    world.run(until=lambda: states(world) == ["ACTIVE"])  # by its hello
    job_ids = "SELECT job_id FROM try"
    assert look(ledger(world), job_ids) == [("",)]
    world.batch.incomplete = ""
    world.run(for_s=20.0)
    assert look(ledger(world), job_ids) == [("1000",)]
    assert world.finish() is RunPhase.SUCCEEDED
    in_order(world)
