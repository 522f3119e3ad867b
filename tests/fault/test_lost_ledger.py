"""The server of the ledger may be lost at any moment: the daemon pauses, nothing is lost or doubled."""

from __future__ import annotations

import socket
from functools import partial
from itertools import cycle

import pytest

from scalebox_hpc.errors import LedgerAway
from scalebox_hpc.ledger import server as servers
from scalebox_hpc.testing.postgres import Postgres
from tests.fault.conftest import MakeWorld
from tests.fault.pipelines import SEEDS, all_is_well, player, sums
from tests.links import link_to

pytestmark = pytest.mark.parametrize("make_world", ["postgres"], indirect=True)


def test_the_session_is_cut_at_any_write(make_world: MakeWorld, points: list[str], server: Postgres) -> None:
    """The next statement, or the commit, finds out."""
    numbers = [number for number, name in enumerate(points, 1) if " " not in name and name != "committed"]
    for number in numbers[3::9]:
        world = make_world(player())
        world.faults.do[number] = server.cut
        world.accept(sums(), SEEDS)
        all_is_well(world)
        world.end()
        assert world.daemon.full == 1, f"cut at {number}, {points[number - 1]}"


def test_the_answer_of_a_commit_is_lost(make_world: MakeWorld, points: list[str]) -> None:
    """It is durable, and nobody was told: not the agents, nor the hands of what they were to do."""
    numbers = [number for number, name in enumerate(points, 1) if name == "committed"]
    for number in numbers[1::2]:
        world = make_world(player())
        world.faults.at[number] = LedgerAway("the server was lost", "wait")
        world.accept(sums(), SEEDS)
        all_is_well(world)
        world.end()
        assert len(world.batch.submitted) <= 3


def test_the_way_to_the_server_goes_silent(
    make_world: MakeWorld, points: list[str], server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is closed: the answer just does not come, to a write or to the commit after it."""
    monkeypatch.setattr(servers, "ANSWER_S", 0.3)
    numbers = [number for number, name in enumerate(points, 1) if " " not in name and name != "committed"]
    with link_to((socket.AF_UNIX, server.socket)) as link:
        for number, direction in zip(numbers[6::45], cycle(("up", "down"))):
            world = make_world(player(), link.ledger)
            world.faults.do[number] = partial(link.freeze, direction)
            world.accept(sums(), SEEDS)
            all_is_well(world)
            world.end()
            assert world.daemon.full >= 1, f"silent at {number}, {points[number - 1]}"


def test_a_run_whose_acceptance_was_not_learnt_is_accepted_once(
    make_world: MakeWorld, points: list[str]
) -> None:
    world = make_world(player())
    accepted = points.index("committed", points.index("add_run")) + 1
    world.faults.at[accepted] = LedgerAway("the server was lost", "wait")
    reply = world.submit(sums(), SEEDS)
    assert (reply.status, reply.body) == (200, {"run": "run-1"})
    all_is_well(world)
