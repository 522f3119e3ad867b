"""Looks at a ledger that nobody serves, without changing it: can it be read, and is it of our format?"""

from __future__ import annotations

from pathlib import Path

import apsw

from scalebox_hpc.errors import LedgerProblem
from scalebox_hpc.ledger.sqlite import UNREADABLE
from scalebox_hpc.ledger.statements import migrations


def newest_format() -> int:
    """The newest format of a ledger that this program knows."""
    return migrations()[-1][0]


def format_of(path: Path) -> int:
    """The format of the ledger in this file. Raises LedgerProblem where it cannot be read."""
    try:
        ledger = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            ledger.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            return int(ledger.pragma("user_version"))
        finally:
            ledger.close()
    except UNREADABLE as error:
        raise LedgerProblem(
            f"{path}: the ledger cannot be read: {error}", "restore it from a copy, or move the home away"
        ) from error
    except apsw.BusyError as error:
        raise LedgerProblem(
            f"{path}: the ledger is in use by another program", "end that program (sqlite3, a copy?)"
        ) from error
