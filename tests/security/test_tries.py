"""What a join token is good for: the elements of its own try, in a simulated world with two tries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scalebox_hpc.daemon.state import RunPhase
from scalebox_hpc.testing.agent import Json, Played, SimulatedAgent
from scalebox_hpc.testing.world import World
from tests.fault.pipelines import Player, module, pipeline


def slow(_offer: Json, _members: list[Json]) -> Played:
    return Played(run_s=60.0)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world in which an agent of each of two tries works."""
    made = World(tmp_path, Player({"work": slow}).play)
    made.start()
    for name in ("run-1", "run-2"):
        made.accept(pipeline(module("work"), slots=1), [("work", name)], name)
    made.run(
        until=lambda: sum(agent.session is not None and bool(agent.started) for agent in made.living()) == 2
    )
    yield made
    made.end()


def two(world: World) -> tuple[SimulatedAgent, SimulatedAgent]:
    one, other = world.living()
    assert one.try_name != other.try_name
    return one, other


def test_it_gets_no_token_of_another_trys_agent(world: World) -> None:
    one, other = two(world)
    said = {"try": one.try_name, "incarnation": other.incarnation, "element": other.element, "restart": 9}
    answer = world.command("agent.hello", **said)
    assert answer.body["do"] == "leave"
    assert "token" not in answer.body
    assert world.command("agent.hello", **{**said, "try": other.try_name}).body["token"], "its own does"


def test_it_does_not_end_another_trys_agent(world: World) -> None:
    one, other = two(world)
    said = {"try": one.try_name, "incarnation": other.incarnation, "element": one.element, "restart": 0}
    assert world.command("agent.ended", **said, status=0).status == 200
    assert world.core is not None
    assert {one.incarnation, other.incarnation} <= set(world.core.desk.world.agents)
    assert world.finish("run-1") is world.finish("run-2") is RunPhase.SUCCEEDED
    assert len(other.started) == len(one.started) == 1, "nothing ran twice"
