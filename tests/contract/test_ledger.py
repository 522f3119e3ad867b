"""Every ledger does what `Store` and `Shelf` say: SQLite and a real Postgres."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from scalebox_hpc.errors import LedgerProblem
from scalebox_hpc.ledger.postgres import PostgresStore
from scalebox_hpc.ledger.sqlite import SqliteStore
from scalebox_hpc.ledger.statements import migrations, statements
from scalebox_hpc.ledger.store import Shelf, Store

CLAIM = {
    "epoch": "00000001",
    "now": 10,
    "agent": 1,
    "module": 1,
    "count": 2,
    "memory_mib": 1000,
    "site": None,
}


class Ledger(Store, Shelf, Protocol):
    """What both are."""


Open = Callable[..., Ledger]


@pytest.fixture(params=["sqlite", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Open the test's ledger; a second time is a second look at the same one."""
    made: list[Ledger] = []
    home = secrets.token_hex(8)

    def sqlite(*, create: bool = True) -> Ledger:
        return SqliteStore(tmp_path / "ledger.db", create=create)

    def postgres(*, create: bool = True) -> Ledger:
        return PostgresStore(request.getfixturevalue("server").address, home, create=create)

    def open_(*, create: bool = True) -> Ledger:
        made.append((sqlite if request.param == "sqlite" else postgres)(create=create))
        return made[-1]

    yield open_
    for store in made:
        store.close()


@pytest.fixture
def store(opened: Open) -> Ledger:
    return opened()


def add_tasks(store: Store, *ready_us: int) -> None:
    with store.transaction():
        for number, due_us in enumerate(ready_us, 1):
            message = (number, 0, number, 1, f"body {number}", None, None, number, None, 1)
            store.run("add_message", message)
            store.run("add_task", (number, 1, number, "READY", "", number, b"%d" % number, due_us, 0))


def test_a_missing_ledger_is_not_replaced_by_an_empty_one(opened: Open) -> None:
    with pytest.raises(LedgerProblem, match="missing") as problem:
        opened(create=False)
    assert "restore" in problem.value.hint


def test_a_ledger_is_made_once_and_then_found(opened: Open) -> None:
    first = opened()
    first.run("add_home", ("0" * 16, "/x", "00000001", 1))
    first.close()
    assert opened(create=False).one("home") == ("0" * 16, "/x", "00000001", 1)


@pytest.mark.parametrize("name", sorted(statements()))
def test_every_statement_can_be_planned(store: Ledger, name: str) -> None:
    """With nothing for whatever it asks for."""
    text = re.sub(r"^--.*$", "", statements()[name], flags=re.MULTILINE)
    names = set(re.findall(r"(?<!\w):([a-z]\w*)", text))
    params = dict.fromkeys(names) if names else (None,) * text.count("?")
    with pytest.raises(Exception, match=r"NOT NULL|not-null|mismatch|planned"), store.transaction():  # noqa: PT012
        store.run(name, params)
        raise LookupError("planned")


def test_what_a_block_did_is_there_whole_or_not_at_all(store: Ledger, opened: Open) -> None:
    with pytest.raises(RuntimeError), store.transaction():  # noqa: PT012  the block is the point
        store.run("add_home", ("0" * 16, "/x", "00000001", 1))
        raise RuntimeError("a bug")
    assert store.one("home") is None
    with store.transaction():
        store.run("add_home", ("0" * 16, "/x", "00000001", 1))
    store.close()
    again = opened(create=False)
    assert again.one("home") == ("0" * 16, "/x", "00000001", 1)


def test_a_crash_in_a_block_leaves_nothing_and_the_store_usable(store: Ledger) -> None:
    class Crash(BaseException):
        pass

    with pytest.raises(Crash), store.transaction():  # noqa: PT012
        store.run("add_event", (1, "run", 1, "x", ""))
        raise Crash
    with store.transaction():
        assert store.ask("SELECT count(*) FROM event") == [(0,)]


def test_a_statement_that_fails_in_a_block_undoes_the_block(store: Ledger) -> None:
    add_tasks(store, 1)
    with pytest.raises(Exception, match=r"(?i)unique"), store.transaction():  # noqa: PT012
        store.run("add_event", (1, "run", 1, "x", ""))
        store.run("add_message", (1, 0, 1, 1, "again", None, None, 1, None, 1))
    assert store.ask("SELECT count(*) FROM event") == [(0,)]


