"""The link to a remote site goes down and comes back: what is there waits, nothing lapses or counts twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scalebox_hpc.daemon.state import RunPhase
from scalebox_hpc.domain.site import Ssh
from scalebox_hpc.testing.agent import Json, Played
from scalebox_hpc.testing.audit import look
from scalebox_hpc.testing.world import SITE, World
from tests.fault.conftest import MakeWorld
from tests.fault.pipelines import SEEDS, attempts, ledger, player, sums, totals
from tests.fault.test_agents import counting

REMOTE = replace(SITE, ssh=Ssh("b"))
ONE = [("scatter", "1")]
LONG_S = 10 * SITE.lost_after_s


def slow(offer: Json, _: list[Json]) -> Played:
    return Played([("total", offer["body"])], run_s=20.0)


def slower(offer: Json, _: list[Json]) -> Played:
    return Played([("total", offer["body"])], run_s=200.0)


def remote(make_world: MakeWorld, seeds: list[tuple[str, str]] = ONE) -> World:
    world = make_world(player(count=slow), site=REMOTE)
    world.accept(sums(), seeds)
    return world


def site(world: World) -> Json:
    (found,) = world.command("run.status", run="run-1").body["sites"]
    return dict(found)


def test_a_remote_run_is_as_right_as_any(make_world: MakeWorld) -> None:
    near, far = make_world(player()), make_world(player(), site=REMOTE)
    for world in (near, far):
        world.accept(sums(), SEEDS)
        assert world.finish() is RunPhase.SUCCEEDED
    assert totals(far) == totals(near)


def test_no_lease_lapses_while_the_link_is_down(make_world: MakeWorld) -> None:
    world = remote(make_world)
    counting(world)
    world.cut()
    world.run(for_s=LONG_S)
    assert look(
        ledger(world), "SELECT count(*) FROM agent WHERE ended_us IS NOT NULL AND ending = 'silent'"
    ) == [(0,)]
    world.mend()
    assert world.finish() is RunPhase.SUCCEEDED
    assert attempts(world, "count.1") == [("SUCCEEDED", "")]


def test_a_run_keeps_word_of_how_long_its_site_was_away(make_world: MakeWorld) -> None:
    world = remote(make_world)
    counting(world)
    world.cut()
    world.run(for_s=100.0)
    world.mend()
    assert world.finish() is RunPhase.SUCCEEDED
    (note,) = world.command("run.status", run="run-1").body["notes"]
    assert note.startswith("site ")
    assert "could not be reached for 1m40s, until 20" in note


def test_a_short_cut_counts_against_no_agent_either(make_world: MakeWorld) -> None:
    """Shorter than what tells that a whole site is silent, longer than what is borne of one agent."""
    world = make_world(player(count=slower), site=replace(REMOTE, lost_after_s=45.0))
    world.accept(sums(), ONE)
    agent = counting(world)
    world.cut()
    world.run(for_s=50.0)
    world.network.deaf.add(agent.incarnation)
    world.mend()
    world.run(for_s=10.0)  # until it notices
    world.network.deaf.clear()
    assert world.finish() is RunPhase.SUCCEEDED
    assert attempts(world, "count.1") == [("SUCCEEDED", "")]


def test_nothing_is_asked_of_a_site_whose_link_is_down(make_world: MakeWorld) -> None:
    world = make_world(player(), site=REMOTE)
    world.network.is_cut = True
    world.accept(sums(), ONE)
    world.run(for_s=LONG_S)
    assert world.batch.tries == {}
    assert world.phase() is RunPhase.RUNNING, "its pools wait and are not paused"
    world.mend()
    assert world.finish() is RunPhase.SUCCEEDED


def test_a_run_says_why_its_site_waits_and_what_to_type(make_world: MakeWorld) -> None:
    world = remote(make_world)
    counting(world)
    assert (site(world)["remote"], site(world)["state"], site(world)["reason"]) == (True, "ok", "")
    world.cut("b: nobody is logged in", "sbx site login b")
    found = site(world)
    assert (found["state"], found["reason"], found["todo"]) == (
        "paused",
        "b: nobody is logged in",
        "sbx site login b",
    )
    (pool,) = world.command("run.status", run="run-1").body["pools"]
    assert pool["state"] == "ok"
    assert "sbx site login b" in pool["reason"]
    world.mend()
    world.run(for_s=1.0)
    assert site(world)["state"] == "ok"


@pytest.mark.parametrize("is_spooled", [True, False])
def test_a_spool_is_fetched_before_leases_lapse(make_world: MakeWorld, is_spooled: bool) -> None:
    """The agent ended during the cut; its last word and its spool wait at the site."""
    world = remote(make_world)
    agent = counting(world)
    world.cut()
    world.run(for_s=LONG_S / 2)
    assert agent.over, "it has done its task, spooled what came of it and left"
    assert world.ended_files, "and its wrapper could not say so either"
    if not is_spooled:
        world.unreadable.add(agent.incarnation)
    world.mend()
    if not is_spooled:
        world.run(for_s=60.0)
        rows = look(ledger(world), f"SELECT ended_us FROM agent WHERE incarnation = '{agent.incarnation}'")
        assert rows == [(None,)], "a spool that cannot be read postpones its end"
        world.unreadable.clear()
    assert world.finish() is RunPhase.SUCCEEDED
    assert attempts(world, "count.1") == [("SUCCEEDED", "")]


def test_a_daemon_that_starts_while_the_link_is_down_waits_too(make_world: MakeWorld) -> None:
    world = remote(make_world)
    counting(world)
    world.cut()
    world.crash()
    world.run(for_s=LONG_S)
    world.mend()
    assert world.finish() is RunPhase.SUCCEEDED
    assert attempts(world, "count.1") == [("SUCCEEDED", "")]


def test_the_link_is_let_go_of_when_nobody_needs_it(make_world: MakeWorld) -> None:
    world = remote(make_world)
    assert world.finish() is RunPhase.SUCCEEDED
    world.run(for_s=60.0)
    assert world.core is not None
    book = world.core.book("sim")
    assert (book.linked, book.link_up) == (False, False)


def test_memory_that_is_read_again_asks_for_the_link_once_more(make_world: MakeWorld) -> None:
    """The turn that asked for it may have been forgotten; here its answer was."""
    world = make_world(player(), site=REMOTE)
    world.network.is_cut = True
    world.accept(sums(), ONE)
    world.run(for_s=1.0)
    world.network.is_cut = False
    assert world.core is not None
    world.core.load(world.core.desk.now)
    assert world.finish() is RunPhase.SUCCEEDED


def test_a_site_file_that_names_another_way_makes_another_link(make_world: MakeWorld) -> None:
    world = remote(make_world)
    counting(world)
    assert world.core is not None
    desk, book = world.core.desk, world.core.book("sim")
    assert book.way == REMOTE.way
    other = replace(REMOTE, ssh=Ssh("elsewhere"))
    desk.sites["sim"] = replace(desk.sites["sim"], site=other)
    world.run(for_s=10.0)
    assert (book.way, book.link_up) == (other.way, True)
    assert world.finish() is RunPhase.SUCCEEDED
