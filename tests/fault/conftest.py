"""Small pipelines in a simulated world."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scalebox_hpc.domain.site import Site
from scalebox_hpc.testing.postgres import PostgresBooks
from scalebox_hpc.testing.world import SITE, World
from tests.fault.pipelines import SEEDS, Player, player, sums

MakeWorld = Callable[..., World]


@pytest.fixture
def points(make_world: MakeWorld) -> list[str]:
    """Every write, commit and batch call of a run without any fault, in order."""
    world = make_world(player())
    world.accept(sums(), SEEDS)
    world.finish()
    world.end()
    return world.faults.names


@pytest.fixture(params=["sqlite", "postgres"])
def make_world(request: pytest.FixtureRequest) -> Iterator[MakeWorld]:
    """Make worlds whose ledgers are in memory where the machine has such a place: commits cost nothing."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    made: list[World] = []

    def make(player: Player, ledger: str = "", site: Site = SITE) -> World:
        """A world whose tasks `player` plays; `ledger` is another address of the Postgres."""
        place = folder / str(len(made))
        place.mkdir()
        world = World(place, player.play, site)
        if request.param == "postgres":
            world.books = PostgresBooks(request.getfixturevalue("server"), ledger)
        made.append(world)
        world.start()
        return world

    yield make
    for world in made:
        world.end()
        if isinstance(world.books, PostgresBooks):
            world.books.close()
    shutil.rmtree(folder)
