"""The daemon may be killed at any moment: nothing is lost, nothing counts twice, nothing is left behind."""

from __future__ import annotations

from itertools import count as numbers

import pytest

from scalebox_hpc.daemon import core
from scalebox_hpc.daemon.state import RunPhase
from scalebox_hpc.testing.agent import Played
from scalebox_hpc.testing.batch import Crash
from scalebox_hpc.testing.world import World
from tests.fault.conftest import MakeWorld
from tests.fault.pipelines import SEEDS, all_is_well, in_order, player, sums


def all_is_tidy(world: World) -> None:
    """All is well, and the folder of the run is gone too."""
    all_is_well(world)
    world.run(until=lambda: not list(world.runs_folder.iterdir()))


def test_the_points_cover_writes_commits_and_batch_calls(points: list[str]) -> None:
    wanted = {"claim", "add_attempt", "fire_part", "drop_chunk", "add_try", "commit", "committed"}
    assert wanted | {"before submit", "after submit", "before observe", "after observe"} <= set(points)
    assert "before remove" in points


def test_a_crash_after_any_write_and_around_any_batch_call(
    make_world: MakeWorld, points: list[str], request: pytest.FixtureRequest
) -> None:
    """In Postgres after each ninth of them, which takes as long."""
    every = 9 if "postgres" in request.node.name else 1
    for number, name in list(enumerate(points, 1))[::every]:
        world = make_world(player())
        world.faults.at[number] = Crash(name)
        if world.core is None:  # the crash was due while it started
            world.clock.after(0.0, world.start)
        world.accept(sums(), SEEDS)
        all_is_tidy(world)
        asked = [each.request for each in world.batch.tries.values()]
        assert len(asked) <= 3, f"{len(asked)} allocations after a crash at {number}, {name}"
        world.end()


def test_a_crash_before_a_runs_folder_is_removed_leaves_it_to_the_next_start(make_world: MakeWorld) -> None:
    """Of runs that SUCCEEDED only: one that FAILED may be resumed; what has no run is not ours to judge."""
    world = make_world(player(count=lambda offer, _: Played(cause="exit", exit_code=1)))
    world.accept(sums(), SEEDS, "run-1")
    assert world.finish("run-1") is RunPhase.FAILED
    world.play = player().play
    world.faults.always["before remove"] = Crash()
    world.accept(sums(), SEEDS, "run-2")
    (world.runs_folder / "strange").mkdir()
    world.run(until=lambda: world.crashes > 3)
    assert (world.runs_folder / "run-2" / "shared").exists()
    del world.faults.always["before remove"]
    world.run(until=lambda: not (world.runs_folder / "run-2").exists())
    assert sorted(path.name for path in world.runs_folder.iterdir()) == ["run-1", "strange"]
    assert world.finish("run-2") is RunPhase.SUCCEEDED
    in_order(world)


@pytest.mark.parametrize("gap", [5, 17])
def test_one_crash_after_another(make_world: MakeWorld, gap: int) -> None:
    world = make_world(player())
    world.accept(sums(), SEEDS)
    first = world.faults.passed
    for number in range(first + gap, first + 40 * gap, gap):
        world.faults.at[number] = Crash()
    all_is_tidy(world)
    assert world.crashes > 3


def test_a_crash_between_the_slices_of_a_chunked_report(make_world: MakeWorld) -> None:
    ticks = numbers()
    world = make_world(player())
    world.stopwatch = lambda: next(ticks) * core.SLICE_S * 0.75  # a slice a turn
    world.accept(sums(), SEEDS)
    world.run(until=lambda: "release_chunk" in world.faults.names)
    world.run(until=lambda: "drop_chunk" in world.faults.names)
    assert world.faults.names.count("drop_chunk") == 1
    world.crash()
    all_is_tidy(world)
    assert world.crashes == 1


def test_one_allocation_is_enough_when_the_answer_of_sbatch_is_lost_in_a_crash(make_world: MakeWorld) -> None:
    world = make_world(player())
    world.batch.after_submit = Crash()
    world.accept(sums(), SEEDS)
    all_is_tidy(world)
    assert len(world.batch.submitted) == 1
    assert world.crashes == 1


def test_an_agent_works_on_while_the_daemon_is_down(make_world: MakeWorld) -> None:
    world = make_world(player())
    world.accept(sums(), SEEDS)
    world.run(until=lambda: any(agent.started for agent in world.living()))
    world.crash(down_s=90.0)
    world.run(for_s=80.0)
    assert any(world.spools.values()), "after a minute of silence results are spooled too"
    all_is_tidy(world)
