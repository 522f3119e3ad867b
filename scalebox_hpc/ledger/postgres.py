"""The ledger in Postgres: a schema for each home, one session that writes, and a lock that it holds.

The lock lives and dies with the session: who lost it takes it again before anything else is written.
It is for one daemon; where a home's ledger is, others decide.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from scalebox_hpc.errors import ConflictError, LedgerAway, LedgerProblem
from scalebox_hpc.ledger.dialect import (
    arrays,
    as_insert,
    in_bulk,
    keepable_params,
    postgres_migrations,
    postgres_statements,
    translated,
)
from scalebox_hpc.ledger.server import ASK_AGAIN, connect, meaning
from scalebox_hpc.ledger.statements import must_be_known, newest_format
from scalebox_hpc.ledger.store import Params, Row

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.exc import DBAPIError, InvalidRequestError

BULK: Final = 5000  # rows of one statement
PAGE: Final = 500  # rows fetched at once where only the first are wanted
LOCK_WAIT_S: Final = 5  # for the session of a daemon that was just killed to end
LOCK_NOT_AVAILABLE: Final = "55P03"

_OTHERS: Final = """
    SELECT a.application_name, coalesce(host(a.client_addr), 'the server itself'), a.backend_start
      FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
     WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
       AND ((l.classid::bigint << 32) | l.objid::bigint) = %s
"""
_END_OURS: Final = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE application_name LIKE %s AND pid <> pg_backend_pid()
"""
_COLUMNS: Final = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
      FROM pg_namespace AS n JOIN pg_class AS c ON c.relnamespace = n.oid
      JOIN pg_attribute AS a ON a.attrelid = c.oid
     WHERE n.nspname = %s AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
     ORDER BY c.relname, a.attnum
"""
_KEY: Final = """
    SELECT a.attname
      FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
     WHERE i.indrelid = CAST(%s AS regclass) AND i.indisprimary
     ORDER BY array_position(CAST(i.indkey AS int2[]), a.attnum)
"""
_SIZE: Final = """
    SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)
      FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
     WHERE n.nspname = %s AND c.relkind = 'r'
"""
FORMAT: Final = "ledger_format"
"""The one table that SQLite has no need of: it holds the number of the last migration."""


def schema_of(home_id: str) -> str:
    """The schema of a home's ledger."""
    return f"sbx_{home_id}"


