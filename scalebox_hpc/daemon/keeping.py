"""Look after the ledger of a home: what it is, whether it is sound, a copy of it, another place for it.

What writes, and what must not see half a turn, takes the home's lock: no daemon runs meanwhile, and
none can start. No ledger is ever deleted: one that is replaced is put aside under another name.
"""

from __future__ import annotations

import datetime
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scalebox_hpc.daemon import ledgers, lock
from scalebox_hpc.daemon.home import Home
from scalebox_hpc.disk import problem_with, sync
from scalebox_hpc.errors import ConflictError, LedgerProblem, NotFound, UsageError
from scalebox_hpc.ledger.address import SQLITE, checked_address
from scalebox_hpc.ledger.check import Broken, broken
from scalebox_hpc.ledger.copying import Copied, copy, counts
from scalebox_hpc.ledger.sqlite import SqliteStore
from scalebox_hpc.ledger.statements import newest_format

if TYPE_CHECKING:
    from scalebox_hpc.daemon.ledgers import Ledger

BESIDE: Final = ("-wal", "-shm")  # what SQLite keeps beside a file that was not closed
REMEDY: Final = "choose a file in a directory that you may write and that has room"


@dataclass(frozen=True, slots=True)
class Info:
    """A ledger, from outside."""

    kind: str  # "sqlite" or "postgres"
    place: str
    format: int
    newest_format: int  # that this program knows
    size_bytes: int
    home: str
    epoch: str  # of the last daemon start
    tables: dict[str, int]  # rows


@dataclass(frozen=True, slots=True)
class Moved:
    """A ledger that is somewhere else now."""

    place: str
    aside: str  # where the former one is; "" if there was none
    copied: list[Copied]


@dataclass(frozen=True, slots=True)
class Compacted:
    """A ledger whose room was given back."""

    place: str
    before_bytes: int
    after_bytes: int


def info(home: Home) -> Info:
    """Say what the ledger of a home is; a daemon may run. Raises what opening raises."""
    with closing(_reading(home)) as store:
        row = store.one("home")
        return Info(
            kind="sqlite" if isinstance(store, SqliteStore) else "postgres",
            place=store.place,
            format=store.format(),
            newest_format=newest_format(),
            size_bytes=store.size_bytes(),
            home=row[0] if row else "",
            epoch=row[2] if row else "",
            tables=counts(store),
        )


def check(home: Home) -> tuple[str, list[Broken]]:
    """Say where the ledger is and every rule that does not hold in it.

    Raises ConflictError where a daemon runs.
    """
    with _held(home), closing(_reading(home)) as store:
        _must_be_up_to_date(store)
        if going := store.rows("removing_runs"):
            raise ConflictError(
                f"{store.place}: {len(going)} runs are being removed",
                "`sbx daemon start` goes on with that; stop the daemon when it is done, and check again",
            )
        damaged = store.damage()
        found = [Broken("the database is sound", [(line,) for line in damaged])] if damaged else []
        return store.place, [*found, *broken(store)]


def backup(home: Home, file: Path) -> tuple[Path, dict[str, int]]:
    """Write a copy of the ledger as it is at a moment to a new SQLite file; a daemon may run.

    Returns the file, absolute, and the rows of each table. Raises UsageError where the file exists.
    """
    file = _new_file(file)
    with closing(_reading(home)) as store, _written(file) as temporary:
        if isinstance(store, SqliteStore):
            store.copy_to(temporary)
        else:
            _must_be_up_to_date(store)
            with closing(SqliteStore(temporary, create=True)) as made:
                with store.snapshot(), made.transaction():
                    copy(store, made)
                made.as_one_file()
        with closing(SqliteStore.reading(temporary)) as made:
            return file, counts(made)


