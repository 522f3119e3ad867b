"""What Postgres is told, made of what is written for SQLite: statements, migrations, rows in bulk.

Text in, text out; nothing is asked of a database. References between tables are left out, as SQLite
does not check them either: `sbx ledger check` does, in both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

from scalebox_hpc.ledger.statements import afterwards, migrations, overrides, statements
from scalebox_hpc.ledger.store import Params

_COMMENT = re.compile(r"--[^\n]*")
_TYPES = (
    (re.compile(r"\bINTEGER\b"), "BIGINT"),
    (re.compile(r"\bBLOB\b"), "BYTEA"),
    (re.compile(r"\bREAL\b"), "DOUBLE PRECISION"),
    (re.compile(r"\bWITHOUT ROWID\b"), ""),
    (re.compile(r"\bREFERENCES \w+"), ""),
)
_INSERT = re.compile(
    r"INSERT INTO (\w+)\s*(?:\(([\w\s,]+)\)\s*)?VALUES\s*\((?:%s,\s*)*%s\)\s*(ON CONFLICT DO NOTHING)?"
)
NUL_SHOWN = "\N{SYMBOL FOR NULL}"
"""What stands for the one character that Postgres cannot keep."""


class Insert(NamedTuple):
    """An INSERT of whole rows, taken apart."""

    table: str
    columns: tuple[str, ...]  # none: all, in the order of the table
    tail: str


@cache
def postgres_statements() -> dict[str, str]:
    """Return every statement by its name, with the parameters of psycopg."""
    both = {**statements(), **overrides("postgres")}
    return {name: translated(text) for name, text in both.items()}


@cache
def postgres_migrations() -> tuple[tuple[int, str], ...]:
    """Return (version, script) of every migration, in order."""
    scripts = ((number, script + afterwards("postgres", number)) for number, script in migrations())
    return tuple((number, _types(_COMMENT.sub("", script))) for number, script in scripts)


def translated(sql: str) -> str:
    """One statement with `%s` for `?` and `%(name)s` for `:name`, without its comments."""
    sql = _COMMENT.sub("", sql).strip().replace("%", "%%")
    return re.sub(r"(?<![:\w]):([a-z]\w*)", r"%(\1)s", sql).replace("?", "%s")


def _types(script: str) -> str:
    for word, ours in _TYPES:
        script = word.sub(ours, script)
    return script


def as_insert(sql: str) -> Insert | None:
    """Take a translated INSERT of whole rows apart; None for any other statement."""
    found = _INSERT.fullmatch(sql)
    if found is None:
        return None
    columns = tuple(name.strip() for name in found[2].split(",")) if found[2] else ()
    return Insert(found[1], columns, found[3] or "")


def in_bulk(insert: Insert, types: Sequence[str]) -> str:
    """The INSERT for any number of rows at once: its parameters are the columns, as arrays."""
    names = f" ({', '.join(insert.columns)})" if insert.columns else ""
    arrays = ", ".join(f"CAST(%s AS {kind}[])" for kind in types)
    return f"INSERT INTO {insert.table}{names} SELECT * FROM unnest({arrays}) {insert.tail}"


def arrays(rows: Sequence[Sequence[Any]], types: Sequence[str]) -> list[str]:
    """The columns of rows, each as the text of an array of its type."""
    return [_array(column, kind) for column, kind in zip(zip(*rows, strict=True), types, strict=True)]


def _array(values: Iterable[Any], kind: str) -> str:
    """Python's `join` makes these texts faster than the driver makes arrays, and Postgres reads them fast."""
    match kind:
        case "bigint":
            items = ["NULL" if value is None else f"{value:d}" for value in values]
        case "double precision":
            items = ["NULL" if value is None else repr(float(value)) for value in values]
        case "bytea":
            items = ["NULL" if value is None else f'"\\\\x{value.hex()}"' for value in values]
        case _:
            items = ["NULL" if value is None else _quoted(value) for value in values]
    return "{" + ",".join(items) + "}"


def _quoted(text: str) -> str:
    return '"' + keepable(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def keepable(text: str) -> str:
    """The text as Postgres can keep it."""
    return text.replace("\0", NUL_SHOWN) if "\0" in text else text


def keepable_params(params: Params) -> Any:
    """Parameters as Postgres can keep them."""
    if isinstance(params, dict):
        return {name: keepable(each) if isinstance(each, str) else each for name, each in params.items()}
    return tuple([keepable(each) if isinstance(each, str) else each for each in params])