class PostgresStore:
    """One session in one thread. See Store and Shelf."""

    def __init__(
        self,
        address: str,
        home_id: str,
        *,
        create: bool,
        password: str | None = None,
        lock: bool = True,
        copy_of: str | None = None,
        takeover: bool = False,
    ) -> None:
        """Connect, take the home's lock unless told not to, and open the schema; `create` makes it.

        With `copy_of`, a schema that is missing becomes a copy of that home's. `takeover` ends the
        sessions of other daemons of this home, of which the user has said that they are gone.

        Raises LedgerAway where the server does not answer, ConflictError where another daemon holds
        the lock, LedgerProblem where the ledger is missing, newer than we are, or not for us.
        """
        self._address, self._password = address, password
        self.schema, self._key = schema_of(home_id), _signed(int(home_id, 16))
        self._sql = postgres_statements()
        self._bulk: dict[str, tuple[str, list[str]] | None] = {}
        self._types: dict[str, dict[str, str]] = {}
        self._name = f"sbx {home_id} {secrets.token_hex(4)}"
        self._locks, self._inside, self._begun = lock, False, False
        if takeover:
            self._end_sessions(f"sbx {home_id}")
        self._db: Connection = self._session()
        try:
            with self._patiently():
                if not self._exists(self.schema):
                    self._make(create, copy_of)
                self._migrate(writes=lock)
        except BaseException:
            self.close()
            raise

    @property
    def place(self) -> str:
        return f"{self._address} (schema {self.schema})"

    # the session

    def _session(self) -> Connection:
        connection = connect(self._address, self._password)
        try:
            self._db = connection
            self._execute("SELECT set_config('search_path', %s, false)", (self.schema,))
            if self._locks:
                self._lock()
                name = f"{self._name} {socket.gethostname()}:{os.getpid()}"
                self._execute("SELECT set_config('application_name', %s, false)", (name[:63],))
        except BaseException:
            connection.close()
            raise
        return connection

    def _lock(self) -> None:
        """Take the lock; a daemon that was just killed has it until the server has noticed."""
        from sqlalchemy.exc import DBAPIError

        self._execute("SELECT set_config('lock_timeout', %s, false)", (f"{LOCK_WAIT_S}s",))
        try:
            self._db.exec_driver_sql("SELECT pg_advisory_lock(%s)", (self._key,))
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == LOCK_NOT_AVAILABLE:
                raise self._held_elsewhere() from None
            raise self._told(error) from error
        self._execute("SELECT set_config('lock_timeout', '0', false)")

    def _held_elsewhere(self) -> ConflictError | LedgerAway:
        rows = self._execute(_OTHERS, (self._key,)).all()
        if rows and all(name.startswith(f"{self._name} ") for name, _, _ in rows):
            return LedgerAway(f"{self.place}: the server has not ended our former session yet", ASK_AGAIN)
        who = "; ".join(
            f"{name!r} at {host} since {since:%Y-%m-%d %H:%M:%S %Z}" for name, host, since in rows
        )
        return ConflictError(
            f"{self.place}: another daemon holds the ledger of this home: {who or 'just gone'}",
            "stop that daemon; if its machine is lost, its session ends within a minute, and\n"
            "`sbx daemon takeover` ends it at once",
        )

    def reopen(self) -> None:
        """Connect again. A session of ours that the server still believes in is ended first.

        Who was let in before waits also where the server does not let him in now.
        """
        self.close()
        try:
            self._end_sessions(self._name)
        except LedgerProblem as error:
            raise LedgerAway(error.fact, error.hint) from error
        self._db = self._session()

    def _end_sessions(self, name: str) -> None:
        """End the sessions whose names begin so. What they have committed counts, and nothing else of theirs.

        Whoever takes the lock afterwards has waited for their ends.
        """
        from sqlalchemy.exc import DBAPIError

        connection = connect(self._address, self._password)
        try:
            connection.exec_driver_sql(_END_OURS, (name + " %",))
        except DBAPIError as error:
            raise self._told(error) from error
        finally:
            connection.close()

    def close(self) -> None:
        from sqlalchemy.exc import DBAPIError

        self._inside = self._begun = False
        if self._db.closed:
            return
        with suppress(DBAPIError):
            self._db.invalidate()  # to end the session, not to say good-bye in it
            self._db.close()

    @contextmanager
    def _patiently(self) -> Iterator[None]:
        """Statements inside go over whole tables, and may take as long as they need."""
        session: Any = self._db.connection.driver_connection
        with session.unwatched():
            yield

    # the schema

    def _exists(self, schema: str) -> bool:
        query = "SELECT count(*) FROM pg_namespace WHERE nspname = %s"
        return bool(self._execute(query, (schema,)).scalar())

    def _make(self, create: bool, copy_of: str | None) -> None:
        """Make the schema, whole or not at all."""
        original = schema_of(copy_of) if copy_of else ""
        if not create and not (original and self._exists(original)):
            raise LedgerProblem(
                f"{self.place}: the ledger of this home is missing",
                "`sbx ledger restore FILE` brings back a copy; or move the home away to start an empty one",
            )
        with self.transaction():
            if original:
                self._execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                self._copy(original)
            else:
                self._make_tables(())

    def _make_tables(self, scripts: Sequence[tuple[int, str]]) -> None:
        self._execute(f"CREATE SCHEMA {self.schema}")
        self._execute(f"CREATE TABLE {FORMAT} (version BIGINT NOT NULL)")
        self._execute(f"INSERT INTO {FORMAT} VALUES (%s)", (scripts[-1][0] if scripts else 0,))
        for _, script in scripts:
            self._execute(script)

    def _copy(self, original: str) -> None:
        """Fill the schema from another one, which may be at work."""
        version = self._execute(f"SELECT version FROM {original}.{FORMAT}").scalar_one()
        self._make_tables([(number, script) for number, script in postgres_migrations() if number <= version])
        for table in self.tables():
            self._execute(f"INSERT INTO {table} SELECT * FROM {original}.{table}")

    def format(self) -> int:
        """The format of the ledger: the number of its last migration."""
        return int(self._execute(f"SELECT version FROM {FORMAT}").scalar_one())

    def _migrate(self, *, writes: bool) -> None:
        version = self.format()
        must_be_known(self.place, version)
        if not writes or version == newest_format():
            return
        with self.transaction():  # all of them, or none
            if version:
                self._keep_as_it_was(version)
            for number, script in postgres_migrations():
                if number > version:
                    self._execute(script)
                    self._execute(f"UPDATE {FORMAT} SET version = {number}")

    def _keep_as_it_was(self, version: int) -> None:
        """Leave the schema aside and go on with a copy of it: a way back to the release that wrote it."""
        word = f"format_{version}"
        self._execute(f"DROP SCHEMA IF EXISTS {self.schema}_{word} CASCADE")  # of an upgrade before
        self.put_aside(word)
        self._copy(f"{self.schema}_{word}")

    def put_aside(self, word: str) -> str:
        """Rename the schema so that nobody opens it any more; returns what it is called now."""
        name = f"{self.schema}_{word}"
        self._execute(f"ALTER SCHEMA {self.schema} RENAME TO {name}")
        return f"{self._address} (schema {name})"

    def begin_anew(self, word: str) -> str:
        """Put the schema aside and make an empty one in its place, in the caller's transaction."""
        aside = self.put_aside(word)
        self._make_tables(postgres_migrations())
        return aside

    def damage(self) -> list[str]:
        """Nothing: Postgres looks after its files by itself."""
        return []

    # statements

    def _execute(self, sql: str, params: Any = None) -> Any:
        """Run a statement; returns a CursorResult. Inside a transaction errors are told when it is left."""
        from sqlalchemy.exc import DBAPIError, InvalidRequestError

        try:
            if self._inside and not self._begun:
                self._db.exec_driver_sql("BEGIN")
                self._begun = True
            return self._db.exec_driver_sql(sql, params)
        except (DBAPIError, InvalidRequestError) as error:
            if self._inside:
                raise
            raise self._told(error) from error

    def _told(self, error: DBAPIError | InvalidRequestError) -> Exception:
        from sqlalchemy.exc import DBAPIError

        if isinstance(error, DBAPIError):
            return meaning(error, self._address) or error
        return LedgerAway(f"{self._address}: the session was lost before", "it has to be opened again")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See Store. It begins with its first statement; one that has none costs nothing."""
        from sqlalchemy.exc import DBAPIError, InvalidRequestError

        self._inside, self._begun = True, False
        try:
            yield
            if self._begun:
                self._commit()
        except (DBAPIError, InvalidRequestError) as error:
            raise self._told(error) from error
        finally:
            self._inside = False
            if self._begun:
                self._begun = False
                with suppress(DBAPIError, InvalidRequestError):
                    self._db.exec_driver_sql("ROLLBACK")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Everything inside sees the ledger as it is now, whatever a daemon writes meanwhile."""
        with self.transaction():
            self._execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield

    def _commit(self) -> None:
        session: Any = self._db.connection.driver_connection
        if session.info.transaction_status.name == "INERROR":  # COMMIT would undo all, and not say so
            raise AssertionError("a statement failed, and nobody minded")
        self._db.exec_driver_sql("COMMIT")
        self._begun = False

    def rows(self, name: str, params: Params = ()) -> list[Row]:
        return list(map(tuple, self._execute(self._sql[name], keepable_params(params))))

    def some(
        self, name: str, params: Params, most: int, size_of: Callable[[Row], int]
    ) -> tuple[list[Row], bool]:
        if not self._inside:
            with self.transaction():
                return self.some(name, params, most, size_of)
        rows: list[Row] = []
        for row in self._paged(self._sql[name], keepable_params(params), PAGE):
            if most <= 0 and rows:
                return rows, True
            rows.append(row)
            most -= size_of(row)
        return rows, False

    def _paged(self, sql: str, params: Any, size: int) -> Iterator[Row]:
        """The rows of a query, fetched bit by bit; only inside a transaction."""
        from sqlalchemy.exc import DBAPIError, InvalidRequestError

        cursor = "page"
        self._execute(f"DECLARE {cursor} NO SCROLL CURSOR FOR {sql}", params)
        try:
            while page := self._execute(f"FETCH {size} FROM {cursor}").fetchall():
                yield from map(tuple, page)
                if len(page) < size:
                    return
        finally:
            with suppress(DBAPIError, InvalidRequestError):  # where it failed, that is told
                self._execute(f"CLOSE {cursor}")

    def one(self, name: str, params: Params = ()) -> Row | None:
        row = self._execute(self._sql[name], keepable_params(params)).first()
        return None if row is None else tuple(row)

    def run(self, name: str, params: Params = ()) -> int:
        return int(self._execute(self._sql[name], keepable_params(params)).rowcount)

    def many(self, name: str, rows: Iterable[Params]) -> int:
        """See Store. Rows to insert go as one array a column, in one round trip; others in one pipeline."""
        if name not in self._bulk:
            self._bulk[name] = self._plan_bulk(self._sql[name])
        if self._bulk[name] is None:
            listed = [keepable_params(each) for each in rows]
            return self._execute(self._sql[name], listed).rowcount if listed else 0
        sql, types = self._bulk[name] or ("", [])
        return self._insert(sql, types, rows)

    def _insert(self, sql: str, types: Sequence[str], rows: Iterable[Any]) -> int:
        left, changed = iter(rows), 0
        while batch := list(islice(left, BULK)):
            changed += self._execute(sql, tuple(arrays(batch, types))).rowcount
        return changed

    def _plan_bulk(self, sql: str) -> tuple[str, list[str]] | None:
        insert = as_insert(sql)
        if insert is None:
            return None
        known = self._columns()[insert.table]
        types = [known[name] for name in insert.columns or known]
        return in_bulk(insert, types), types

    def _columns(self) -> dict[str, dict[str, str]]:
        if not self._types:
            for row in self._execute(_COLUMNS, (self.schema,)):
                self._types.setdefault(row[0], {})[row[1]] = row[2]
        return self._types

    def size_bytes(self) -> int:
        return int(self._execute(_SIZE, (self.schema,)).scalar_one())

    # as a shelf

    def tables(self) -> list[str]:
        return sorted(set(self._columns()) - {FORMAT})

    def scan(self, table: str) -> Iterator[Row]:
        key = ", ".join(name for (name,) in self._execute(_KEY, (f"{self.schema}.{table}",)))
        yield from self._paged(f"SELECT * FROM {table} ORDER BY {key}", None, BULK)

    def fill(self, table: str, rows: Iterable[Row]) -> int:
        sql, types = self._plan_bulk(f"INSERT INTO {table} VALUES (%s)") or ("", [])
        return self._insert(sql, types, rows)

    def ask(self, sql: str, params: Params = ()) -> list[Row]:
        with self._patiently():
            done = self._execute(translated(sql), keepable_params(params))
            return list(map(tuple, done)) if done.returns_rows else []


def _signed(number: int) -> int:
    """A 64-bit number as Postgres counts them."""
    return number - (1 << 64) if number >= 1 << 63 else number