def test_a_claim_takes_what_is_due_oldest_first_and_raises_the_number(store: Ledger) -> None:
    add_tasks(store, 5, 3, 99, 4)
    assert [row[0] for row in store.rows("claim", CLAIM)] == [2, 4]
    assert store.rows("claim", CLAIM) == [(1, 1, 1, 0, None, 1, "body 1", None, None)]
    assert store.rows("claim", CLAIM) == []
    assert store.one("next_due", (1,)) == (99,)
    assert store.one("task_standing", (2,))[:4] == ("LEASED", "00000001", 1, 0)  # type: ignore[index]


def test_a_task_that_is_bound_to_a_site_is_leased_there_only(store: Ledger) -> None:
    add_tasks(store, 1, 2, 3, 99)
    with store.transaction():
        store.many("bind_task", [("b", 1), ("a", 2), ("b", 4)])
    asked = {"now": 10, "module": 1}
    assert sorted(store.rows("lying", asked)) == [("", 1, 1), ("a", 1, 1), ("b", 1, 2)]
    claims = [[row[0] for row in store.rows("claim", {**CLAIM, "site": site})] for site in ("b", "a", "b")]
    assert claims == [[1, 3], [2], []]


def test_the_first_rows_are_those_that_fit(store: Ledger) -> None:
    add_tasks(store, *range(20))
    assert store.some("tasks_between", (1, 20), 5, lambda row: row[0]) == ([(1,), (2,), (3,)], True)
    assert store.some("tasks_between", (1, 3), 6, lambda row: row[0]) == ([(1,), (2,), (3,)], False)
    assert store.some("tasks_between", (7, 20), 0, lambda row: row[0]) == ([(7,)], True), "one at least"
    assert store.some("tasks_between", (99, 100), 0, lambda row: row[0]) == ([], False)
    with store.transaction():  # nothing that was left half read is in the way
        assert store.some("tasks_between", (1, 20), 5, lambda row: row[0])[1]
        assert store.some("tasks_between", (1, 20), 5, lambda row: row[0])[1]
        store.run("add_event", (1, "run", 1, "x", ""))


def test_changes_are_counted(store: Ledger) -> None:
    with store.transaction():
        assert store.many("add_event", [(1, "run", 1, "x", "")] * 3) == 3
        assert store.many("add_event", []) == 0
        assert store.run("save_run", ("RUNNING", "", None, 7)) == 0
        assert store.many("add_task", []) == 0


def test_rows_in_bulk_are_kept_as_they_are_and_known_keys_are_left_out(store: Ledger) -> None:
    odd = [
        'a "quoted", {braced} \\ line',
        "",
        "NULL",
        "ünïcödé \U0001f600",
        "tab\t",
        "'",
        "%s :name ?",
        " x ",
    ]
    rows = [(i, 0, i, 1, body, body or None, None, i, None, 1) for i, body in enumerate(odd, 1)]
    keys = [bytes([0, 255, i]) for i in range(len(odd))]
    tasks = [(i, 1, i, "READY", "", i, keys[i - 1], 5, 5) for i in range(1, len(odd) + 1)]
    with store.transaction():
        assert store.many("add_message", iter(rows)) == len(odd)
        assert store.many("add_task", tasks[:3]) == 3
        assert (
            store.many("add_task", [(i + 100, 1, i + 100, *row) for i, _, _, *row in tasks]) == len(odd) - 3
        )
    bodies = store.ask("SELECT body, headers, inherited FROM message ORDER BY message_id")
    assert bodies == [(body, body or None, None) for body in odd]
    assert store.one("task_by_key", (1, keys[1])) == (2, odd[1], None)
    assert store.ask("SELECT key_digest FROM task WHERE task_id = 2") == [(keys[1],)]


