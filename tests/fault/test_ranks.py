"""Tasks with ranks, each of which has its element to itself, in a simulated world."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from scalebox_hpc.daemon.core import Core
from scalebox_hpc.daemon.state import RunPhase
from scalebox_hpc.domain.allocation import AllocationRequest
from scalebox_hpc.domain.pipeline import Pipeline, Ranks, RetryRule
from scalebox_hpc.testing.agent import Json, Played
from scalebox_hpc.testing.world import World
from tests.fault.conftest import MakeWorld
from tests.fault.pipelines import SMALL, attempts, in_order, module, pipeline, player

RANKS = Ranks(nodes=2, count=4)


def ranked(retry: tuple[RetryRule, ...] = ()) -> Pipeline:
    needs = replace(SMALL, nodes=RANKS.nodes, ntasks=RANKS.count)
    return pipeline(replace(module("count", retry=retry), kind="mpi", resources=needs), slots=2)


def requests(world: World) -> list[AllocationRequest]:
    return list(world.batch.submitted)


def core_of(world: World) -> Core:
    assert world.core is not None
    return world.core


def alone(offer: Json, _: list[Json]) -> Played:
    assert offer["resources"]["cpus"] == 4
    return Played([], run_s=30.0)


def test_each_task_has_an_element_to_itself_and_slots_bound_them(make_world: MakeWorld) -> None:
    world = make_world(player(count=alone))
    world.accept(ranked(), [("count", str(number)) for number in range(6)])
    assert world.finish() is RunPhase.SUCCEEDED
    assert {(each.cpus, each.memory_mib, each.ranks) for each in requests(world)} == {(4, 1000, RANKS)}
    assert max(each.elements for each in requests(world)) <= 2
    in_order(world)


def test_what_spans_nodes_works_in_the_runs_shared_folder(make_world: MakeWorld) -> None:
    world = make_world(player(count=alone))
    world.accept(ranked(), [("count", "1")])
    world.run(until=lambda: bool(requests(world)))
    [request] = requests(world)
    run = next(iter(core_of(world).desk.world.runs.values()))
    assert request.launch.scratch == str(Path(run.shared["sim"]).parent / "work")


def test_a_restarted_daemon_knows_how_large_its_elements_are(make_world: MakeWorld) -> None:
    world = make_world(player(count=alone))
    world.accept(ranked(), [("count", str(number)) for number in range(4)])
    world.run(until=lambda: bool(world.living()))
    before = requests(world)[0]
    world.crash()
    world.run(until=lambda: world.core is not None)
    [allocation, *_] = core_of(world).desk.world.allocations.values()
    assert (allocation.request.ranks, allocation.request.launch) == (before.ranks, before.launch)
    assert world.finish() is RunPhase.SUCCEEDED
    in_order(world)


def test_a_retry_with_more_memory_asks_for_more_on_each_node(make_world: MakeWorld) -> None:
    def hungry(offer: Json, _: list[Json]) -> Played:
        return Played(cause="oom") if offer["resources"]["memory_mib"] < 2000 else Played([])

    world = make_world(player(count=hungry))
    world.accept(ranked((RetryRule(("oom",), 1, memory_factor=2.0),)), [("count", "1")])
    assert world.finish() is RunPhase.SUCCEEDED
    assert [each.memory_mib for each in requests(world)] == [1000, 2000]
    assert [outcome for outcome, _ in attempts(world, "count.1")] == ["FAILED", "SUCCEEDED"]
    in_order(world)


def test_a_cancelled_run_lets_its_agents_end_their_ranks_first(make_world: MakeWorld) -> None:
    """In a job under cancellation nobody can end what runs on other nodes. What stays is cancelled later."""
    world = make_world(player(count=alone))
    world.accept(ranked(), [("count", str(number)) for number in range(2)])
    world.run(until=lambda: len(world.living()) == 2)
    world.run(for_s=10.0)
    deaf = world.living()[0]
    world.network.deaf.add(deaf.incarnation)
    assert world.command("run.cancel", run="run-1").status == 200
    world.run(for_s=10.0)
    assert world.living() == [deaf]
    assert deaf.try_name not in [target.name for target in world.batch.cancelled]
    world.run(until=lambda: not world.batch.alive())
    assert (deaf.try_name, (deaf.element,)) in [
        (target.name, target.elements or (deaf.element,)) for target in world.batch.cancelled
    ]
