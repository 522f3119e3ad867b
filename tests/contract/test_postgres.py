"""What only Postgres has: a lock, rights, versions, a connection to lose, plans that must not change."""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from scalebox_hpc.errors import ConflictError, LedgerAway, LedgerProblem, StorageFull
from scalebox_hpc.ledger import postgres
from scalebox_hpc.ledger import server as servers
from scalebox_hpc.ledger.dialect import postgres_statements
from scalebox_hpc.ledger.postgres import PostgresStore, schema_of
from scalebox_hpc.testing.postgres import Postgres
from tests.indexes import INDEXES


@pytest.fixture
def home() -> str:
    return secrets.token_hex(8)


@pytest.fixture
def store(server: Postgres, home: str) -> Iterator[PostgresStore]:
    made = PostgresStore(server.address, home, create=True)
    yield made
    made.close()


def test_a_second_daemon_of_the_same_home_is_refused(
    store: PostgresStore, server: Postgres, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "LOCK_WAIT_S", 1)
    with pytest.raises(ConflictError, match="another daemon holds") as problem:
        PostgresStore(server.address, home, create=False)
    assert f"sbx {home}" in problem.value.fact
    store.run("add_event", (1, "run", 1, "x", ""))


def test_homes_with_the_highest_ids_do_not_share_a_lock(server: Postgres) -> None:
    homes = ["ffffffffffffffff", "7fffffffffffffff", "8000000000000000", "0000000000000000"]
    stores = [PostgresStore(server.address, each, create=True) for each in homes]
    for each in stores:
        each.close()


def test_looking_takes_no_lock(store: PostgresStore, server: Postgres, home: str) -> None:
    with closing(PostgresStore(server.address, home, create=False, lock=False)) as other:
        assert other.format() == store.format()


def test_the_lock_is_taken_again_after_a_loss(store: PostgresStore, server: Postgres) -> None:
    server.cut()
    with pytest.raises(LedgerAway, match="lost"):
        store.one("home")
    with pytest.raises(LedgerAway):
        store.one("home")
    with pytest.raises(LedgerAway), store.transaction():
        store.run("add_event", (1, "run", 1, "x", ""))
    store.reopen()
    assert server.cut() == 1
    store.reopen()
    assert store.one("home") is None


def test_a_session_of_ours_that_the_server_still_believes_in_is_ended(
    store: PostgresStore, server: Postgres
) -> None:
    """As after a cable was pulled: we know that it is over, the server does not."""
    ghost = store._db
    store._db = servers.connect(server.address)
    store.reopen()
    assert store.one("home") is None
    ghost.invalidate()


def test_a_commit_that_is_cut_off_is_told_as_lost(store: PostgresStore, server: Postgres) -> None:
    with pytest.raises(LedgerAway), store.transaction():  # noqa: PT012
        store.run("add_event", (1, "run", 1, "x", ""))
        server.cut()
    store.reopen()
    assert store.ask("SELECT count(*) FROM event") == [(0,)]


def test_a_failed_statement_that_nobody_minds_does_not_pass_for_a_commit(store: PostgresStore) -> None:
    with pytest.raises(AssertionError, match="nobody minded"), store.transaction():  # noqa: PT012
        store.run("add_event", (1, "run", 1, "x", ""))
        with pytest.raises(Exception, match="division"):
            store.ask("SELECT 1 / 0")
    assert store.ask("SELECT count(*) FROM event") == [(0,)]


def test_a_newer_ledger_is_refused(store: PostgresStore, server: Postgres, home: str) -> None:
    store.close()
    server.sql("UPDATE ledger_format SET version = 999", schema=schema_of(home))
    with pytest.raises(LedgerProblem, match="999") as problem:
        PostgresStore(server.address, home, create=False)
    assert "newer release" in problem.value.hint


def test_an_old_server_is_refused(server: Postgres, home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "OLDEST", 990000)
    with pytest.raises(LedgerProblem, match="99 or newer"):
        PostgresStore(server.address, home, create=True)


