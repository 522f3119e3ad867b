"""What the ledger needs of a database: named statements in one transaction at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

Params = Mapping[str, Any] | Sequence[Any]
Row = tuple[Any, ...]


class Store(Protocol):
    """One connection, used by one thread. Statements are called by the names in the .sql files."""

    def transaction(self) -> AbstractContextManager[None]:
        """Everything inside is durable when the block is left, or nothing is.

        Raises StorageFull where the disk had no room, LedgerProblem where the file is damaged.
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

    def close(self) -> None:
        """Give the database back."""
