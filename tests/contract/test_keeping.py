"""Ledgers that are looked at, checked, copied, put back and moved, from each kind to each."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from secrets import token_hex
from typing import Any

import apsw
import pytest

from scalebox_hpc.config.settings import read_settings
from scalebox_hpc.daemon import keeping, ledgers, lock
from scalebox_hpc.daemon.home import Home, create, say_copied
from scalebox_hpc.doctor import ask
from scalebox_hpc.errors import ConflictError, LedgerProblem, NotFound, PipelineErrors, UsageError
from scalebox_hpc.ledger.postgres import schema_of
from scalebox_hpc.ledger.store import Store
from scalebox_hpc.testing.ledger import SqliteBooks
from scalebox_hpc.testing.postgres import Postgres, wait_until
from scalebox_hpc.testing.world import HOME, World
from tests.fault.pipelines import player, sums

KINDS = ["sqlite", "postgres"]


class HomeBooks(SqliteBooks):
    """The ledger that a home has, wherever it is."""

    def __init__(self, home: Home, environ: dict[str, str]) -> None:
        object.__setattr__(self, "home", home)
        object.__setattr__(self, "environ", environ)

    def open(self) -> Store:
        home: Home = self.home  # type: ignore[attr-defined]
        where = ledgers.find(home, self.environ)  # type: ignore[attr-defined]
        opened = ledgers.open_ledger(home, where)
        ledgers.record(home, where.address)
        return opened


@pytest.fixture
def home(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Home]:
    """A home with the id of simulated daemons."""
    path = tmp_path / ".sbx"
    path.mkdir(mode=0o700)
    identity = {"id": HOME, "path": os.path.realpath(path), "version": 1}
    (path / "home.json").write_text(json.dumps(identity))
    yield create(path)
    if "server" in request.fixturenames:
        server: Postgres = request.getfixturevalue("server")
        for (name,) in server.sql("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'sbx_%'"):
            server.sql(f"DROP SCHEMA {name} CASCADE")


Fill = Callable[[str], None]


@pytest.fixture
def fill(home: Home, tmp_path: Path, request: pytest.FixtureRequest) -> Fill:
    """Let a simulated daemon with a new ledger of a kind run a pipeline."""

    def run(kind: str) -> None:
        address = request.getfixturevalue("server").address if kind == "postgres" else "sqlite"
        folder = tmp_path / "world"
        folder.mkdir()
        world = World(folder, player().play)
        world.books = HomeBooks(home, {"SBX_LEDGER": address})
        world.start()
        world.accept(sums(), [("scatter", "9")])
        world.finish()
        world.end()

    return run


def content(home: Home) -> dict[str, list[Any]]:
    """All rows of the ledger that a home has."""
    where = ledgers.find(home, {})
    with closing(ledgers.open_ledger(home, where)) as store, store.transaction():
        return {table: list(store.scan(table)) for table in store.tables()}


def address_of(kind: str, server: Postgres) -> str:
    return server.address if kind == "postgres" else "sqlite"


@pytest.mark.parametrize("kind", KINDS)
def test_a_ledger_says_what_it_is_while_a_daemon_has_it(
    home: Home, fill: Fill, server: Postgres, kind: str
) -> None:
    fill(kind)
    with closing(ledgers.open_ledger(home, ledgers.find(home, {}))):
        found = keeping.info(home)
    assert (found.kind, found.home) == (kind, HOME)
    assert found.format == found.newest_format
    assert found.tables["task"] == 11
    assert found.size_bytes > 0
    assert (server.address in found.place) == (kind == "postgres")


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_ledger_passes_and_a_cooked_one_does_not(
    home: Home, fill: Fill, server: Postgres, kind: str
) -> None:
    fill(kind)
    assert keeping.check(home)[1] == []
    with closing(ledgers.open_ledger(home, ledgers.find(home, {}))) as store:
        store.ask("UPDATE module SET succeeded = succeeded + 1 WHERE name = 'count'")
        store.ask("DELETE FROM attempt WHERE attempt_id = 3")
    rules = {each.rule for each in keeping.check(home)[1]}
    assert "a module's counters are its tasks, counted" in rules
    assert "a task counts its attempts, and numbers them without a gap" in rules
    assert "a message was sent by an attempt, a part or a seed that there is" in rules


@pytest.mark.parametrize("kind", KINDS)
def test_the_books_are_not_judged_while_a_run_is_being_removed(
    home: Home, fill: Fill, server: Postgres, kind: str
) -> None:
    fill(kind)
    with closing(ledgers.open_ledger(home, ledgers.find(home, {}))) as store, store.transaction():
        store.run("remove_run", ("run", 1))
    with pytest.raises(ConflictError, match="being removed") as problem:
        keeping.check(home)
    assert "sbx daemon start" in problem.value.hint


@pytest.mark.parametrize("kind", KINDS)
def test_room_is_given_back_and_all_rows_stay(home: Home, fill: Fill, server: Postgres, kind: str) -> None:
    fill(kind)
    with closing(ledgers.open_ledger(home, ledgers.find(home, {}))) as store:
        with store.transaction():
            store.many("add_event", [(1, "run", 9, token_hex(2500), "") for _ in range(200)])
        with store.transaction():
            store.run("remove_events", ("run", 9))
    before = content(home)
    done = keeping.compact(home)
    assert done.before_bytes - done.after_bytes > 500_000
    assert content(home) == before
    assert keeping.check(home)[1] == []
    assert not list(home.path.glob(".ledger*"))


def test_a_compaction_that_is_cut_short_changes_nothing(
    home: Home, fill: Fill, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill("sqlite")
    before = content(home)

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(keeping, "_put_in_place", cut)
        with pytest.raises(KeyboardInterrupt):
            keeping.compact(home)
    assert content(home) == before
    assert sorted(path.name for path in home.path.glob("*ledger*")) == ["ledger.db"]


def test_a_damaged_file_is_found(home: Home, fill: Fill) -> None:
    fill("sqlite")
    with closing(apsw.Connection(str(home.ledger))) as file:
        file.execute("PRAGMA writable_schema = ON")
        file.execute("DELETE FROM sqlite_schema WHERE name = 'task_n'")
    assert "the database is sound" in {each.rule for each in keeping.check(home)[1]}


@pytest.mark.parametrize("to", KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_backup_brings_everything_back(
    home: Home, fill: Fill, server: Postgres, tmp_path: Path, kind: str, to: str
) -> None:
    """Into the same kind, and into the other one after a move."""
    fill(kind)
    before = content(home)
    file, tables = keeping.backup(home, tmp_path / "backup.db")
    assert tables == {table: len(rows) for table, rows in before.items()}
    assert file.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("backup.db-*"))
    if to != kind:
        keeping.move(home, address_of(to, server))
    with closing(ledgers.open_ledger(home, ledgers.find(home, {}))) as store:
        store.ask("DELETE FROM task")
    done = keeping.restore(home, file)
    assert content(home) == before
    assert done.aside
    assert keeping.check(home)[1] == []
    assert {each.table: each.rows for each in done.copied} == tables


@pytest.mark.parametrize("kind", KINDS)
def test_a_backup_is_written_while_a_daemon_works(
    home: Home, fill: Fill, server: Postgres, tmp_path: Path, kind: str
) -> None:
    fill(kind)
    held = lock.acquire(home)
    with closing(ledgers.open_ledger(home, ledgers.find(home, {}))) as store, store.transaction():
        store.run("add_event", (1, "run", 1, "not yet committed", ""))
        _, tables = keeping.backup(home, tmp_path / "backup.db")
    held.release()
    assert tables["event"] == len(content(home)["event"]) - 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_ledger_is_moved_and_moved_back(home: Home, fill: Fill, server: Postgres, kind: str) -> None:
    fill(kind)
    before = content(home)
    other = next(each for each in KINDS if each != kind)
    there = keeping.move(home, address_of(other, server))
    assert {each.table: each.rows for each in there.copied} == {
        name: len(rows) for name, rows in before.items()
    }
    assert content(home) == before
    back = keeping.move(home, address_of(kind, server))
    assert content(home) == before
    assert there.aside != back.aside
    for moved in (there, back):
        kept = Path(moved.aside).exists() or moved.aside.partition("schema ")[2].rstrip(")") in [
            name for (name,) in server.sql("SELECT nspname FROM pg_namespace")
        ]
        assert kept, moved.aside


def test_a_move_that_is_cut_short_changes_nothing(
    home: Home, fill: Fill, server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill("sqlite")
    before = content(home)

    def cut(*_: object) -> list[Any]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(keeping, "copy", cut)
        with pytest.raises(KeyboardInterrupt):
            keeping.move(home, server.address)
    assert ledgers.recorded(home) == "sqlite"
    assert content(home) == before
    keeping.move(home, server.address)
    assert content(home) == before


def test_a_move_is_refused_where_there_is_a_ledger_already(home: Home, fill: Fill, server: Postgres) -> None:
    fill("sqlite")
    keeping.move(home, server.address)
    with pytest.raises(ConflictError, match="there already"):
        keeping.move(home, server.address)
    ledgers.record(home, "sqlite")
    moved = next(home.path.glob("ledger.db.moved-*"))
    moved.rename(home.ledger)
    with pytest.raises(ConflictError, match="a ledger of this home already"):
        keeping.move(home, server.address)


def test_rows_that_do_not_arrive_as_they_were_are_noticed(
    home: Home, fill: Fill, server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scalebox_hpc.ledger.postgres import PostgresStore

    fill("sqlite")
    fill_ = PostgresStore.fill

    def lossy(store: PostgresStore, table: str, rows: Any) -> int:
        listed = list(rows)
        return fill_(store, table, listed[1:] if table == "message" else listed)

    monkeypatch.setattr(PostgresStore, "fill", lossy)
    with pytest.raises(LedgerProblem, match="table message did not arrive"):
        keeping.move(home, server.address)
    assert ledgers.recorded(home) == "sqlite"


@pytest.mark.parametrize("act", ["check", "restore", "move"])
def test_what_needs_the_ledger_for_itself_is_refused_while_a_daemon_runs(
    home: Home, fill: Fill, server: Postgres, tmp_path: Path, act: str
) -> None:
    fill("sqlite")
    keeping.backup(home, tmp_path / "backup.db")
    held = lock.acquire(home)
    acts: dict[str, Callable[[], object]] = {
        "check": lambda: keeping.check(home),
        "restore": lambda: keeping.restore(home, tmp_path / "backup.db"),
        "move": lambda: keeping.move(home, server.address),
    }
    with pytest.raises(ConflictError, match="is running") as problem:
        acts[act]()
    assert "sbx daemon stop" in problem.value.hint
    held.release()


def test_another_homes_backup_is_refused(home: Home, fill: Fill, tmp_path: Path) -> None:
    fill("sqlite")
    file, _ = keeping.backup(home, tmp_path / "backup.db")
    other = create(tmp_path / "other")
    with pytest.raises(ConflictError, match=HOME):
        keeping.restore(other, file)
    assert not other.ledger.exists()


def test_files_are_named_well(home: Home, fill: Fill, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no ledger yet"):
        keeping.info(home)
    fill("sqlite")
    (tmp_path / "there").write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        keeping.backup(home, tmp_path / "there")
    with pytest.raises(NotFound, match="no file"):
        keeping.restore(home, tmp_path / "nothing")
    with pytest.raises(LedgerProblem, match="cannot be read"):
        keeping.restore(home, tmp_path / "there")
    assert (tmp_path / "there").read_text() == "mine"
    assert sorted(path.name for path in home.path.glob("*ledger*")) == ["ledger.db"]


# which ledger a home has


def test_a_new_home_asks_the_variable_then_the_settings_then_itself(home: Home, tmp_path: Path) -> None:
    settings = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert ledgers.find(home, settings) == ledgers.Whereabouts("sqlite", is_new=True)
    (tmp_path / "sbx").mkdir()
    (tmp_path / "sbx" / "settings.toml").write_text('ledger = "postgresql://db/sbx"\n')
    assert ledgers.find(home, settings) == ledgers.Whereabouts("postgresql://db/sbx", is_new=True)
    named = {**settings, "SBX_LEDGER": "postgres://other/sbx"}
    assert ledgers.find(home, named) == ledgers.Whereabouts("postgresql://other/sbx", is_new=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('leger = "x"', "unknown key"),
        ("ledger = 5", "text"),
        ('metrics_folder = "here"', "absolute"),
        ('retention = "30d"', "table"),
        ("[retention]\nruns = 30", "30"),
        ('[retention]\nruns = "5m"', "too short"),
        ('[retention]\nlog = "30d"', "unknown key"),
        ('ledger = "postgresql://u:geheim@db/x"', "password"),
    ],
)
def test_settings_are_read_strictly(home: Home, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "sbx").mkdir()
    (tmp_path / "sbx" / "settings.toml").write_text(text + "\n")
    with pytest.raises((PipelineErrors, UsageError), match=said) as problem:
        ledgers.find(home, {"XDG_CONFIG_HOME": str(tmp_path)})
    assert "settings.toml" in problem.value.fact
    assert "geheim" not in problem.value.fact


def test_settings_say_what_is_kept_and_where_metrics_go(tmp_path: Path) -> None:
    (tmp_path / "sbx").mkdir()
    text = 'metrics_folder = "/var/textfile"\n[retention]\nruns = "90d"\nlogs = "12h"\n'
    (tmp_path / "sbx" / "settings.toml").write_text(text)
    found = read_settings({"XDG_CONFIG_HOME": str(tmp_path)})
    assert (found.keep_runs_s, found.keep_logs_s) == (90 * 86400.0, 12 * 3600.0)
    assert found.metrics_file(HOME) == f"/var/textfile/sbx-{HOME}.prom"
    nothing = read_settings({"XDG_CONFIG_HOME": "/nowhere"})
    assert (nothing.keep_runs_s, nothing.keep_logs_s, nothing.metrics_file(HOME)) == (None, None, None)


def test_a_home_goes_on_with_the_ledger_it_has(
    home: Home, fill: Fill, server: Postgres, tmp_path: Path
) -> None:
    fill("sqlite")
    (tmp_path / "sbx").mkdir()
    (tmp_path / "sbx" / "settings.toml").write_text('ledger = "postgresql://db/sbx"\n')
    assert ledgers.find(home, {"XDG_CONFIG_HOME": str(tmp_path)}).in_home
    with pytest.raises(ConflictError, match="SBX_LEDGER") as problem:
        ledgers.find(home, {"SBX_LEDGER": server.address})
    assert f"sbx ledger move {server.address}" in problem.value.hint


def test_another_way_to_the_same_server_is_taken_and_to_another_one_is_not(
    home: Home, fill: Fill, server: Postgres
) -> None:
    fill("postgres")
    same = server.address + "&connect_timeout=5"
    with closing(ledgers.open_ledger(home, ledgers.find(home, {"SBX_LEDGER": same}))) as store:
        assert store.one("home") is not None
    server.sql("DROP DATABASE IF EXISTS elsewhere")
    server.sql("CREATE DATABASE elsewhere")
    other = server.address.replace("/postgres?", "/elsewhere?")
    with pytest.raises(LedgerProblem, match="missing"):
        ledgers.open_ledger(home, ledgers.find(home, {"SBX_LEDGER": other}))


def test_a_copied_home_gets_a_copy_of_the_ledger(
    home: Home, fill: Fill, server: Postgres, tmp_path: Path
) -> None:
    """The original goes on with its own, and may be at work meanwhile."""
    fill("postgres")
    before = content(home)
    copied = tmp_path / "copy"
    copied.mkdir(mode=0o700)
    (copied / "home.json").write_text((home.path / "home.json").read_text())
    with closing(ledgers.open_ledger(home, ledgers.find(home, {}))):
        copy = say_copied(copied)
        assert content(copy) == before
    with closing(ledgers.open_ledger(copy, ledgers.find(copy, {}))) as store:
        store.ask("DELETE FROM task")
    assert content(home) == before
    assert server.sql("SELECT count(*) FROM pg_namespace WHERE nspname = ?", (schema_of(copy.id),)) == [(1,)]


def test_the_doctor_sees_a_ledger_in_postgres(home: Home, fill: Fill, server: Postgres) -> None:
    fill("postgres")
    found = ask.ledger(home)
    assert found is not None
    assert server.address in found.path
    assert (found.format, found.problem) == (found.newest_format, None)
    ledgers.record(home, "postgresql://sbx@/postgres?host=/nowhere/at/all")
    away = ask.ledger(home)
    assert away is not None
    assert "does not answer" in str(away.problem)


def test_the_password_leaves_the_environment() -> None:
    environ = {"PGPASSWORD": "geheim", "PATH": "/bin"}
    assert ledgers.take_password(environ) == "geheim"
    assert environ == {"PATH": "/bin"}
    assert ledgers.take_password(environ) is None


def test_waiting_has_a_deadline() -> None:
    with pytest.raises(AssertionError, match="never"):
        wait_until(lambda: False, 0.05, lambda: "never")
