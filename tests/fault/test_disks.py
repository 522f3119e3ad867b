"""Nodes whose disk is full: their tasks go elsewhere at no cost, and nobody asks for them without end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scalebox_hpc.daemon.state import RunPhase
from scalebox_hpc.domain.pipeline import Resources
from scalebox_hpc.domain.site import Machine
from scalebox_hpc.testing.audit import look
from scalebox_hpc.testing.world import SITE, World
from tests.fault.conftest import MakeWorld
from tests.fault.pipelines import Json, Played, Player, in_order, ledger, module, pipeline, tasks

# What is decided here is the same over every ledger.
pytestmark = pytest.mark.parametrize("make_world", ["sqlite"], indirect=True)

LONG_S = 3000.0


def work(offer: Json, _: list[Json]) -> Played:
    """The body says for how long it runs, and which it is."""
    return Played(run_s=float(offer["body"].split()[0]))


def start(
    make_world: MakeWorld, nodes: list[str], count: int = 4, run_s: float = 1.0, slots: int = 4
) -> World:
    """A run of tasks, one an element; elements start on the first free node, or else on the last."""
    world = make_world(Player({"work": work}))
    world.nodes = nodes
    world.full_nodes = {"full"}
    world.site = replace(SITE, machines={"cpu": Machine("cpu", cpus=1, memory_mib=4096, default=True)})
    world.accept(
        pipeline(module("work"), slots=slots), [("work", f"{run_s} {index}") for index in range(count)]
    )
    return world


def pool(world: World) -> Json:
    status: Json = world.command("run.status", run="run-1").body
    found: Json = status["pools"][0]
    return found


def endings(world: World) -> int:
    """Agents in a row that left for the sake of a disk."""
    assert world.core is not None
    (found,) = world.core.desk.world.pools.values()
    return found.disk_endings


def attempts(world: World) -> list[tuple[str, str]]:
    return look(ledger(world), "SELECT outcome, cause FROM attempt")


def test_a_task_goes_elsewhere_at_no_cost(make_world: MakeWorld) -> None:
    world = start(make_world, ["full", "good"])
    assert world.finish() is RunPhase.SUCCEEDED
    assert attempts(world) == [("SUCCEEDED", "")] * 4
    assert any(agent.node == "full" for agent in world.agents.values())
    in_order(world)


def test_disks_that_stay_full_pause_the_pool_with_one_message(make_world: MakeWorld) -> None:
    world = start(make_world, ["full"])
    world.run(until=lambda: world.phase() is RunPhase.PAUSED)
    assert pool(world)["state"] == "paused"
    for word in (
        " agents in a row",
        "on full",
        "/scratch/work",
        "ENOSPC",
        "make room",
        "paths.scratch",
        "--exclude=full",
    ):
        assert word in pool(world)["reason"]
    asked, agents = len(world.batch.submitted), len(world.agents)
    world.run(for_s=3000.0)
    assert (len(world.batch.submitted), len(world.agents)) == (asked, agents)
    assert attempts(world) == []
    assert tasks(world) == {"work": [(4, "READY", "")]}
    world.full_nodes.clear()
    assert world.command("run.resume", run="run-1").status == 200
    assert world.finish() is RunPhase.SUCCEEDED
    in_order(world)


def test_the_first_one_is_said_and_given_time(make_world: MakeWorld) -> None:
    world = start(make_world, ["full"], count=1)
    world.run(until=lambda: "ENOSPC" in pool(world)["reason"])
    assert pool(world)["state"] == "ok"
    world.run(for_s=10.0)
    assert len(world.batch.submitted) == 1
    world.full_nodes.clear()
    assert world.finish() is RunPhase.SUCCEEDED
    in_order(world)


def test_a_success_between_lets_the_pool_go_on(make_world: MakeWorld) -> None:
    world = start(make_world, ["full"], count=2, run_s=20.0, slots=1)
    for done in (1, 2):
        world.run(until=lambda: endings(world) == 2)
        world.full_nodes.clear()
        world.run(until=lambda: len(attempts(world)) == done)  # noqa: B023
        world.full_nodes.add("full")
        assert pool(world)["state"] == "ok"
    assert world.finish() is RunPhase.SUCCEEDED
    in_order(world)


def test_one_full_node_ends_nothing_that_another_does(make_world: MakeWorld) -> None:
    world = start(make_world, ["good", "full"], count=4, run_s=LONG_S)
    world.run(for_s=LONG_S - 100.0)
    assert pool(world)["state"] == "ok"
    assert len(world.agents) <= 20
    assert len(world.batch.submitted) <= 15
    for _ in range(4):
        world.run(for_s=LONG_S)
    assert world.finish() is RunPhase.SUCCEEDED
    in_order(world)


def test_a_disk_that_is_too_small_for_any_task_is_as_good_as_none(make_world: MakeWorld) -> None:
    world = make_world(Player({"work": work}))
    world.scratch_mib = 10
    needs = Resources(cpus=1, memory_mib=1000, time_s=60.0, scratch_mib=1024)
    world.accept(pipeline(replace(module("work"), resources=needs)), [("work", "1 a")])
    world.run(until=lambda: world.phase() is RunPhase.PAUSED)
    assert "10 MiB free" in pool(world)["reason"]
    assert "a task of work needs 1024" in pool(world)["reason"]
    assert len(world.agents) == 3
