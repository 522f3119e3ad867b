"""Ledgers of every format that was frozen load for ever: brought up to date, whole, and at work again."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from scalebox_hpc.daemon.state import RunPhase
from scalebox_hpc.errors import LedgerProblem
from scalebox_hpc.ledger.postgres import FORMAT, schema_of
from scalebox_hpc.ledger.server import connect
from scalebox_hpc.ledger.sqlite import SqliteStore
from scalebox_hpc.ledger.statements import newest_format
from scalebox_hpc.testing.audit import audit, look
from scalebox_hpc.testing.ledger import SqliteBooks
from scalebox_hpc.testing.postgres import Postgres, PostgresBooks
from scalebox_hpc.testing.world import World
from tests.compat.freeze import FOLDER, LEDGERS, RUNS, SCHEMA, TASKS, exported, numbers
from tests.fault.pipelines import in_order, player

FORMATS = sorted(int(path.stem.removeprefix("ledger-")) for path in LEDGERS.glob("ledger-*.json"))
OLDEST = FORMATS[0]


def thaw(target: Path, number: int) -> Path:
    """Make the SQLite ledger of a format where a simulated daemon has it."""
    text = (LEDGERS / f"ledger-{number}.sql").read_text().replace(FOLDER, str(target))
    with closing(sqlite3.connect(target / "ledger.db")) as file:
        file.executescript(text)
    return target / "ledger.db"


def thaw_postgres(server: Postgres, folder: Path, number: int) -> PostgresBooks:
    """The same in a schema of its own."""
    books = PostgresBooks(server)
    text = (LEDGERS / f"ledger-{number}.postgres.sql").read_text()
    text = text.replace(FOLDER, str(folder)).replace(SCHEMA, schema_of(books.id))
    with closing(connect(server.address)) as session:
        session.exec_driver_sql(text.replace("%", "%%"))
    return books


Thaw = Callable[[int], World]


@pytest.fixture(params=["sqlite", "postgres"])
def thawed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Thaw]:
    """Make a world with no daemon yet, whose ledger is a frozen one."""
    made: list[World] = []

    def make(number: int) -> World:
        world = World(tmp_path, player().play, lives=100, born=100)  # epochs and agents that are new
        if request.param == "postgres":
            world.books = thaw_postgres(request.getfixturevalue("server"), tmp_path, number)
        else:
            thaw(tmp_path, number)
        made.append(world)
        return world

    yield make
    for world in made:
        world.end()
        if isinstance(world.books, PostgresBooks):
            world.books.close()


def recorded(number: int) -> tuple[dict[str, object], str]:
    """What was in a ledger when it was frozen: numbers, and the exports of its runs."""
    numbers_ = json.loads((LEDGERS / f"ledger-{number}.json").read_text())
    return numbers_, (LEDGERS / f"ledger-{number}.csv").read_text()


@pytest.mark.parametrize("number", FORMATS)
def test_an_old_ledger_has_all_that_it_had(thawed: Thaw, number: int) -> None:
    world = thawed(number)
    counted, exports = recorded(number)
    world.books.open().close()
    assert audit(world.books) == []
    assert numbers(world) == counted
    world.start()
    assert "".join(exported(world, run) for run in RUNS) == exports


@pytest.mark.parametrize("number", FORMATS)
def test_a_run_that_was_cut_short_goes_on_to_its_right_total(thawed: Thaw, number: int) -> None:
    """The agents of old are gone: what they held goes round again, and nothing is done twice in the books."""
    world = thawed(number)
    world.start()
    assert world.finish("run-4") is RunPhase.SUCCEEDED
    in_order(world)
    said = look(
        world.books,
        "SELECT user_text FROM attempt JOIN task USING (task_id) JOIN module AS m USING (module_id)"
        " JOIN run AS r ON r.run_id = m.run_id WHERE m.name = 'total' AND r.name = 'run-4'",
    )
    assert said == [(str(sum(range(1, TASKS + 1))),)]
    assert world.command("run.retry", run="run-2").body["requeued"] == 2
    assert world.finish("run-2") is RunPhase.SUCCEEDED
    assert world.command("run.resume", run="run-3").status == 200
    assert world.finish("run-3") is RunPhase.SUCCEEDED
    in_order(world)


def test_a_newer_ledger_is_refused_in_postgres_too(server: Postgres, tmp_path: Path) -> None:
    books = thaw_postgres(server, tmp_path, FORMATS[-1])
    server.sql(f"UPDATE {FORMAT} SET version = 999", (), schema_of(books.id))
    with pytest.raises(LedgerProblem, match="999") as problem:
        books.open()
    assert "newer release" in problem.value.hint
    books.close()
