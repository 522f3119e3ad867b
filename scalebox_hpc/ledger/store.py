"""What the ledger needs of a database: named statements in one transaction at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

Params = Mapping[str, Any] | Sequence[Any]
Row = tuple[Any, ...]


class Store(Protocol):
    """One connection, used by one thread. Statements are called by the names in the .sql files.

    A server may be lost at any call: LedgerAway is raised, here or when the transaction is left, and
    then by every call until `reopen` succeeds.
    """

    @property
    def place(self) -> str:
        """Where it is, for people: a path or an address, without a secret."""

    def transaction(self) -> AbstractContextManager[None]:
        """Everything inside is durable when the block is left, or nothing is.

        Raises StorageFull where the disk had no room, LedgerProblem where the ledger is damaged,
        LedgerAway where the server was lost: then it may be durable all the same.
        """

    def rows(self, name: str, params: Params = ()) -> list[Row]:
        """Run a statement and return its rows."""

    def some(
        self, name: str, params: Params, most: int, size_of: Callable[[Row], int]
    ) -> tuple[list[Row], bool]:
        """Run a statement and return its first rows, and whether that was not all.

        At least one, if there is any; no more are read once their sizes add up to `most`.
        """

    def one(self, name: str, params: Params = ()) -> Row | None:
        """Run a statement and return its first row, if any."""

    def run(self, name: str, params: Params = ()) -> int:
        """Run a statement and return how many rows it changed."""

    def many(self, name: str, rows: Iterable[Params]) -> int:
        """Run a statement once for each of `rows` and return how many rows changed in all."""

    def size_bytes(self) -> int:
        """How much room it takes on its disk."""

    def reopen(self) -> None:
        """Connect again, after LedgerAway; what is held meanwhile is held again.

        Raises LedgerAway where it cannot be reached still, ConflictError where another daemon holds it.
        """

    def close(self) -> None:
        """Give the database back."""


class Shelf(Protocol):
    """A store as it is copied, checked and counted: by table, whatever is in them."""

    def tables(self) -> list[str]:
        """The names of all tables of the ledger, in order of name."""

    def scan(self, table: str) -> Iterator[Row]:
        """All rows of a table in the order of its primary key, read bit by bit."""

    def fill(self, table: str, rows: Iterable[Row]) -> int:
        """Add whole rows and return how many."""

    def ask(self, sql: str, params: Params = ()) -> list[Row]:
        """Run a query that has no name, for a look from outside."""
