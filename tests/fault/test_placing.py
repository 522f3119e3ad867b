"""Files follow the tasks of a module with several sites, whatever is killed and whichever site goes down."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scalebox_hpc.daemon.state import RunPhase
from scalebox_hpc.domain.allocation import Ending
from scalebox_hpc.domain.pipeline import Inserted, Pipeline, Place, Pool, RetryRule
from scalebox_hpc.domain.site import Machine
from scalebox_hpc.testing.agent import Json, Played
from scalebox_hpc.testing.audit import audit, look
from scalebox_hpc.testing.batch import Crash
from scalebox_hpc.testing.world import SITE, World
from tests.fault.conftest import MakeWorld
from tests.fault.pipelines import Player, module, pipeline

COUNT = 12
SEEDS = [("work-in", str(number)) for number in range(COUNT)]
NETWORK = RetryRule(on=(10,), retries=3, delay_s=2.0)


def placed() -> Pipeline:
    """A module at two sites of the simulated cluster, and the transfer before it."""
    inserted = Inserted("work", "in", "", "", {"sim": "", "b": "b"})
    transfer = replace(module("work-in", ["work"], retry=[NETWORK], repeat="again"), inserted=inserted)
    work = replace(module("work"), pool="work", places=(Place("work"), Place("work-b")), bound=True)
    made = pipeline(transfer, work)
    pools = [Pool("work", "sim", slots=2, idle_s=5.0), Pool("work-b", "b", slots=2, idle_s=5.0)]
    return replace(made, pools={**made.pools, **{pool.name: pool for pool in pools}})


def bring(offer: Json, _: list[Json]) -> Played:
    """Bring the files of a message, which takes a while and sometimes fails."""
    if offer["body"] == "3" and offer["attempt"] == 1:
        return Played(cause="exit", exit_code=10)
    site = offer["headers"]["sbx_site"]
    assert site in ("sim", "b")
    headers = {"sbx_staged": f"{site}:stage/{offer['task']}-{offer['attempt']:02}"}
    return Played([("work", offer["body"], headers)], run_s=1.0)


def player() -> Player:
    return Player({"work-in": bring, "work": lambda _offer, _members: Played(run_s=20.0)})


def check(world: World) -> set[str]:
    """Each task is done once, and where its files were; return the sites."""
    assert world.finish() is RunPhase.SUCCEEDED
    assert audit(world.books) == []
    done = look(
        world.books,
        "SELECT m.body, t.site, g.site FROM task AS t JOIN message AS m ON m.message_id = t.message_id"
        " JOIN attempt AS a ON a.task_id = t.task_id JOIN agent AS g ON g.agent_id = a.agent_id"
        " JOIN module AS mo ON mo.module_id = t.module_id WHERE mo.name = 'work' AND a.outcome = 'SUCCEEDED'",
    )
    assert sorted(int(body) for body, _, _ in done) == list(range(COUNT))
    assert all(bound == ran for _, bound, ran in done)
    (brought,) = look(world.books, "SELECT succeeded, ready + failed FROM module WHERE name = 'work-in'")
    assert brought == (COUNT, 0)
    return {site for _, site, _ in done}


def take_down(world: World, pool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no element of a pool start from now on, and those that did end."""
    start, mark = world.start_elements, f"-{pool}."

    def start_elements(name: str, *indices: int) -> None:
        world.agents_start = mark not in name
        start(name, *indices)

    monkeypatch.setattr(World, "start_elements", lambda _, *given: start_elements(*given))
    for agent in world.living():
        if mark in agent.try_name:
            world.kill(agent, ending=Ending.NODE_LOST)


def attempts_of_transfers(world: World) -> int:
    ((count,),) = look(
        world.books,
        "SELECT count(*) FROM attempt JOIN task USING (task_id) JOIN module USING (module_id)"
        " WHERE name = 'work-in' AND outcome = 'SUCCEEDED'",
    )
    return int(count)


def test_both_sites_do_what_was_brought_to_them(make_world: MakeWorld) -> None:
    world = make_world(player())
    world.accept(placed(), SEEDS)
    assert check(world) == {"sim", "b"}
    assert attempts_of_transfers(world) == COUNT


def test_what_lies_at_a_site_that_goes_down_is_brought_to_the_other(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(player())
    world.accept(placed(), SEEDS)
    world.run(for_s=15.0)
    take_down(world, "work-b", monkeypatch)
    assert check(world) == {"sim"}
    assert COUNT < attempts_of_transfers(world) <= COUNT + 5


def test_what_was_brought_where_nothing_starts_goes_to_who_is_idle(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(player())
    start = world.start_elements

    def start_elements(_: World, name: str, *indices: int) -> None:
        if "-work-b." not in name:
            start(name, *indices)

    monkeypatch.setattr(World, "start_elements", start_elements)
    world.accept(placed(), SEEDS)
    assert check(world) == {"sim"}
    assert attempts_of_transfers(world) > COUNT, "some were brought ahead, in vain"


@pytest.mark.parametrize("first", range(5))
def test_a_daemon_that_is_killed_again_and_again_brings_and_does_each_once(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    """While a site goes down, too."""
    world = make_world(player())
    world.accept(placed(), SEEDS)
    for number in range(first, 2000, 47):
        world.faults.at[world.faults.passed + 1 + number] = Crash()
    world.run(for_s=20.0)
    take_down(world, "work-b", monkeypatch)
    assert check(world) <= {"sim", "b"}
    assert world.crashes > 3


def test_files_that_cannot_be_brought_again_fail_their_tasks_until_somebody_mends_it(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    vanished = False

    def bring_what_is_there(offer: Json, members: list[Json]) -> Played:
        return Played(cause="exit", exit_code=13) if vanished else bring(offer, members)

    world = make_world(replace(player(), roles={**player().roles, "work-in": bring_what_is_there}))
    world.accept(placed(), SEEDS)
    world.run(until=lambda: _lying_at_b(world) >= 2)
    vanished = True
    take_down(world, "work-b", monkeypatch)
    assert world.finish() is RunPhase.FAILED
    failed = dict(look(world.books, "SELECT name, failed FROM module"))
    assert failed["work-in"] >= failed["work"] >= 2
    assert audit(world.books) == []
    vanished = False
    assert world.command("run.retry", run="run-1").status == 200
    assert check(world) == {"sim"}


def _lying_at_b(world: World) -> int:
    ((count,),) = look(
        world.books, "SELECT count(*) FROM task WHERE site = 'b' AND state = 'READY' AND agent_id IS NULL"
    )
    return int(count)


def test_a_task_that_needs_more_memory_than_its_site_has_moves_with_its_files(make_world: MakeWorld) -> None:
    def hungry(offer: Json, _: list[Json]) -> Played:
        return Played(cause="oom" if offer["resources"]["memory_mib"] < 4000 else None, run_s=5.0)

    machines = {name: Machine(name, cpus=2, memory_mib=mib) for name, mib in (("cpu", 2048), ("big", 8192))}
    site = replace(SITE, machines={**machines, "cpu": replace(machines["cpu"], default=True)})
    world = make_world(Player({"work-in": bring, "work": hungry}), site=site)
    whole = placed()
    rule = RetryRule(on=("oom",), retries=3, memory_factor=2.0)
    modules = {**whole.modules, "work": replace(whole.modules["work"], retry=(rule,))}
    pools = {**whole.pools, "work-b": replace(whole.pools["work-b"], machine="big")}
    world.accept(replace(whole, modules=modules, pools=pools), SEEDS)
    assert check(world) == {"b"}
    assert COUNT < attempts_of_transfers(world) <= 2 * COUNT
