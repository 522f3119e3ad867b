"""Commands that are the daemon as well, and are told to end: runs INTERRUPTED, and gone on with."""

from __future__ import annotations

from scalebox_hpc.daemon.state import RunPhase
from scalebox_hpc.testing.agent import Json, Played
from scalebox_hpc.testing.ledger import NoRoom
from scalebox_hpc.testing.world import World
from tests.fault.conftest import MakeWorld
from tests.fault.pipelines import SEEDS, in_order, player, sums, totals


def slow(offer: Json, _: list[Json]) -> Played:
    return Played([("total", offer["body"])], run_s=60.0)


def at_work(make_world: MakeWorld) -> World:
    world = make_world(player(count=slow))
    world.accept(sums(), SEEDS)
    world.run(until=lambda: any(len(agent.started) > 1 for agent in world.living()))
    return world


def test_what_was_interrupted_is_given_back_and_gone_on_with(make_world: MakeWorld) -> None:
    world = at_work(make_world)
    world.daemon.interrupt()
    world.run(until=lambda: world.daemon.has_left)
    world.run(for_s=60.0)
    assert not world.batch.alive()
    world.start()
    assert world.phase() is RunPhase.INTERRUPTED
    world.command("run.resume", run="run-1")
    assert world.finish() is RunPhase.SUCCEEDED
    assert totals(world) == ["28"]
    in_order(world)


def test_what_was_interrupted_is_given_back_also_when_the_disk_is_full(make_world: MakeWorld) -> None:
    world = at_work(make_world)
    world.daemon.interrupt()
    world.run(until=lambda: world.phase() is RunPhase.INTERRUPTED)
    world.faults.always["commit"] = NoRoom()
    world.run(until=lambda: world.daemon.has_left)
    assert [target.name for target in world.batch.cancelled] == list(world.batch.tries)
    world.faults.always.clear()
    world.command("run.resume", run="run-1")
    assert world.finish() is RunPhase.SUCCEEDED
    in_order(world)


def test_a_daemon_that_is_being_ended_lets_nothing_go_on(make_world: MakeWorld) -> None:
    world = at_work(make_world)
    world.daemon.interrupt()
    world.run(for_s=1.0)
    for verb in ("run.resume", "run.retry"):
        reply = world.command(verb, run="run-1")
        assert reply.status == 409
        assert "being ended" in reply.body["error"]
    assert world.submit(sums(), SEEDS, "run-2").status == 409
    world.run(until=lambda: world.daemon.has_left)
    world.start()
    assert world.phase() is RunPhase.INTERRUPTED
    assert world.phase("run-2") is None
