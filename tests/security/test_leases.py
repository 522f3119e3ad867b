"""What an agent's token is good for: leases of its own incarnation, in a simulated world with two agents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scalebox_hpc.daemon.state import RunPhase
from scalebox_hpc.testing.agent import Json, Played, SimulatedAgent
from scalebox_hpc.testing.audit import look
from scalebox_hpc.testing.world import SITE, World
from tests.fault.pipelines import Player, in_order, module, pipeline

OK = {"outcome": "ok", "exit_code": 0, "user_text": "a lie"}


def slow(_offer: Json, _members: list[Json]) -> Played:
    return Played(run_s=300.0, text="the truth")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world in which two agents work, each on a run of its own."""
    made = World(tmp_path, Player({"work": slow}).play)
    made.start()
    for name in ("run-1", "run-2"):
        made.accept(pipeline(module("work"), slots=1), [("work", name)], name)
    made.run(until=lambda: len(held(made)) == 2)
    yield made
    made.end()


def held(world: World) -> list[tuple[str, str]]:
    """(incarnation, state) of each task that an agent holds and has begun."""
    query = "SELECT incarnation, state FROM task JOIN agent USING (agent_id) WHERE state = 'RUNNING'"
    return look(world.books, query)


def texts(world: World) -> list[tuple[str, str, str]]:
    """(incarnation, outcome, text) of each attempt."""
    query = (
        "SELECT incarnation, outcome, user_text FROM attempt JOIN agent USING (agent_id) ORDER BY attempt_id"
    )
    return look(world.books, query)


def two(world: World) -> tuple[SimulatedAgent, SimulatedAgent, str]:
    """A thief, his victim, and the victim's lease."""
    thief, victim = world.living()
    return thief, victim, victim.started[0]


def sync(world: World, thief: SimulatedAgent, **said: object) -> Json:
    """Say something in the name of an agent, beside what it says itself."""
    assert thief.session is not None
    assert world.core is not None
    number = world.core.desk.world.agents[thief.incarnation].session.last_sync + 1
    about = {"incarnation": thief.incarnation, "sync": number, "took": thief.session.took}
    own = [[lease, 1] for lease in thief.session.held]
    return dict(world.command("agent.sync", **about, **{"held": own, "results": [], **said}).body)


def test_a_report_of_anothers_lease_is_refused_and_changes_nothing(world: World) -> None:
    thief, victim, lease = two(world)
    answer = sync(world, thief, results=[{"lease": lease, **OK}])
    assert (answer["recorded"], answer["refused"]) == ([], [lease])
    assert len(held(world)) == 2, "its holder still has it"
    assert world.finish("run-1") is world.finish("run-2") is RunPhase.SUCCEEDED
    assert sorted(texts(world)) == sorted(
        (agent.incarnation, "SUCCEEDED", "the truth") for agent in (thief, victim)
    )
    in_order(world)


def test_a_failure_of_anothers_lease_is_refused_too(world: World) -> None:
    thief, _, lease = two(world)
    answer = sync(
        world, thief, results=[{"lease": lease, "outcome": "failed", "cause": "exit", "exit_code": 1}]
    )
    assert answer["refused"] == [lease]
    assert len(held(world)) == 2
    assert texts(world) == []


def test_no_chunk_is_staged_for_anothers_lease(world: World) -> None:
    thief, victim, lease = two(world)
    said = {"lease": lease, "seq": 0, "messages": []}
    assert not world.command("agent.chunk", incarnation=thief.incarnation, **said).body["staged"]
    assert world.command("agent.chunk", incarnation=victim.incarnation, **said).body["staged"]


def test_a_lapsed_lease_is_still_nobody_elses(world: World) -> None:
    thief, victim, lease = two(world)
    world.hold_elements = True
    world.network.deaf.add(victim.incarnation)
    world.run(until=lambda: texts(world) != [])
    assert texts(world) == [(victim.incarnation, "FAILED", "")]
    assert SITE.lost_after_s < 300.0, "it lapsed for silence, while its program still ran"
    assert sync(world, thief, results=[{"lease": lease, **OK}])["refused"] == [lease]
    answer = sync(world, thief, held=[[lease, 1], *([own, 1] for own in thief.started)])
    assert answer["dead"] == [lease]
    world.network.deaf.clear()
    world.run(until=lambda: (victim.incarnation, "SUCCEEDED", "the truth") in texts(world))
    world.hold_elements = False
    assert world.finish("run-1") is world.finish("run-2") is RunPhase.SUCCEEDED
    assert sorted(who for who, _, _ in texts(world)) == sorted([thief.incarnation, victim.incarnation])
    in_order(world)
