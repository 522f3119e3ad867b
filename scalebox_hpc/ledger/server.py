"""The door to Postgres: connections by SQLAlchemy and psycopg, and what goes wrong as our errors.

It knows no table. Planning is made to be SQLite's: nested loops over indexes, whatever the statistics
say and whatever the values are, so that a claim costs the same in an empty and in a large ledger.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from scalebox_hpc.errors import LedgerAway, LedgerProblem, SbxError, StorageFull
from scalebox_hpc.ledger.address import PASSWORD_ELSEWHERE

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.exc import DBAPIError

    from scalebox_hpc.ledger.session import Session

OLDEST: Final = 130000  # Postgres 13
PREPARED: Final = 1000  # statements that a session keeps planned
ANSWER_S: Final = 120.0  # for a statement; then the server is given up, whatever TCP says
LOST_AFTER: Final[Mapping[str, int]] = {
    "connect_timeout": 10,  # s
    "keepalives_idle": 30,  # s
    "keepalives_interval": 10,  # s
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # ms
}
SETTINGS: Final[Mapping[str, str]] = {
    "client_min_messages": "warning",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "tcp_keepalives_idle": "30",  # the server's side: a session of a lost machine gives its lock back
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "30000",  # the same where an answer is under way to it
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "bytea_output": "hex",
    "extra_float_digits": "1",
}
_CONFIGURE: Final = """
    SELECT set_config(wanted.name, wanted.value, false)
      FROM unnest(CAST(%s AS text[]), CAST(%s AS text[])) AS wanted(name, value)
      JOIN pg_settings AS known USING (name)
"""
_DURABLE: Final = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)
_NO_ROOM: Final = ("53100",)
_GONE: Final = ("42P01", "3F000")  # no such table, no such schema
_AWAY: Final = ("08", "57", "53", "25006", "25P03", "40")
"""Beginnings of SQLSTATE: connection, operator's doing, resources, system, standby, timeouts, rolled back."""
_NOT_OURS: Final = (
    "authentication failed", "no password supplied", "no pg_hba.conf entry", "does not exist",
    "permission denied", "is not permitted to log in", "definition of service", "invalid connection option",
    "invalid URI", "invalid value", "root certificate", "private key file", "unsupported",
    "certificate verify failed", "server certificate for", "does not support SSL",
)  # fmt: skip
"""What libpq says where trying again is of no use; it gives no SQLSTATE while connecting."""


def connect(address: str, password: str | None = None) -> Connection:
    """Open a session at the server of an address, in which every statement commits by itself.

    Raises LedgerAway where the server does not answer now, LedgerProblem where it never will.
    """
    try:
        from sqlalchemy import create_engine
        from sqlalchemy.exc import DBAPIError
        from sqlalchemy.pool import NullPool

        from scalebox_hpc.ledger.session import Session
    except ImportError as error:
        raise LedgerProblem(
            f"the ledger is to be in Postgres, and what talks to it is not installed: {error.name}",
            "pip install 'scalebox-hpc[postgres]'",
        ) from error

    def session() -> Session:
        return _session(Session, address, password)

    engine = create_engine(
        "postgresql+psycopg://",
        creator=session,
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        use_native_hstore=False,
        hide_parameters=True,
    )
    try:
        made = engine.connect()
        try:
            _check(made, address)
            _configure(made)
        except BaseException:
            made.close()
            raise
        return made
    except DBAPIError as error:
        raise unconnected(error, address) from error


def _session(kind: type[Session], address: str, password: str | None) -> Session:
    """Connect by libpq, which reads the address, ~/.pgpass and the PG variables by itself."""
    from psycopg.conninfo import conninfo_to_dict
    from psycopg.types.numeric import Int8Dumper, IntLoader

    given = conninfo_to_dict(address)
    secret = {"password": password} if password is not None else {}
    mine = {"application_name": f"sbx {socket.gethostname()} {os.getpid()}"}
    parameters: dict[str, Any] = {**LOST_AFTER, **mine, **secret, **given}
    made = kind.connect(**parameters, autocommit=True)
    made.watch(ANSWER_S)
    for whole in (int, bool):  # one type for all sizes: one plan for each statement
        made.adapters.register_dumper(whole, Int8Dumper)
    made.adapters.register_loader("numeric", IntLoader)  # sums of whole numbers; we have no others
    made.prepared_max = PREPARED
    return made


def _check(connection: Connection, address: str) -> None:
    row = connection.exec_driver_sql(
        "SELECT current_setting('server_version_num'), current_setting('server_version'),"
        " current_setting('server_encoding')"
    ).one()
    if int(row[0]) < OLDEST:
        raise LedgerProblem(
            f"{address}: this is Postgres {row[1]}; the ledger needs {OLDEST // 10000} or newer",
            "use a newer server, or stay with SQLite (unset SBX_LEDGER)",
        )
    if row[2] != "UTF8":
        raise LedgerProblem(
            f"{address}: the database's encoding is {row[2]}; the ledger needs UTF8",
            "createdb --encoding=UTF8 --template=template0 NAME",
        )


def _configure(connection: Connection) -> None:
    names, values = list(SETTINGS), list(SETTINGS.values())
    connection.exec_driver_sql(_CONFIGURE, (names, values))
    connection.exec_driver_sql(_DURABLE)


def unconnected(error: DBAPIError, address: str) -> SbxError:
    """What a failed attempt to connect means."""
    said = _said(error)
    if not any(words in said for words in _NOT_OURS):
        return LedgerAway(f"{address}: the server of the ledger does not answer: {said}", ASK_AGAIN)
    if "password" in said:
        return LedgerProblem(f"{address}: the server does not let us in: {said}", PASSWORD_ELSEWHERE)
    return LedgerProblem(
        f"{address}: the server does not let us in: {said}",
        "check the address, and ask whoever runs the server",
    )


def meaning(error: DBAPIError, address: str) -> SbxError | None:
    """What a failed statement means; None where it can only be a mistake of ours."""
    from sqlalchemy.exc import DataError, IntegrityError, InterfaceError

    said, state = _said(error), str(getattr(error.orig, "sqlstate", None) or "")
    if state in _NO_ROOM:
        return StorageFull(f"{address}: no room for the ledger: {said}", "free some disk space at the server")
    if error.connection_invalidated or state.startswith(_AWAY) or isinstance(error, InterfaceError):
        return LedgerAway(f"{address}: the server of the ledger was lost: {said}", ASK_AGAIN)
    if isinstance(error, IntegrityError | DataError):
        return None
    if state == "42501":
        return LedgerProblem(f"{address}: the server does not let us do this: {said}", _GRANT)
    if not state:
        return LedgerAway(f"{address}: the server of the ledger was lost: {said}", ASK_AGAIN)
    if state in _GONE:
        return LedgerProblem(
            f"{address}: the ledger is gone: {said}", "`sbx ledger restore FILE` brings back a copy"
        )
    if state.startswith(("42", "22", "0A")):
        return None
    return LedgerProblem(f"{address}: the ledger cannot be used: {said}", "ask whoever runs the server")


def _said(error: DBAPIError) -> str:
    lines = [line.strip() for line in str(error.orig).splitlines() if line.strip()]
    return "; ".join(lines)


ASK_AGAIN: Final = "nothing is lost; check the server and the way to it, then try again"
_GRANT: Final = "a user who may make schemas is needed: GRANT CREATE ON DATABASE ... TO ...;"