def test_a_database_with_another_encoding_is_refused(server: Postgres, home: str) -> None:
    server.sql("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
    with pytest.raises(LedgerProblem, match="LATIN1") as problem:
        PostgresStore(server.address.replace("/postgres?", "/latin?"), home, create=True)
    assert "UTF8" in problem.value.hint


def test_a_user_who_may_not_make_schemas_is_told_what_to_ask_for(server: Postgres, home: str) -> None:
    server.sql("CREATE ROLE guest LOGIN")
    with pytest.raises(LedgerProblem, match="permission denied") as problem:
        PostgresStore(server.address.replace("sbx@", "guest@"), home, create=True)
    assert "GRANT CREATE ON DATABASE" in problem.value.hint


@pytest.mark.parametrize(
    ("part", "other", "said"),
    [("/postgres?", "/nowhere?", 'database "nowhere" does not exist'), ("sbx@", "nobody@", "does not exist"),
     ("?host", "?colour=red&host", "invalid URI")],
)  # fmt: skip
def test_an_address_that_leads_nowhere_is_said_at_once(
    server: Postgres, home: str, part: str, other: str, said: str
) -> None:
    with pytest.raises(LedgerProblem, match=re.escape(said)):
        PostgresStore(server.address.replace(part, other), home, create=True)


def test_a_server_that_is_not_there_may_come_back(home: str) -> None:
    with pytest.raises(LedgerAway, match="does not answer"):
        PostgresStore("postgresql://sbx@/postgres?host=/nowhere/at/all", home, create=True)


def test_a_wrong_or_missing_password_is_named_without_it(server: Postgres, home: str) -> None:
    server.sql("CREATE ROLE ann LOGIN SUPERUSER PASSWORD 'right'")
    [(hba,)] = server.sql("SHOW hba_file")
    with open(hba, encoding="utf-8") as file:
        before = file.read()
    try:
        with open(hba, "w", encoding="utf-8") as file:
            file.write("local all ann scram-sha-256\n" + before)
        server.sql("SELECT pg_reload_conf()")
        address = server.address.replace("sbx@", "ann@")
        with pytest.raises(LedgerProblem) as missing:
            PostgresStore(address, home, create=True)
        with pytest.raises(LedgerProblem) as wrong:
            PostgresStore(address, home, create=True, password="wr0ng")
        for problem in (missing.value, wrong.value):
            assert "PGPASSFILE" in problem.hint
            assert "wr0ng" not in problem.fact + problem.hint
        PostgresStore(address, home, create=True, password="right").close()
    finally:
        with open(hba, "w", encoding="utf-8") as file:
            file.write(before)
        server.sql("SELECT pg_reload_conf()")


def test_without_the_packages_the_way_to_get_them_is_told() -> None:
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from scalebox_hpc.errors import LedgerProblem\n"
        "from scalebox_hpc.ledger.postgres import PostgresStore\n"
        "try: PostgresStore('postgresql://x/y', '0' * 16, create=True)\n"
        "except LedgerProblem as error: print(error.fact, error.hint)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'scalebox-hpc[postgres]'" in done.stdout


def test_a_full_disk_is_said(store: PostgresStore) -> None:
    raising = "DO $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END $$"
    with pytest.raises(StorageFull, match="no space left"), store.transaction():
        store.ask(raising)
    assert store.one("home") is None


def steps_of(store: PostgresStore, name: str) -> list[str]:
    """How Postgres goes about a statement, whatever it is asked for."""
    numbers = iter(range(1, 100))
    sql = re.sub(r"%(?:\(\w+\))?s", lambda _: f"${next(numbers)}", postgres_statements()[name])
    arguments = ", ".join(["NULL"] * (next(numbers) - 1))
    with store.transaction():
        store._execute(f"PREPARE looked_at AS {sql}")
        asked = f"EXPLAIN EXECUTE looked_at ({arguments})".replace("()", "")
        steps = [row[0] for row in store._execute(asked)]
        store._execute("DEALLOCATE looked_at")
    return steps


@pytest.mark.parametrize("name", ["members_page", "missing_page", "waiting_parts", "attempts_page"])
def test_pages_are_read_from_where_the_last_one_ended(store: PostgresStore, name: str) -> None:
    """No sort: a page costs as much as it has rows, wherever it begins."""
    steps = steps_of(store, name)
    assert not any("Sort" in step for step in steps), steps


def test_a_claim_reads_no_more_than_it_takes(store: PostgresStore) -> None:
    """However many tasks became READY in the same microsecond. What it took is sorted."""
    steps = steps_of(store, "claim")
    due = steps[next(number for number, step in enumerate(steps) if "CTE due" in step) :][:3]
    assert "Limit" in due[1], steps
    assert "Index Scan using task_ready" in due[2], steps


@pytest.mark.parametrize(
    ("name", "index"),
    [
        *INDEXES.items(),
        ("claim", "task_ready"),
        ("held_tasks", "task_pkey"),
        ("succeed_tasks", "task_pkey"),
        ("task_standing", "task_pkey"),
    ],
)
def test_statements_of_every_turn_use_their_index_whatever_is_in_the_tables(
    store: PostgresStore, name: str, index: str
) -> None:
    """In an empty ledger too, of which Postgres thinks that reading all of it is best."""
    steps = steps_of(store, name)
    assert any(index in step for step in steps), steps
    assert not any("Seq Scan on task" in step or "Seq Scan on message" in step for step in steps), steps