def restore(home: Home, file: Path) -> Moved:
    """Put a backup in the place of the ledger, which is put aside.

    Leases of the time after the backup are not those of the restored ledger, since the next daemon draws
    a new epoch: what agents still report under them is refused. Raises NotFound, ConflictError where a
    daemon runs or the backup is another home's, LedgerProblem where it cannot be used.
    """
    if not file.is_file():
        raise NotFound(f"there is no file {file}", "name a file that `sbx ledger backup` wrote")
    with _held(home), ExitStack() as stack:
        where = ledgers.find(home)
        with closing(SqliteStore.reading(file)) as given:
            _must_belong(home, given)
            fresh = stack.enter_context(_scratch(home))
            given.copy_to(fresh)
        with closing(SqliteStore(fresh, create=False)) as made:  # brings it up to date
            copied = [Copied(*each) for each in counts(made).items()]
            if not where.in_home:
                return _restore_to_postgres(home, where, made)
            made.as_one_file()
        aside = _put_aside(home, "aside")
        _put_in_place(home, fresh)
        ledgers.record(home, SQLITE)
        return Moved(str(home.ledger), aside, copied)


def _restore_to_postgres(home: Home, where: ledgers.Whereabouts, made: SqliteStore) -> Moved:
    from scalebox_hpc.ledger.postgres import PostgresStore

    with closing(
        PostgresStore(where.address, home.id, create=True, password=ledgers.take_password())
    ) as store:
        with made.transaction(), store.transaction():
            aside = store.begin_anew(f"aside_{_stamp()}") if store.one("home") else ""
            copied = copy(made, store)
        ledgers.record(home, where.address)
        return Moved(store.place, aside, copied)


def move(home: Home, target: str) -> Moved:
    """Put the ledger somewhere else: an address of Postgres, or "sqlite" for a file in the home.

    It is copied whole, counted and compared, and only then is it the home's. Raises ConflictError where
    a daemon runs or the target has a ledger of this home already, LedgerProblem, LedgerAway.
    """
    address, kept = checked_address(target, "the target"), ledgers.recorded(home)
    if kept is None:
        raise NotFound(
            f"the home {home.path} has no ledger yet", f"set {ledgers.VARIABLE} before the first run"
        )
    if address == kept:
        raise ConflictError(f"the ledger is there already: {kept}", "`sbx ledger info` shows it")
    password = ledgers.take_password()
    with _held(home):
        source = ledgers.open_ledger(home, ledgers.Whereabouts(kept, is_new=False), password)
        with closing(source):
            _must_belong(home, source)
            place, copied = _copy_out(home, source, address, password)
            ledgers.record(home, address)
            aside = "" if isinstance(source, SqliteStore) else source.put_aside(f"moved_{_stamp()}")
        if kept == SQLITE:
            aside = _put_aside(home, "moved")
        return Moved(place, aside, copied)


def compact(home: Home) -> Compacted:
    """Give back the room that removed rows left in the files of the ledger.

    That of SQLite is written anew beside itself, and takes its place when it is whole. Raises
    ConflictError where a daemon runs, StorageFull, LedgerProblem, LedgerAway.
    """
    with _held(home), closing(_to_write(home)) as store:
        before_bytes = store.size_bytes()
        if isinstance(store, SqliteStore):
            with _scratch(home) as fresh:
                store.compact_to(fresh)
                with closing(SqliteStore.reading(fresh)) as made:
                    if counts(made) != counts(store):
                        raise LedgerProblem(
                            f"{fresh} is not what {store.place} is", "nothing was changed; please report it"
                        )
                store.as_one_file()
                store.close()
                _put_in_place(home, fresh)
            return Compacted(store.place, before_bytes, home.ledger.stat().st_size)
        for table in store.tables():
            store.ask(f"VACUUM (FULL, ANALYZE) {table}")
        return Compacted(store.place, before_bytes, store.size_bytes())


def _to_write(home: Home) -> Ledger:
    """The ledger of a home that is held."""
    kept = ledgers.recorded(home)
    if kept is None:
        raise NotFound(f"the home {home.path} has no ledger yet", "`sbx run` makes it")
    return ledgers.open_ledger(home, ledgers.Whereabouts(kept, is_new=False), ledgers.take_password())


