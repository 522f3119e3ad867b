"""The ledger in SQLite, by apsw: WAL, every commit on disk before it is answered."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw

from scalebox_hpc.disk import takes_locks
from scalebox_hpc.errors import LedgerProblem, StorageFull
from scalebox_hpc.ledger.statements import migrations, must_be_known, statements
from scalebox_hpc.ledger.store import Params, Row

NETWORK_FILE_SYSTEMS = frozenset(
    {
        "nfs",
        "nfs4",
        "lustre",
        "gpfs",
        "beegfs",
        "ceph",
        "cifs",
        "smb3",
        "9p",
        "afs",
        "pvfs2",
        "panfs",
        "wekafs",
    }
)
MOUNTS = Path("/proc/mounts")
_OCTAL = re.compile(r"\\([0-7]{3})")  # how the kernel writes a blank in a path
UNREADABLE = (apsw.NotADBError, apsw.CorruptError, apsw.CantOpenError, apsw.ReadOnlyError, apsw.IOError)
PAGE_CACHE_KIB = 32 * 1024  # bounded, so that memory does not grow with the ledger


class SqliteStore:
    """One connection in one thread."""

    def __init__(self, path: Path, *, create: bool) -> None:
        """Open the file, which must exist unless `create`.

        Raises LedgerProblem where it is missing, cannot be read, or is newer than this program.
        """
        if not create and not path.exists():
            raise LedgerProblem(
                f"{path}: the ledger of this home is missing",
                "restore it from a copy, or move the home away to start an empty one",
            )
        self._sql, self._path = statements(), path
        try:
            self._db = apsw.Connection(str(path))
            self._configure(path)
            self._migrate(path)
        except (*UNREADABLE, apsw.BusyError) as error:
            raise _unusable(path, error) from error

    @classmethod
    def reading(cls, path: Path) -> SqliteStore:
        """Open a file for looking at it, beside a daemon too; nothing in it is changed.

        Raises LedgerProblem where it cannot be read, is not shared, or is newer than we are.
        """
        made = cls.__new__(cls)
        made._sql, made._path = statements(), path
        must_be_known(path, format_of(path))
        made._db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        made._db.set_busy_timeout(2000)
        return made

    def _configure(self, path: Path) -> None:
        self._db.set_busy_timeout(2000)
        if is_network(file_system(path)):
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(f"PRAGMA cache_size = -{PAGE_CACHE_KIB}")
        self._db.execute("PRAGMA temp_store = MEMORY")
        # Plans do not depend on values: else statements are prepared anew each time that one changes.
        self._db.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)

    def _migrate(self, path: Path) -> None:
        version = self.format()
        must_be_known(path, version)
        with self._db:  # all of them, or none
            for number, script in migrations():
                if number > version:
                    self._db.execute(script)
                    self._db.pragma("user_version", number)

    @property
    def place(self) -> str:
        return str(self._path)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except apsw.FullError as error:
            raise StorageFull(
                f"{self._path}: no room for the ledger: {error}", "free some disk space"
            ) from error
        except (apsw.IOError, apsw.CorruptError) as error:
            raise LedgerProblem(f"the ledger cannot be written: {error}", "look at its disk") from error
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def rows(self, name: str, params: Params = ()) -> list[Row]:
        return self._db.execute(self._sql[name], params).fetchall()

    def some(
        self, name: str, params: Params, most: int, size_of: Callable[[Row], int]
    ) -> tuple[list[Row], bool]:
        rows: list[Row] = []
        with closing(self._db.execute(self._sql[name], params)) as cursor:
            for row in cursor:
                if most <= 0 and rows:
                    return rows, True
                rows.append(row)
                most -= size_of(row)
        return rows, False

    def one(self, name: str, params: Params = ()) -> Row | None:
        return self._db.execute(self._sql[name], params).fetchone()

    def run(self, name: str, params: Params = ()) -> int:
        before = self._db.total_changes()
        self._db.execute(self._sql[name], params)
        return self._db.total_changes() - before

    def many(self, name: str, rows: Iterable[Params]) -> int:
        before = self._db.total_changes()
        self._db.executemany(self._sql[name], rows)
        return self._db.total_changes() - before

    def size_bytes(self) -> int:
        files = (self._path, self._path.with_name(self._path.name + "-wal"))
        return sum(each.stat().st_size for each in files if each.exists())

    def reopen(self) -> None:
        """A file is not lost, so there is nothing to do."""

    def close(self) -> None:
        self._db.close()

    def copy_to(self, path: Path) -> None:
        """Write the whole ledger, as it is at one moment, to another file."""
        try:
            with closing(apsw.Connection(str(path))) as target:
                with target.backup("main", self._db, "main") as copying:
                    copying.step(-1)
                target.execute("PRAGMA journal_mode = DELETE")
        except apsw.FullError as error:
            raise StorageFull(f"{path}: no room for the ledger: {error}", "free some disk space") from error
        except apsw.Error as error:
            raise LedgerProblem(
                f"{path}: the ledger cannot be copied there: {error}", "look at its disk"
            ) from error

    def compact_to(self, path: Path) -> None:
        """Write the whole ledger to an empty file, without the room that removed rows left."""
        try:
            self._db.execute("VACUUM INTO ?", (str(path),))
        except apsw.FullError as error:
            raise StorageFull(f"{path}: no room for the ledger: {error}", "free some disk space") from error
        except apsw.IOError as error:
            raise LedgerProblem(f"{path}: cannot be written: {error}", "look at its disk") from error

    def as_one_file(self) -> None:
        """Leave nothing beside the file; it has to be opened anew to be written again."""
        self._db.execute("PRAGMA journal_mode = DELETE")

    def damage(self) -> list[str]:
        """What SQLite itself finds wrong with the file."""
        lines = [str(line) for (line,) in self.ask("PRAGMA integrity_check")]
        return [] if lines == ["ok"] else lines

    # as a shelf

    def format(self) -> int:
        """The format of the ledger: the number of its last migration."""
        return int(self._db.pragma("user_version"))

    def tables(self) -> list[str]:
        rows = self.ask("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        return sorted(name for (name,) in rows)

    def scan(self, table: str) -> Iterator[Row]:
        rows = self.ask("SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk", (table,))
        key = ", ".join(name for (name,) in rows)
        yield from self._db.execute(f"SELECT * FROM {table} ORDER BY {key}")

    def fill(self, table: str, rows: Iterable[Row]) -> int:
        width = len(self.ask("SELECT 1 FROM pragma_table_info(?)", (table,)))
        before = self._db.total_changes()
        self._db.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * width)})", rows)
        return self._db.total_changes() - before

    def ask(self, sql: str, params: Params = ()) -> list[Row]:
        return self._db.execute(sql, params).fetchall()


def _unusable(path: Path, error: apsw.Error) -> LedgerProblem:
    """Why a ledger cannot be opened; a file system without locks looks like damage, or like another user."""
    if not _may_lock(path.parent):
        return LedgerProblem(
            f"{path}: its file system ({file_system(path)}) has no locks, which SQLite needs",
            "put the home elsewhere with SBX_HOME, or the ledger into Postgres with SBX_LEDGER",
        )
    if isinstance(error, apsw.BusyError):
        fact, hint = "is in use by another program", "end that program (sqlite3, a copy?)"
    else:
        fact = f"cannot be read: {error}"
        hint = "restore it from a copy, or mend what keeps it from being read; nothing was changed"
    return LedgerProblem(f"{path}: the ledger {fact}", hint)


def _may_lock(directory: Path) -> bool:
    try:
        return takes_locks(directory)
    except OSError:
        return True  # not to be told


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


def file_system(path: Path, mounted: Path = MOUNTS) -> str:
    """Name the kind of file system that holds `path`, as the kernel calls it; "" if unknown."""
    try:
        mounts = mounted.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
    return mounted_at(str(path.resolve().parent), mounts)


def mounted_at(folder: str, mounts: str) -> str:
    """Name the kind of file system that a folder is on, from the text of /proc/self/mounts."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        _, mount, name, *_ = line.split(" ")
        mount = _OCTAL.sub(lambda found: chr(int(found[1], 8)), mount)
        inside = folder == mount or folder.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= best:  # of two on one place the later hides the other, as on autofs
            best, kind = len(mount), name
    return kind


def is_network(kind: str) -> bool:
    """Whether a kind of file system is another machine's; what FUSE serves is taken for such."""
    return kind in NETWORK_FILE_SYSTEMS or kind.startswith("fuse.")
