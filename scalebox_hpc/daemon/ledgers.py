"""Which ledger a home has, and opening it.

A new home's ledger is where SBX_LEDGER says, else `ledger` in the settings, else in the home. The
home remembers it: what is said later moves nothing, and where it does not agree, nothing starts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from scalebox_hpc.config.settings import read_settings
from scalebox_hpc.daemon.home import Home
from scalebox_hpc.errors import ConflictError, LedgerProblem
from scalebox_hpc.ledger.address import SQLITE, checked_address
from scalebox_hpc.ledger.sqlite import SqliteStore

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


def open_ledger(home: Home, where: Whereabouts, password: str | None = None) -> Ledger:
    """Open the ledger of a home to write it, and make it if there is none yet.

    Raises LedgerProblem, LedgerAway, ConflictError.
    """
    if not where.in_home:
        return open_postgres(home, where, password)
    if not where.is_new:
        return SqliteStore(home.ledger, create=False)
    home.ledger.touch(mode=0o600)
    try:
        return SqliteStore(home.ledger, create=True)
    except LedgerProblem:
        if home.ledger.stat().st_size == 0:  # an empty file would pass for the ledger that this home has
            home.ledger.unlink()
        raise


def open_postgres(home: Home, where: Whereabouts, password: str | None) -> PostgresStore:
    """Open a ledger in Postgres; a copied home gets a copy of the original's, which stays as it is."""
    from scalebox_hpc.ledger.postgres import PostgresStore

    original = home.recorded().get("copied_from")
    return PostgresStore(
        where.address, home.id, create=where.is_new, password=password, copy_of=original or None
    )
