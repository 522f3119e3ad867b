"""What Postgres is told, made of what is written for SQLite."""

from __future__ import annotations

import pytest

from scalebox_hpc.ledger.dialect import (
    arrays,
    as_insert,
    in_bulk,
    postgres_migrations,
    postgres_statements,
    translated,
)
from scalebox_hpc.ledger.statements import migrations, overrides, statements


def test_parameters_are_those_of_psycopg() -> None:
    sql = "-- why? :no\nSELECT '%', a::text FROM t WHERE a = ? AND b = :name AND c = :name"
    assert translated(sql) == "SELECT '%%', a::text FROM t WHERE a = %s AND b = %(name)s AND c = %(name)s"


def test_every_statement_is_there_and_only_few_are_told_otherwise() -> None:
    assert set(postgres_statements()) == set(statements())
    assert set(overrides("postgres")) <= set(statements())
    assert len(overrides("postgres")) <= 5


def test_migrations_keep_their_numbers_and_lose_what_postgres_does_not_know() -> None:
    assert [number for number, _ in postgres_migrations()] == [number for number, _ in migrations()]
    for _, script in postgres_migrations():
        for word in ("INTEGER", "BLOB", "ROWID", "REFERENCES", "--"):
            assert word not in script


@pytest.mark.parametrize("name", ["add_message", "add_task", "add_attempt", "add_output", "stage_chunk"])
def test_what_comes_in_bulk_is_inserted_by_columns(name: str) -> None:
    assert as_insert(postgres_statements()[name]) is not None


@pytest.mark.parametrize("name", ["save_module", "add_event", "add_try", "claim"])
def test_what_is_no_plain_insert_is_not(name: str) -> None:
    assert as_insert(postgres_statements()[name]) is None


def test_an_insert_of_many_rows_is_one_statement() -> None:
    insert = as_insert("INSERT INTO t (a, b)\nVALUES (%s, %s) ON CONFLICT DO NOTHING")
    assert insert is not None
    assert in_bulk(insert, ["bigint", "text"]) == (
        "INSERT INTO t (a, b) SELECT * FROM unnest(CAST(%s AS bigint[]), CAST(%s AS text[]))"
        " ON CONFLICT DO NOTHING"
    )


def test_columns_become_arrays() -> None:
    rows = [(1, 'a "b" \\', 0.1, b"\x00\xff"), (None, None, None, None), (True, "", 2, b"")]
    assert arrays(rows, ["bigint", "text", "double precision", "bytea"]) == [
        "{1,NULL,1}", '{"a \\"b\\" \\\\",NULL,""}', "{0.1,NULL,2.0}", '{"\\\\x00ff",NULL,"\\\\x"}',
    ]  # fmt: skip


def test_a_fraction_in_a_column_of_whole_numbers_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="format code"):
        arrays([(1.5,)], ["bigint"])
