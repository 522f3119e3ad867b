"""The ledger in SQLite: it never starts empty by accident, loses no commit, and keeps claims cheap."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from scalebox_hpc.errors import LedgerProblem, StorageFull
from scalebox_hpc.ledger.sqlite import SqliteStore, file_system, is_network
from scalebox_hpc.ledger.statements import migrations, statements
from tests.indexes import INDEXES


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(path, create=True)
    yield made
    made.close()


def test_a_ledger_is_made_with_the_newest_format(store: SqliteStore, path: Path) -> None:
    with closing(sqlite3.connect(path)) as plain:
        assert plain.execute("PRAGMA user_version").fetchone() == (migrations()[-1][0],)
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [number for number, _ in migrations()] == list(range(1, len(migrations()) + 1))


def test_a_missing_ledger_is_not_replaced_by_an_empty_one(path: Path) -> None:
    with pytest.raises(LedgerProblem, match="missing") as problem:
        SqliteStore(path, create=False)
    assert str(path) in problem.value.fact
    assert "restore" in problem.value.hint
    assert not path.exists()


def test_a_newer_ledger_is_refused_and_left_alone(store: SqliteStore, path: Path) -> None:
    store.close()
    with closing(sqlite3.connect(path)) as plain:
        plain.execute("PRAGMA user_version = 999")
    with pytest.raises(LedgerProblem, match="999") as problem:
        SqliteStore(path, create=False)
    assert "newer release" in problem.value.hint


def test_a_file_system_without_locks_is_named_and_not_taken_for_damage(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    path.write_bytes(b"what SQLite cannot lock it cannot read")
    monkeypatch.setattr("fcntl.lockf", no_locks)
    with pytest.raises(LedgerProblem, match="has no locks") as problem:
        SqliteStore(path, create=False)
    assert "SBX_HOME" in problem.value.hint
    assert "SBX_LEDGER" in problem.value.hint


@pytest.mark.parametrize("content", [b"This is not a ledger at all. " * 100, os.urandom(5000)])
def test_what_is_no_ledger_is_named_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(LedgerProblem, match="cannot be read") as problem:
        SqliteStore(path, create=False)
    assert str(path) in problem.value.fact
    assert path.read_bytes() == content


def test_a_ledger_in_use_by_another_program_is_refused(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SqliteStore, "_configure", lambda self, path: None)  # no waiting for the other
    store.close()
    with closing(apsw.Connection(str(path))) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("PRAGMA user_version = 1")
        with pytest.raises(LedgerProblem, match="in use"):
            SqliteStore(path, create=False)


@pytest.mark.parametrize("name", sorted(statements()))
def test_every_statement_can_be_prepared(store: SqliteStore, name: str) -> None:
    assert explain(store, "EXPLAIN", name)


def explain(store: SqliteStore, how: str, name: str) -> list[tuple[object, ...]]:
    """Explain a statement, with NULL for whatever it asks for."""
    text = re.sub(r"^--.*$", "", statements()[name], flags=re.MULTILINE)
    names = set(re.findall(r"(?<!\w):(\w+)", text))
    params = dict.fromkeys(names) if names else (None,) * text.count("?")
    return store._db.execute(f"{how} {text}", params).fetchall()


def test_every_statement_has_a_sentence() -> None:
    folder = Path(__file__).resolve().parents[3] / "scalebox_hpc" / "ledger"
    for file in folder.glob("*.sql"):
        lines = file.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines):
            if line.startswith("-- name: "):
                assert lines[number + 1].startswith("-- "), f"{file.name}: {line}"
                assert lines[number + 1].rstrip(";.").strip("- ")


def test_a_claim_searches_the_partial_index(store: SqliteStore) -> None:
    steps = [str(step[-1]) for step in explain(store, "EXPLAIN QUERY PLAN", "claim")]
    assert any("USING INDEX task_ready" in step for step in steps), steps
    assert not any(step.startswith("SCAN task") for step in steps), steps
    assert not any("TEMP B-TREE" in step for step in steps), steps


@pytest.mark.parametrize(("name", "index"), INDEXES.items())
def test_statements_of_every_turn_use_their_index(store: SqliteStore, name: str, index: str) -> None:
    steps = [str(step[-1]) for step in explain(store, "EXPLAIN QUERY PLAN", name)]
    assert any(index in step for step in steps), steps


@pytest.mark.parametrize("name", ["members_page", "missing_page", "waiting_parts"])
def test_pages_are_read_from_where_the_last_one_ended(store: SqliteStore, name: str) -> None:
    """No scan, no sort: a page costs as much as it has rows, wherever it begins."""
    steps = [str(step[-1]) for step in explain(store, "EXPLAIN QUERY PLAN", name)]
    assert not any(step.startswith("SCAN") or "TEMP B-TREE" in step for step in steps), steps
    assert re.search(r"SEARCH (m|t|part) USING (COVERING )?INDEX \w+ \(\w+=\? AND \w+>\?\)", steps[0]), steps


def test_a_full_disk_is_said_and_nothing_of_the_block_is_kept(store: SqliteStore) -> None:
    pages = store._db.pragma("page_count")
    store._db.pragma("max_page_count", pages)
    with pytest.raises(StorageFull, match="no room"), store.transaction():
        store.many("add_event", [(1, "run", 1, "x" * 4000, "") for _ in range(100)])
    store._db.pragma("max_page_count", pages + 1000)
    with store.transaction():
        store.run("add_event", (1, "run", 1, "room again", ""))


def test_the_kind_of_file_system_is_that_of_the_last_mount_on_the_way(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda / ext4 rw 0 0\nauto /home autofs rw 0 0\nserver:/home /home nfs4 rw 0 0\n"
        "tmpfs /home/my\\040disk tmpfs rw 0 0\n"
    )
    wanted = {"/a/x": "ext4", "/home/x": "nfs4", "/home/my disk/x": "tmpfs", "/homes/x": "ext4"}
    assert {path: file_system(Path(path), mounts) for path in wanted} == wanted


@pytest.mark.parametrize(
    ("kind", "network"),
    [("nfs4", True), ("lustre", True), ("fuse.glusterfs", True), ("ext4", False), ("", False)],
)
def test_which_file_systems_are_another_machine_s(kind: str, network: bool) -> None:
    assert is_network(kind) is network
