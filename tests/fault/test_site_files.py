"""Site files that change while there are runs: the newest holds for all of them, and cuts off no agent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scalebox_hpc.daemon.site_files import take_in
from scalebox_hpc.daemon.state import RunPhase
from scalebox_hpc.domain.site import Machine, Site, Ssh
from scalebox_hpc.testing.agent import Json, Played
from scalebox_hpc.testing.world import SITE, World
from tests.fault.conftest import MakeWorld
from tests.fault.pipelines import SEEDS, player, sums

ELSEWHERE = replace(SITE, ssh=Ssh("b"), shared="/old")
MOVED = replace(ELSEWHERE, shared="/new")


def slow(offer: Json, _: list[Json]) -> Played:
    return Played([("total", offer["body"])], run_s=200.0)


def paying(account: str) -> Site:
    return replace(SITE, machines={"cpu": Machine("cpu", cpus=2, memory_mib=4096, account=account)})


def known_after_a_crash(world: World) -> Site:
    """The site as the next daemon knows it."""
    world.crash()
    world.run(for_s=5.0)
    assert world.core is not None
    return world.core.desk.sites[SITE.name].site


def two_runs(world: World, then: Site) -> None:
    """Submit two runs, of which the site's file is another one for the second."""
    world.accept(sums(), SEEDS, "run-1")
    world.run(for_s=1.0)
    world.site = then
    world.accept(sums(), SEEDS, "run-2")


def test_a_daemon_that_is_started_anew_knows_a_site_as_the_newest_run_does(make_world: MakeWorld) -> None:
    world = make_world(player(), site=paying("old"))
    two_runs(world, paying("new"))
    assert known_after_a_crash(world) == paying("new")
    assert world.finish("run-1") is RunPhase.SUCCEEDED


def test_a_site_is_known_as_the_run_does_that_was_resumed_last(make_world: MakeWorld) -> None:
    """Also when that is the older one of two."""
    world = make_world(player(), site=paying("old"))
    two_runs(world, paying("old"))
    assert world.command("run.cancel", run="run-1").status == 200
    world.site = paying("new")
    assert world.command("run.resume", run="run-1").status == 200
    assert known_after_a_crash(world) == paying("new")


@pytest.mark.parametrize("verb", ["submit", "resume"])
def test_the_shared_folder_of_a_site_elsewhere_does_not_move_while_runs_are_at_work_there(
    make_world: MakeWorld, verb: str
) -> None:
    world = make_world(player(count=slow), site=ELSEWHERE)
    two_runs(world, ELSEWHERE)
    world.command("run.cancel", run="run-2")
    world.run(for_s=5.0)
    world.site = MOVED
    if verb == "submit":
        reply = world.submit(sums(), SEEDS, "run-3")
    else:
        reply = world.command("run.resume", run="run-2")
    assert reply.status == 409
    assert "/new" in reply.body["error"]
    assert "paths.shared" in reply.body["hint"]
    world.site = ELSEWHERE
    assert world.finish("run-1") is RunPhase.SUCCEEDED
    world.site = MOVED
    world.accept(sums(), SEEDS, "run-4")
    assert world.finish("run-4") is RunPhase.SUCCEEDED


def test_the_shared_folder_on_this_machine_may_move(make_world: MakeWorld) -> None:
    """Agents are told in all of its folders where we are."""
    world = make_world(player(count=slow), site=replace(SITE, shared="/old"))
    two_runs(world, replace(SITE, shared="/new"))
    assert world.finish("run-2") is RunPhase.SUCCEEDED


def test_what_was_read_later_holds_though_it_is_told_first(make_world: MakeWorld) -> None:
    world = make_world(player(), site=paying("old"))
    two_runs(world, paying("old"))
    assert world.core is not None
    desk = world.core.desk
    (facts,) = world.site_facts([SITE.name]).values()
    for read_s, account in ((8.0, "newer"), (7.0, "older")):
        read = replace(facts, site=paying(account), read_s=read_s)
        assert take_in(desk, {SITE.name: read})[SITE.name].site == paying("newer")
    assert desk.sites[SITE.name].site == paying("newer")
