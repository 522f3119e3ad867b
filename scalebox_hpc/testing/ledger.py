"""A ledger that fails where a test says, and a look at it from outside.

The store itself is a real one; nothing here pretends to be a database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import apsw

from scalebox_hpc.errors import StorageFull
from scalebox_hpc.ledger.sqlite import SqliteStore
from scalebox_hpc.ledger.store import Params, Row, Store

WRITING = frozenset({"claim"})  # statements that return rows and write nevertheless


class NoRoom(Exception):
    """A write found no room. As with a real database, only the transaction as a whole tells of it."""


class Books(Protocol):
    """Where a simulated daemon has its ledger."""

    def exists(self) -> bool:
        """Whether it was ever opened."""

    def open(self) -> Store:
        """Open it, as a daemon does; it is made if there is none."""

    def look(self, query: str, params: Params = ()) -> list[Row]:
        """Look at it from outside."""


@dataclass(frozen=True, slots=True)
class SqliteBooks:
    """A file."""

    path: Path

    def exists(self) -> bool:
        return self.path.exists()

    def open(self) -> Store:
        return SqliteStore(self.path, create=not self.path.exists())

    def look(self, query: str, params: Params = ()) -> list[Row]:
        with closing(apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)) as database:
            return database.execute(query, params).fetchall()


@dataclass(slots=True)
class Faults:
    """Points at which something may break, counted from 1 in the order in which they are passed.

    An exception in `at` is raised once, when its point is passed, NoRoom at the first write from there on;
    one in `always` each time that a point of its name is. What is in `do` is done before.
    """

    passed: int = 0
    commits: int = 0  # of transactions that wrote something
    names: list[str] = field(default_factory=list)  # of all points passed, in order
    at: dict[int, BaseException] = field(default_factory=dict)
    always: dict[str, BaseException] = field(default_factory=dict)
    do: dict[int, Callable[[], object]] = field(default_factory=dict)

    def point(self, name: str, *, writes: bool = False) -> None:
        """Pass a point."""
        self.passed += 1
        self.names.append(name)
        if (act := self.do.pop(self.passed, None)) is not None:
            act()
        fault = self.at.pop(self.passed, None) or self.always.get(name)
        if isinstance(fault, NoRoom) and not writes:
            self.at.setdefault(self.passed + 1, fault)
            return
        if fault is not None:
            raise fault.with_traceback(None)


@dataclass(slots=True)
class FaultyStore:
    """A store each of whose writes and commits is a point. See Store."""

    store: Store
    faults: Faults

    @contextmanager
    def transaction(self) -> Iterator[None]:
        wrote = False
        try:
            with self.store.transaction():
                before = self.faults.passed
                yield
                wrote = self.faults.passed > before
                if wrote:
                    self.faults.point("commit", writes=True)
        except NoRoom as error:
            raise StorageFull("no room for the ledger", "free some disk space") from error
        if wrote:
            self.faults.commits += 1
            self.faults.point("committed")

    def rows(self, name: str, params: Params = ()) -> list[Row]:
        found = self.store.rows(name, params)
        if name in WRITING and found:
            self.faults.point(name, writes=True)
        return found

    def some(
        self, name: str, params: Params, most: int, size_of: Callable[[Row], int]
    ) -> tuple[list[Row], bool]:
        return self.store.some(name, params, most, size_of)

    def one(self, name: str, params: Params = ()) -> Row | None:
        return self.store.one(name, params)

    def run(self, name: str, params: Params = ()) -> int:
        changed = self.store.run(name, params)
        self.faults.point(name, writes=True)
        return changed

    def many(self, name: str, rows: Iterable[Params]) -> int:
        changed = self.store.many(name, rows)
        self.faults.point(name, writes=True)
        return changed

    @property
    def place(self) -> str:
        return self.store.place

    def size_bytes(self) -> int:
        return self.store.size_bytes()

    def reopen(self) -> None:
        self.store.reopen()

    def close(self) -> None:
        self.store.close()
