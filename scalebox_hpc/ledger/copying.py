"""The rows of one ledger into another, and proof that they arrived: count and digest of each table.

It neither makes ledgers nor ends transactions: who calls it commits what was proved.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

from scalebox_hpc.errors import LedgerProblem
from scalebox_hpc.ledger.dialect import keepable
from scalebox_hpc.ledger.store import Row, Shelf


class Copied(NamedTuple):
    """What was copied of a table."""

    table: str
    rows: int


class _Seen:
    """Counts rows that pass, and digests them as every ledger can keep them."""

    def __init__(self) -> None:
        self.rows, self._digest = 0, blake2b(digest_size=16)

    def passing(self, rows: Iterator[Row]) -> Iterator[Row]:
        for row in rows:
            self.rows += 1
            plain = [keepable(value) if isinstance(value, str) else value for value in row]
            self._digest.update(repr(plain).encode("utf-8", "surrogatepass"))
            yield row

    def digest(self) -> str:
        return self._digest.hexdigest()


def copy(source: Shelf, target: Shelf) -> list[Copied]:
    """Fill an empty ledger from another one, in a transaction of each, and read it again to compare.

    Raises LedgerProblem where tables or rows are not the same.
    """
    if source.tables() != target.tables():
        raise LedgerProblem(
            "the two ledgers have other tables: "
            + ", ".join(sorted(set(source.tables()) ^ set(target.tables()))),
            "use the newest release for both",
        )
    return [_copy_table(source, target, table) for table in source.tables()]


def _copy_table(source: Shelf, target: Shelf, table: str) -> Copied:
    sent, kept = _Seen(), _Seen()
    target.fill(table, sent.passing(source.scan(table)))
    for _ in kept.passing(target.scan(table)):
        pass
    if (sent.rows, sent.digest()) != (kept.rows, kept.digest()):
        raise LedgerProblem(
            f"table {table} did not arrive as it was: {sent.rows} rows were sent, {kept.rows} are there"
            + ("" if sent.rows != kept.rows else ", with other content"),
            "nothing was changed; this is a mistake in sbx: please report it",
        )
    return Copied(table, kept.rows)


def counts(shelf: Shelf) -> dict[str, int]:
    """How many rows each table has."""
    return {table: int(shelf.ask(f"SELECT count(*) FROM {table}")[0][0]) for table in shelf.tables()}