def _copy_out(home: Home, source: Ledger, address: str, password: str | None) -> tuple[str, list[Copied]]:
    if address == SQLITE:
        return _copy_to_file(home, source)
    from scalebox_hpc.ledger.postgres import PostgresStore

    with closing(PostgresStore(address, home.id, create=True, password=password)) as target:
        if target.one("home") is not None:
            raise ConflictError(
                f"{target.place}: there is a ledger of this home already",
                f"look what it is; `ALTER SCHEMA {target.schema} RENAME TO ...` puts it aside",
            )
        with source.transaction(), target.transaction():
            copied = copy(source, target)
        return target.place, copied


def _copy_to_file(home: Home, source: Ledger) -> tuple[str, list[Copied]]:
    with _scratch(home) as fresh:
        with closing(SqliteStore(fresh, create=True)) as made:
            with source.transaction(), made.transaction():
                copied = copy(source, made)
            made.as_one_file()
        _put_aside(home, "aside")
        _put_in_place(home, fresh)
    return str(home.ledger), copied


def _reading(home: Home) -> Ledger:
    """The ledger of a home, to be looked at beside a daemon."""
    address = ledgers.recorded(home)
    if address is None:
        raise NotFound(f"the home {home.path} has no ledger yet", "`sbx run` makes it")
    if address == SQLITE:
        return SqliteStore.reading(home.ledger)
    from scalebox_hpc.ledger.postgres import PostgresStore

    return PostgresStore(address, home.id, create=False, password=ledgers.take_password(), lock=False)


def _must_be_up_to_date(store: Ledger) -> None:
    if store.format() != newest_format():
        raise LedgerProblem(
            f"{store.place}: the ledger has format {store.format()}, older than this program's",
            "`sbx daemon start` brings it up to date; stop the daemon then, and do this again",
        )


@contextmanager
def _held(home: Home) -> Iterator[None]:
    held = lock.acquire(home)
    try:
        yield
    finally:
        held.release()


def _must_belong(home: Home, store: Ledger) -> None:
    row = store.one("home")
    if row is not None and row[0] not in (home.id, home.recorded().get("copied_from")):
        raise ConflictError(
            f"{store.place} is the ledger of home {row[0]}, not of {home.id}", "name a copy of this home's"
        )


# files


def _new_file(file: Path) -> Path:
    file = Path(os.path.abspath(file))
    if file.exists():
        raise _taken(file)
    return file


def _taken(file: Path) -> UsageError:
    return UsageError(f"{file} exists", "name a new file; nothing is overwritten")


@contextmanager
def _written(file: Path) -> Iterator[Path]:
    """A file of another name beside it that becomes it, once it is whole."""
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        yield temporary
        sync(temporary)
        os.link(temporary, file)
        sync(file.parent)
    except FileExistsError as error:
        raise _taken(file) from error
    except OSError as error:
        raise problem_with(file, error, "write", REMEDY) from error
    finally:
        _remove(temporary)


@contextmanager
def _scratch(home: Home) -> Iterator[Path]:
    """A new file in the home, gone afterwards unless it was put somewhere."""
    path = home.path / f".ledger.{secrets.token_hex(4)}"
    path.touch(mode=0o600)
    try:
        yield path
    finally:
        _remove(path)


def _remove(path: Path) -> None:
    for each in (path, *(path.with_name(path.name + end) for end in BESIDE)):
        with suppress(FileNotFoundError):
            each.unlink()


def _put_in_place(home: Home, fresh: Path) -> None:
    sync(fresh)
    os.replace(fresh, home.ledger)
    sync(home.path)


def _put_aside(home: Home, word: str) -> str:
    """Give the home's file another name, with what lies beside it; returns it, "" where there is none."""
    aside = f"{home.ledger.name}.{word}-{_stamp()}"
    for end in ("", *BESIDE):
        with suppress(FileNotFoundError):
            os.rename(home.path / (home.ledger.name + end), home.path / (aside + end))
    return str(home.path / aside) if (home.path / aside).exists() else ""


def _stamp() -> str:
    return f"{datetime.datetime.now(datetime.UTC):%Y%m%dt%H%M%S}_{secrets.token_hex(2)}"
