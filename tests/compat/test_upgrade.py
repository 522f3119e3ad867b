"""Ledgers of every format that was frozen load for ever: brought up to date, whole, and at work again."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import ProgrammingError

from scalebox_hpc.daemon import ledgers
from scalebox_hpc.daemon.home import Home, create
from scalebox_hpc.daemon.state import RunPhase
from scalebox_hpc.errors import LedgerProblem, StorageFull
from scalebox_hpc.ledger import postgres
from scalebox_hpc.ledger.dialect import postgres_migrations
from scalebox_hpc.ledger.postgres import FORMAT, schema_of
from scalebox_hpc.ledger.server import connect
from scalebox_hpc.ledger.sqlite import SqliteStore, format_of
from scalebox_hpc.ledger.statements import newest_format
from scalebox_hpc.testing.audit import audit, look
from scalebox_hpc.testing.ledger import SqliteBooks
from scalebox_hpc.testing.postgres import Postgres, PostgresBooks
from scalebox_hpc.testing.world import HOME, World
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


def forget(books: PostgresBooks) -> None:
    """Remove a schema, and what an upgrade put aside of it."""
    for number in FORMATS:
        books.server.sql(f"DROP SCHEMA IF EXISTS {schema_of(books.id)}_format_{number} CASCADE")
    books.close()


Thaw = Callable[[int], World]


@pytest.fixture(params=["sqlite", "postgres"])
def thawed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Thaw]:
    """Make a world with no daemon yet, whose ledger is a frozen one."""
    made: list[World] = []

    def make(number: int) -> World:
        world = World(tmp_path, player().play, born=100)  # agents and epochs that are new
        world.daemon.lives = 100
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
            forget(world.books)


def recorded(number: int) -> tuple[dict[str, Any], str]:
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


DIES = """
import os, sys
from pathlib import Path
from scalebox_hpc.ledger import sqlite

left = int(sys.argv[2])

def count_down(_cursor, _sql, _bindings):
    global left
    left -= 1
    if left < 0:
        os._exit(9)
    return True

configure = sqlite.SqliteStore._configure

def configured(store, path):
    configure(store, path)
    store._db.exec_trace = count_down

sqlite.SqliteStore._configure = configured
sqlite.SqliteStore(Path(sys.argv[1]), create=False).close()
"""
"""Opens a ledger, and dies before its nth statement."""


@pytest.mark.skipif(newest_format() == OLDEST, reason="there is nothing to migrate")
def test_a_program_that_is_killed_in_a_migration_leaves_the_old_format_or_the_new_one(tmp_path: Path) -> None:
    seen = []
    for left in range(100):
        folder = tmp_path / str(left)
        folder.mkdir()
        path = thaw(folder, OLDEST)
        done = subprocess.run([sys.executable, "-c", DIES, str(path), str(left)], check=False)
        seen.append(format_of(path))
        books = SqliteBooks(path)
        books.open().close()
        assert audit(books) == []
        if done.returncode == 0:
            break
        assert done.returncode == 9
    assert seen == sorted(seen)
    assert set(seen) == {OLDEST, newest_format()}
    assert seen.count(OLDEST) > newest_format() - OLDEST + 1


def test_a_migration_that_fails_in_postgres_leaves_the_ledger_as_it_was(
    server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    books = thaw_postgres(server, tmp_path, OLDEST)
    broken = (*postgres_migrations(), (newest_format() + 1, "CREATE TABLE more (x BIGINT); SELECT nothing"))
    with monkeypatch.context() as patched:
        patched.setattr(postgres, "postgres_migrations", lambda: broken)
        patched.setattr(postgres, "newest_format", lambda: newest_format() + 1)
        with pytest.raises(ProgrammingError, match="nothing"):
            books.open()
    assert books.look(f"SELECT version FROM {FORMAT}") == [(OLDEST,)]
    assert not server.sql("SELECT 1 FROM pg_namespace WHERE nspname LIKE ?", (f"{schema_of(books.id)}_%",))
    books.open().close()
    assert audit(books) == []
    forget(books)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with the id of simulated daemons."""
    path = tmp_path / ".sbx"
    path.mkdir(mode=0o700)
    identity = {"id": HOME, "path": os.path.realpath(path), "version": 1}
    (path / "home.json").write_text(json.dumps(identity))
    return create(path)


def test_the_ledger_is_kept_as_it_was_before_an_upgrade(home: Home) -> None:
    """A way back to the release that wrote it. One that is up to date is not copied."""
    thaw(home.path, OLDEST)
    for _ in range(2):
        ledgers.open_ledger(home, ledgers.find(home, {})).close()
    kept = home.path / f"ledger.db.format-{OLDEST}"
    assert [path.name for path in home.path.glob("*ledger*")].count(kept.name) == 1
    assert sorted(path.name for path in home.path.glob("*ledger*")) == ["ledger.db", kept.name]
    assert (format_of(kept), format_of(home.ledger)) == (OLDEST, newest_format())
    assert kept.stat().st_mode & 0o777 == 0o600
    tasks = recorded(OLDEST)[0]["tables"]["task"]
    with closing(sqlite3.connect(kept)) as file:
        assert file.execute("SELECT count(*) FROM task").fetchall() == [(tasks,)]


def test_without_room_for_that_copy_nothing_is_upgraded(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    thaw(home.path, OLDEST)

    def full(*_: object) -> None:
        raise StorageFull("no room", "free some disk space")

    with monkeypatch.context() as patched:
        patched.setattr(SqliteStore, "copy_to", full)
        with pytest.raises(StorageFull):
            ledgers.open_ledger(home, ledgers.find(home, {}))
    assert format_of(home.ledger) == OLDEST
    assert [path.name for path in home.path.glob("*ledger*")] == ["ledger.db"]


def test_in_postgres_the_schema_is_kept_as_it_was(server: Postgres, tmp_path: Path) -> None:
    books = thaw_postgres(server, tmp_path, OLDEST)
    kept = f"{schema_of(books.id)}_format_{OLDEST}"
    try:
        books.open().close()
        assert server.sql(f"SELECT version FROM {FORMAT}", (), kept) == [(OLDEST,)]
        assert server.sql("SELECT count(*) FROM task", (), kept) == books.look("SELECT count(*) FROM task")
    finally:
        forget(books)


def test_a_newer_ledger_is_refused_in_postgres_too(server: Postgres, tmp_path: Path) -> None:
    books = thaw_postgres(server, tmp_path, FORMATS[-1])
    server.sql(f"UPDATE {FORMAT} SET version = 999", (), schema_of(books.id))
    with pytest.raises(LedgerProblem, match="999") as problem:
        books.open()
    assert "newer release" in problem.value.hint
    books.close()