def test_numbers_of_all_sizes_and_fractions_come_back(store: Ledger) -> None:
    row = [*range(1, 40)]
    row[5] = row[8] = row[9] = row[10] = row[13] = "text"  # type: ignore[call-overload]
    for column in (33, 34, 35, 36, 37, 38):
        row[column] = ""  # type: ignore[call-overload]
    row[16:28] = [1 << 62] * 12
    row[28:31] = [0.1, 1e-300, 3.0]  # type: ignore[list-item]
    row[31:34] = [0, 1 << 40, True]
    with store.transaction():
        assert store.many("add_attempt", [row, [2, 99, *row[2:]]]) == 2
    found = store.ask("SELECT * FROM attempt ORDER BY attempt_id")
    assert found[0] == tuple(row)
    assert [type(each) for each in found[0][28:31]] == [float] * 3


def test_the_one_character_that_not_all_can_keep_does_no_harm(store: Ledger) -> None:
    """Output of programs may hold anything; bodies and headers never hold it."""
    with store.transaction():
        store.many("add_output", [(1, "a\0b", "", 0, 0)])
        store.run("add_event", (1, "run", 1, "x", "c\0d"))
    assert store.ask("SELECT stdout FROM output")[0][0] in ("a\0b", "a\N{SYMBOL FOR NULL}b")
    assert store.ask("SELECT detail FROM event")[0][0] in ("c\0d", "c\N{SYMBOL FOR NULL}d")


def test_pages_of_tasks_are_narrowed(store: Ledger) -> None:
    store.run(
        "add_run",
        {"run_id": 1, "name": "r", "pipeline": "{}", "site": "s", "results": "", "seed_path": "", "now": 1},
    )
    store.run("add_module", (1, 1, "count", "digest", "{}"))
    add_tasks(store, 1, 2, 3)
    store.run("cancel_held", (1,))
    wanted = {"run": 1, "after": 0, "module": None, "state": None, "cause": None, "limit": 2}
    assert [row[0] for row in store.rows("tasks_page", wanted)] == [1, 2]
    assert [row[0] for row in store.rows("tasks_page", {**wanted, "module": "count", "after": 1})] == [2, 3]
    assert store.rows("tasks_page", {**wanted, "module": "other"}) == []


def test_sums_are_whole_numbers(store: Ledger) -> None:
    store.run("add_module", (1, 1, "count", "digest", "{}"))
    store.run("save_module", (4, 3, 0, 0, 1, 2, 0, 0, 0, "", 0, "", 1))
    [row] = store.rows("run_totals")
    assert row == (1, 6, 1, 2)
    assert [type(each) for each in (*row, *(store.one("sent_by_task", (1,)) or ()))] == [int] * 5


def test_sets_of_tasks_are_settled_by_one_statement(store: Ledger) -> None:
    add_tasks(store, 1, 1, 1)
    store.rows("claim", {**CLAIM, "count": 3})
    assert [row[0] for row in store.rows("held_tasks", ("[3, 1]",))] in ([1, 3], [3, 1])
    assert store.run("succeed_tasks", ("[3, 1, 77]",)) == 2
    assert store.one("task_state", (3,)) == ("SUCCEEDED",)
    assert store.one("task_state", (2,)) == ("LEASED",)


def test_a_shelf_gives_all_tables_in_order_and_takes_them(store: Ledger) -> None:
    tables = store.tables()
    assert {"home", "run", "task", "message", "attempt", "event"} <= set(tables)
    assert tables == sorted(tables)
    add_tasks(store, 3, 2, 1)
    with store.transaction():
        rows = list(store.scan("task"))
        assert [row[0] for row in rows] == [1, 2, 3]
        assert store.fill("task", [(9, 1, 9, *rows[0][3:6], b"other", *rows[0][7:])]) == 1
        assert [list(store.scan(table)) for table in tables if table not in ("task", "message")] == [[]] * (
            len(tables) - 2
        )
    assert store.ask("SELECT count(*) FROM task WHERE task_id > ?", (3,)) == [(1,)]


def test_a_ledger_says_where_it_is_and_how_large(store: Ledger) -> None:
    assert store.place
    before = store.size_bytes()
    with store.transaction():
        store.many("add_output", [(i, "x" * 1000, "", 0, 0) for i in range(500)])
    assert store.size_bytes() > before


def test_it_has_the_newest_format(store: Ledger) -> None:
    assert store.format() == migrations()[-1][0]  # type: ignore[attr-defined]


def test_opening_it_again_after_a_loss_finds_all(store: Ledger) -> None:
    add_tasks(store, 1)
    store.reopen()
    assert store.one("task_state", (1,)) == ("READY",)
