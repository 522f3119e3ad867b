"""Which ledger a home has, and opening it.

A new home's ledger is where SBX_LEDGER says, else `ledger` in the settings, else in the home. The
home remembers it: what is said later moves nothing, and where it does not agree, nothing starts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scalebox_hpc.config.settings import read_settings
from scalebox_hpc.daemon.home import Home
from scalebox_hpc.disk import problem_with, sync
from scalebox_hpc.errors import ConflictError, LedgerProblem
from scalebox_hpc.ledger.address import SQLITE, checked_address
from scalebox_hpc.ledger.sqlite import SqliteStore, format_of
from scalebox_hpc.ledger.statements import newest_format

if TYPE_CHECKING:
    from scalebox_hpc.ledger.postgres import PostgresStore

    Ledger = SqliteStore | PostgresStore

VARIABLE: Final = "SBX_LEDGER"
PASSWORD: Final = "PGPASSWORD"
RECORDED: Final = "ledger"  # in home.json; true: a file in the home; else an address


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where the ledger of a home is, or will be."""

    address: str  # of Postgres, without a password; or "sqlite"
    is_new: bool  # there is none yet

    @property
    def in_home(self) -> bool:
        """Whether it is a file in the home."""
        return self.address == SQLITE


def find(home: Home, environ: Mapping[str, str] = os.environ) -> Whereabouts:
    """Say where the ledger of a home is, or is to be.

    Raises UsageError for what is no address, ConflictError where SBX_LEDGER names another than the home has.
    """
    named = checked_address(environ[VARIABLE], VARIABLE) if environ.get(VARIABLE) else None
    kept = recorded(home)
    if kept is None:
        return Whereabouts(named or _settled(environ) or SQLITE, is_new=True)
    if named is None or named == kept:
        return Whereabouts(kept, is_new=False)
    if SQLITE not in (named, kept):
        return Whereabouts(named, is_new=False)  # another way to the same server: its schema is there, or not
    raise ConflictError(
        f"the ledger of {home.path} is {_told(home, kept)}, but {VARIABLE} says {named}",
        f"`sbx ledger move {named}` moves it; or unset {VARIABLE}",
    )


def recorded(home: Home) -> str | None:
    """Where the ledger of a home is; None: it has none yet."""
    kept = home.recorded().get(RECORDED)
    if isinstance(kept, str):
        return kept
    return SQLITE if kept or home.ledger.exists() else None


def record(home: Home, address: str) -> None:
    """Remember where the ledger of a home is. Only the holder of the lock may call this."""
    home.record({RECORDED: True if address == SQLITE else address})


def _told(home: Home, address: str) -> str:
    return str(home.ledger) if address == SQLITE else f"in {address}"


def _settled(environ: Mapping[str, str]) -> str | None:
    settings = read_settings(environ)
    return checked_address(settings.ledger, f"{settings.path}: ledger") if settings.ledger else None


def take_password(environ: MutableMapping[str, str] = os.environ) -> str | None:
    """Take the password of Postgres out of the environment, so that no program that we start has it."""
    return environ.pop(PASSWORD, None)


def open_ledger(
    home: Home, where: Whereabouts, password: str | None = None, *, takeover: bool = False
) -> Ledger:
    """Open the ledger of a home to write it; one that is missing is made, an older one brought up to date.

    What it was before an upgrade is kept: `ledger.db.format-N`, or a schema. `takeover`: the user has
    said that other daemons of this home are gone.

    Raises LedgerProblem, StorageFull, LedgerAway, ConflictError.
    """
    if not where.in_home:
        return open_postgres(home, where, password, takeover)
    if where.is_new:
        return _make(home.ledger)
    if home.ledger.exists():
        _keep_as_it_was(home.ledger)
    return SqliteStore(home.ledger, create=False)


def _make(ledger: Path) -> SqliteStore:
    ledger.touch(mode=0o600)
    try:
        return SqliteStore(ledger, create=True)
    except LedgerProblem:
        if ledger.stat().st_size == 0:  # an empty file would pass for the ledger that this home has
            ledger.unlink()
        raise


def _keep_as_it_was(ledger: Path) -> None:
    """Copy a ledger that is about to be brought up to date: a way back to the release that wrote it."""
    number = format_of(ledger)
    if not 0 < number < newest_format():
        return
    kept = ledger.with_name(f"{ledger.name}.format-{number}")
    temporary = ledger.with_name(f".{kept.name}.part")
    try:
        temporary.unlink(missing_ok=True)  # of a daemon that was killed here
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(SqliteStore.reading(ledger)) as store:
            store.copy_to(temporary)
        sync(temporary)
        os.replace(temporary, kept)
        sync(ledger.parent)
    except OSError as error:
        raise problem_with(
            kept, error, "write", "check who owns the home, and whether there is room"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def open_postgres(home: Home, where: Whereabouts, password: str | None, takeover: bool) -> PostgresStore:
    """Open a ledger in Postgres; a copied home gets a copy of the original's, which stays as it is."""
    from scalebox_hpc.ledger.postgres import PostgresStore

    original = home.recorded().get("copied_from")
    return PostgresStore(
        where.address,
        home.id,
        create=where.is_new,
        password=password,
        copy_of=original or None,
        takeover=takeover,
    )
