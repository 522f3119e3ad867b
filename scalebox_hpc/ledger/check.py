"""Whether the books of a ledger agree with each other: the rules of `check.sql`, asked of a store.

It changes nothing and repairs nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from scalebox_hpc.ledger.statements import sentence, statements
from scalebox_hpc.ledger.store import Row, Store


class Broken(NamedTuple):
    """A rule that does not hold, and the rows that show it."""

    rule: str
    rows: list[Row]


def rules() -> tuple[str, ...]:
    """The names of the statements that look for what must not be."""
    return tuple(name for name in statements() if name.startswith("check_"))


def broken(store: Store) -> list[Broken]:
    """Every rule that does not hold, with what breaks it."""
    found = ((name, store.rows(name)) for name in rules())
    return [Broken(sentence(name), rows) for name, rows in found if rows]
