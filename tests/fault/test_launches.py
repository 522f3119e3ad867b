"""A program that would not start: the node's fault, or the module's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scalebox_hpc.daemon.state import RunPhase
from scalebox_hpc.domain.site import Machine
from scalebox_hpc.engine.launches import AFTER_SUCCESS
from scalebox_hpc.testing.agent import Json, Played, SimulatedAgent
from scalebox_hpc.testing.audit import look
from scalebox_hpc.testing.world import SITE, World
from tests.fault.conftest import MakeWorld
from tests.fault.pipelines import Player, in_order, ledger, module, pipeline

# What is decided here is the same over every ledger.
pytestmark = pytest.mark.parametrize("make_world", ["sqlite"], indirect=True)

WIDE = 12  # slots of an element: more than the launch failures that fail a module
SHORT_S, LONG_S, IDLE_S = 10.0, 3000.0, 4000.0


def work(offer: Json, _: list[Json]) -> Played:
    """The body says for how long it runs, and which it is."""
    return Played(run_s=float(offer["body"].split()[0]))


def start(make_world: MakeWorld, nodes: list[str], longs: int) -> World:
    """A run that all nodes have served with success and go on to serve with long tasks."""
    world = make_world(Player({"work": work}))
    world.nodes = nodes
    machine = Machine("cpu", cpus=WIDE, memory_mib=65536, default=True)
    world.site = replace(SITE, machines={"cpu": machine})
    slots = WIDE * len(nodes)
    seeds = [*[SHORT_S] * slots, *[LONG_S] * longs]
    bodies = [("work", f"{seconds} {index}") for index, seconds in enumerate(seeds)]
    asked = pipeline(module("work"), slots=slots)
    pool = replace(asked.pools["default"], idle_s=IDLE_S)
    world.accept(replace(asked, pools={"default": pool}), bodies)
    world.run(until=lambda: sum(len(agent.started) for agent in world.living()) == slots)
    return world


def streak(world: World) -> tuple[int, str, int]:
    return tuple(look(ledger(world), "SELECT launches, launch_node, launch_spread FROM module")[0])


def is_broken(world: World) -> bool:
    return bool(look(ledger(world), "SELECT 1 FROM module WHERE broken <> ''"))


def nodes_of(world: World, outcome: str) -> list[str]:
    """Where attempts ended so, in the order of recording."""
    query = "SELECT node FROM attempt JOIN agent USING (agent_id) WHERE outcome = ? ORDER BY attempt_id"
    return [node for (node,) in look(ledger(world), query, outcome)]


def agent_on(world: World, node: str) -> SimulatedAgent:
    return next(agent for agent in world.living() if agent.node == node)


def test_one_bad_node_does_not_fail_a_module_that_another_serves(make_world: MakeWorld) -> None:
    world = start(make_world, ["good", "bad"], longs=2 * WIDE)
    world.broken_nodes.add("bad")
    world.run(for_s=LONG_S - 100.0)
    launches, node, spread = streak(world)
    assert launches > AFTER_SUCCESS
    assert (node, spread) == ("bad", 0)
    assert not is_broken(world)
    world.run(for_s=LONG_S)
    assert world.finish() is RunPhase.SUCCEEDED
    assert set(nodes_of(world, "FAILED")) == {"bad"}
    in_order(world)


def test_the_last_task_is_not_used_up_by_a_bad_node_while_the_other_is_busy(make_world: MakeWorld) -> None:
    world = start(make_world, ["good", "bad"], longs=WIDE + 3)
    world.broken_nodes.add("bad")
    world.run(for_s=LONG_S)
    reply = world.command("run.status", run="run-1")
    assert reply.body["notes"] == ["work does not start on bad: other nodes go on with it"]
    world.run(for_s=LONG_S)
    assert world.finish() is RunPhase.SUCCEEDED
    assert AFTER_SUCCESS > len(nodes_of(world, "FAILED")) > 2
    in_order(world)


def test_the_only_node_fails_a_module_that_has_worked(make_world: MakeWorld) -> None:
    world = start(make_world, ["only"], longs=2 * WIDE)
    world.broken_nodes.add("only")
    assert world.finish() is RunPhase.FAILED
    assert is_broken(world)
    assert len(nodes_of(world, "FAILED")) < 2 * WIDE
    in_order(world)


def test_two_bad_nodes_fail_a_module_while_a_third_serves_it(make_world: MakeWorld) -> None:
    world = start(make_world, ["good", "bad", "worse"], longs=3 * WIDE)
    world.broken_nodes.update({"bad", "worse"})
    world.run(until=lambda: is_broken(world))
    assert streak(world)[2] == 1
    world.run(for_s=LONG_S)
    assert world.finish() is RunPhase.FAILED
    in_order(world)


def test_a_crash_does_not_forget_whose_failures_they_were(make_world: MakeWorld) -> None:
    world = start(make_world, ["good", "bad"], longs=2 * WIDE)
    world.broken_nodes.add("bad")
    world.run(for_s=60.0)
    before = streak(world)
    world.crash()
    world.run(for_s=60.0)
    after = streak(world)
    assert after[0] > before[0] > AFTER_SUCCESS
    assert before[1:] == after[1:] == ("bad", 0)
    assert not is_broken(world)


def test_a_bad_node_fails_the_module_when_it_is_the_only_one_left(make_world: MakeWorld) -> None:
    world = start(make_world, ["good", "bad"], longs=2 * WIDE)
    world.broken_nodes.add("bad")
    world.run(for_s=60.0)
    assert not is_broken(world)
    world.hold_elements = True
    world.kill(agent_on(world, "good"))
    world.run(until=lambda: is_broken(world))
    assert set(nodes_of(world, "FAILED")) == {"good", "bad"}  # one was killed, the other is bad
    assert world.finish() is RunPhase.FAILED
    in_order(world)


def test_a_node_that_works_again_is_used_again(make_world: MakeWorld) -> None:
    world = start(make_world, ["good", "bad"], longs=3 * WIDE)
    world.broken_nodes.add("bad")
    world.run(for_s=60.0)
    failed = len(nodes_of(world, "FAILED"))
    world.broken_nodes.clear()
    world.run(for_s=2 * LONG_S)
    assert world.finish() is RunPhase.SUCCEEDED
    assert len(nodes_of(world, "FAILED")) == failed
    assert nodes_of(world, "SUCCEEDED").count("bad") > 2 * WIDE
    in_order(world)
