"""A Postgres of one's own: made in an empty directory, reached by a socket there, gone with the test.

It keeps nothing safe (no fsync). As root it runs as an ordinary user, for Postgres refuses root.
"""

from __future__ import annotations

import os
import pwd
import secrets
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from scalebox_hpc.ledger.dialect import translated
from scalebox_hpc.ledger.postgres import PostgresStore, schema_of
from scalebox_hpc.ledger.server import connect
from scalebox_hpc.ledger.store import Params, Row

if TYPE_CHECKING:
    from sqlalchemy import Connection

ORDINARY: Final = "nobody"
PORT: Final = 5432  # part of the socket's name only
START_S: Final = 30.0
LOOK_S: Final = 0.02
_SETTINGS: Final = {
    "listen_addresses": "''",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "30",
    "shared_buffers": "64MB",
    "autovacuum_naptime": "10min",
}


def programs() -> Path | None:
    """The newest installed Postgres server's programs; None where there are none, or nobody to run them."""
    if os.geteuid() == 0 and ORDINARY not in {entry.pw_name for entry in pwd.getpwall()}:
        return None
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    found += [Path(folder) for folder in os.get_exec_path() if (Path(folder) / "initdb").exists()]
    return max(found, key=lambda path: _number(path.parent.name), default=None)


def _number(name: str) -> int:
    return int(name) if name.isdecimal() else 0


@dataclass(slots=True)
class Postgres:
    """One server; `stop`, `kill` and `start` as often as a test likes."""

    folder: Path
    programs: Path
    process: subprocess.Popen[bytes] | None = None
    _session: Connection | None = None

    @property
    def address(self) -> str:
        """Where it answers, as `SBX_LEDGER` has it."""
        return f"postgresql://sbx@/postgres?host={self.folder}"

    @property
    def socket(self) -> str:
        """The socket in its folder."""
        return str(self.folder / f".s.PGSQL.{PORT}")

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def make(self) -> None:
        """Make the database files."""
        self.folder.chmod(0o755)
        if os.geteuid() == 0:
            os.chown(self.folder, *_ordinary())
        self._run(
            "initdb", "-D", str(self._data), "-U", "sbx", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"
        )
        with (self._data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in _SETTINGS.items())
            file.write(f"unix_socket_directories = '{self.folder}'\n")

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            command = [str(self.programs / "postgres"), "-D", str(self._data)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **_as_ordinary())
        wait_until(self.answers, START_S, lambda: (self.folder / "log").read_text()[-2000:])

    def answers(self) -> bool:
        """Whether it takes connections."""
        done = subprocess.run(
            [self.programs / "pg_isready", "-q", "-h", self.folder], check=False, capture_output=True
        )
        return done.returncode == 0

    def stop(self) -> None:
        """End it as an operator does in a hurry: sessions are cut off."""
        self._forget_session()
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill -9 all of it, and wait until nothing of it is left."""
        assert self.process is not None
        self._forget_session()
        children = _children(self.process.pid)
        for pid in (self.process.pid, *children):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), START_S)
        self.process = None

    def _forget_session(self) -> None:
        if self._session is not None:
            self._session.invalidate()
            self._session.close()
            self._session = None

    def _end(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(START_S)
            self.process = None

    def _run(self, name: str, *words: str) -> None:
        done = subprocess.run(
            [str(self.programs / name), *words], cwd="/", check=False, capture_output=True, **_as_ordinary()
        )
        assert done.returncode == 0, done.stderr.decode()

    def sql(self, text: str, params: Params = (), schema: str = "public") -> list[Row]:
        """Run a statement as the server's owner, in a session that stays."""
        if self._session is None or self._session.closed:
            self._session = connect(self.address)
        self._session.exec_driver_sql(f"SET search_path TO {schema}")
        result = self._session.exec_driver_sql(translated(text), params or None)
        return list(map(tuple, result)) if result.returns_rows else []

    def cut(self) -> int:
        """End every session that holds a ledger; returns how many, once they are gone."""
        ended = self.sql(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        )
        return len(ended)


class PostgresBooks:
    """A schema of its own in a server, opened by `address` where that is another way to it."""

    def __init__(self, server: Postgres, address: str = "") -> None:
        self.server, self.id = server, secrets.token_hex(8)
        self.address = address or server.address

    def exists(self) -> bool:
        found = self.server.sql("SELECT 1 FROM pg_namespace WHERE nspname = ?", (schema_of(self.id),))
        return bool(found)

    def open(self) -> PostgresStore:
        return PostgresStore(self.address, self.id, create=True)

    def look(self, query: str, params: Params = ()) -> list[Row]:
        return self.server.sql(query, params, schema_of(self.id))

    def close(self) -> None:
        """Remove it."""
        self.server.sql(f"DROP SCHEMA IF EXISTS {schema_of(self.id)} CASCADE")


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A running server. Raises AssertionError where there are no programs for it."""
    found = programs()
    assert found is not None, "no Postgres is installed"
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        prefix="sbx-pg-", dir=memory if memory.is_dir() else None, ignore_cleanup_errors=True
    ) as folder:
        server = Postgres(Path(folder), found)
        server.make()
        try:
            server.start()
            yield server
        finally:
            server.stop()


def wait_until(so: Callable[[], bool], deadline_s: float, about: Callable[[], str] = lambda: "") -> None:
    """Wait until something is so. Raises AssertionError after the deadline."""
    until_s, pause = time.monotonic() + deadline_s, threading.Event()
    while not so():
        assert time.monotonic() < until_s, about()
        pause.wait(LOOK_S)


def _ordinary() -> tuple[int, int]:
    entry = pwd.getpwnam(ORDINARY)
    return entry.pw_uid, entry.pw_gid


def _as_ordinary() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    user, group = _ordinary()
    return {"user": user, "group": group, "extra_groups": []}


def _children(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            found.append(int(path.parent.name))
    return found
