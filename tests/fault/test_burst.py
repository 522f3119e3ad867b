"""A site that stands by: asked when the first keeps tasks waiting, left alone as long as it does."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest

from scalebox_hpc.daemon.desk import Command, Submit
from scalebox_hpc.daemon.state import RunPhase
from scalebox_hpc.domain.allocation import AllocationRequest
from scalebox_hpc.domain.pipeline import Pipeline, Place, Pool
from scalebox_hpc.domain.site import Limits
from scalebox_hpc.errors import BatchProblem
from scalebox_hpc.testing.agent import Json, Played
from scalebox_hpc.testing.audit import audit, look
from scalebox_hpc.testing.batch import SimulatedBatch
from scalebox_hpc.testing.world import SITE, World
from tests.fault.conftest import MakeWorld
from tests.fault.pipelines import Player, module, pipeline

AFTER_S = 300.0
AT_B = "-work-b."  # in the names of what is asked for at the second site


def burst(slots: int = 100, walltime_s: float = 7200.0) -> Pipeline:
    """A module at two sites of the simulated cluster, the second of which stands by."""
    work = replace(
        module("work", ["work"]), pool="work", places=(Place("work"), Place("work-b", 1.0, AFTER_S))
    )
    made = pipeline(work)
    pools = [
        Pool("work", "sim", slots=slots, walltime_s=walltime_s, idle_s=5.0),
        Pool("work-b", "b", idle_s=5.0),
    ]
    return replace(made, pools={**made.pools, **{pool.name: pool for pool in pools}})


def submit(world: World, pipeline: Pipeline, count: int) -> float:
    """Submit a run with tasks of 50 s; return when."""
    world.accept(pipeline, [("work", str(number)) for number in range(count)])
    return world.clock.mono_s


def player() -> Player:
    return Player({"work": lambda _offer, _members: Played(run_s=50.0)})


def asked_at_b(world: World) -> bool:
    return any(AT_B in request.name for request in world.batch.submitted)


def keeps_its_place_at_b(world: World) -> bool:
    """Whether the first that was asked for at the second site still waits in its queue."""
    first = next(request.name for request in world.batch.submitted if AT_B in request.name)
    return first in world.batch.alive()


def done_at(world: World) -> dict[str, int]:
    """How many tasks each site did."""
    assert audit(world.books) == []
    rows = look(
        world.books,
        "SELECT p.site, count(*) FROM attempt AS t JOIN agent AS g ON g.agent_id = t.agent_id"
        " JOIN pool AS p ON p.pool_id = g.pool_id WHERE t.outcome = 'SUCCEEDED' GROUP BY p.site",
    )
    return dict(rows)


def hold_b(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing start at the second site."""
    start = world.start_elements

    def start_elements(_: World, name: str, *indices: int) -> None:
        if AT_B not in name:
            start(name, *indices)

    monkeypatch.setattr(World, "start_elements", start_elements)


@pytest.mark.parametrize(
    ("limits", "made"),
    [
        pytest.param(Limits(elements=2), burst(), id="the limit of elements of the site"),
        pytest.param(Limits(), burst(slots=4), id="the slots of the pool"),
        pytest.param(Limits(elements=2), burst(walltime_s=200.0), id="elements that follow each other"),
    ],
)
def test_a_site_that_can_have_no_more_while_tasks_wait_brings_in_the_next(
    make_world: MakeWorld, limits: Limits, made: Pipeline
) -> None:
    world = make_world(player(), site=replace(SITE, limits=limits))
    world.has_walltimes = True
    began_s = submit(world, made, count=80)
    world.run(until=lambda: asked_at_b(world))
    assert AFTER_S <= world.clock.mono_s - began_s <= AFTER_S + 10.0
    assert world.finish() is RunPhase.SUCCEEDED
    done = done_at(world)
    assert done["sim"] > 20
    assert done["b"] > 20


def test_a_site_that_is_full_for_a_shorter_time_brings_in_no_other(make_world: MakeWorld) -> None:
    """While nothing waits it may be full for as long as it likes."""

    def long_ones_first(offer: Json, _: list[Json]) -> Played:
        is_long = len(offer["body"]) == 1
        more = [("work", f"{offer['body']}{number}") for number in range(4)]
        return Played(more, run_s=2 * AFTER_S) if is_long else Played(run_s=50.0)

    world = make_world(Player({"work": long_ones_first}), site=replace(SITE, limits=Limits(elements=2)))
    submit(world, burst(), count=4)
    assert world.finish() is RunPhase.SUCCEEDED
    assert done_at(world) == {"sim": 20}
    assert not asked_at_b(world)


def test_what_waits_at_the_next_site_stays_there_while_tasks_wait_and_goes_back_then(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the daemon is killed meanwhile, and no more knows since when the first has been full."""
    world = make_world(player(), site=replace(SITE, limits=Limits(elements=2)))
    world.has_walltimes = True
    hold_b(world, monkeypatch)
    submit(world, burst(walltime_s=200.0), count=80)
    world.run(until=lambda: asked_at_b(world))
    world.run(for_s=60.0)
    world.crash()
    world.run(for_s=400.0)
    assert world.phase() is RunPhase.RUNNING
    assert keeps_its_place_at_b(world)
    assert world.finish() is RunPhase.SUCCEEDED
    assert not keeps_its_place_at_b(world)
    assert done_at(world) == {"sim": 80}


def test_what_waits_at_the_next_site_stays_there_while_the_first_is_asked_in_vain_again_and_again(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = SimulatedBatch.submit

    def take_at_b(batch: SimulatedBatch, request: AllocationRequest) -> str:
        if AT_B not in request.name:
            batch.before_submit = BatchProblem("cannot contact slurmctld")
        return take(batch, request)

    def slow(command: Command) -> tuple[float, float]:
        return (2.0, 4.0) if isinstance(command, Submit) else (0.0, 0.0)

    world = make_world(player())
    monkeypatch.setattr(SimulatedBatch, "submit", take_at_b)
    world.hands.pace = slow
    hold_b(world, monkeypatch)
    submit(world, burst(), count=8)
    world.run(until=lambda: asked_at_b(world))
    for _ in range(100):
        world.run(for_s=2.0)
        assert world.core is not None
        (work,) = world.core.desk.world.modules.values()
        assert work.places[0].waits_s == inf
    assert len(world.batch.submitted) > 4, "it was tried again"
    assert keeps_its_place_at_b(world)
