"""The home's lock: one daemon writes the ledger, wherever it runs.

It is a file made by link(2), which is atomic on network file systems too, and names its holder.
It is taken over by itself only from a process that is provably gone. It does not wait.

A taker of the lock of a gone holder first makes `lock.after.<that holder's nonce>`, by link(2)
again. Only one can, so only one replaces the lock; where that one is gone as well, the next
makes a file after its nonce.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Protocol

from scalebox_hpc.daemon.home import Home, problem_with
from scalebox_hpc.errors import ConflictError, EnvironmentProblem

_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds, or wants, the lock."""

    host: str
    machine: str  # /etc/machine-id: tells hosts of one name apart; "" where there is none
    boot: str  # random at each boot
    pid_space: str  # process ids mean something only within it
    pid: int
    started: str  # clock ticks after boot
    nonce: str  # random, of this one lock

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Processes(Protocol):
    """What there is to know of this machine's processes."""

    def myself(self) -> Holder:
        """This process, with a new nonce."""

    def started(self, pid: int) -> str | None:
        """When a process of this process space started; None where there is no such process."""


class ProcFs:
    """This machine's processes, as /proc tells."""

    def myself(self) -> Holder:
        pid = os.getpid()
        return Holder(
            host=socket.gethostname(),
            machine=_first_line("/etc/machine-id"),
            boot=_first_line("/proc/sys/kernel/random/boot_id"),
            pid_space=os.readlink("/proc/self/ns/pid"),
            pid=pid,
            started=self.started(pid) or "",
            nonce=secrets.token_hex(8),
        )

    def started(self, pid: int) -> str | None:
        """A zombie counts as gone: it writes nothing any more."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in ("Z", "X") else fields[19]


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def provably_gone(holder: Holder, processes: Processes) -> bool:
    """Whether the holder cannot be running any more, as far as can be known from here.

    Another host can tell nothing, nor can another process space of the same boot.
    """
    here = processes.myself()
    if not here.boot or (holder.host, holder.machine) != (here.host, here.machine):
        return False
    if holder.boot != here.boot:
        return True
    return holder.pid_space == here.pid_space and processes.started(holder.pid) != holder.started


class Lock:
    """The lock, held. Made by `acquire`."""

    def __init__(self, path: Path, holder: Holder) -> None:
        self.path, self.holder = path, holder
        self._text = _text_of(holder).encode()

    def still_held(self) -> bool:
        """Whether the lock is still ours; asked before each commit. About 10 µs on a local disk.

        Raises EnvironmentProblem where the file cannot be read.
        """
        try:  # opening, not stat: a network file system then asks its server
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                return os.read(descriptor, 4096) == self._text
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise problem_with(self.path, error, "read", "check the home's file system") from error

    def release(self) -> None:
        """Give the lock back; one that is no longer ours is left alone."""
        if self.still_held():
            self.path.unlink(missing_ok=True)


def acquire(home: Home, processes: Processes | None = None, takeover: bool = False) -> Lock:
    """Take the home's lock.

    With `takeover` the user has said that a holder we cannot judge is gone; one that provably
    lives is never robbed. Raises ConflictError that names the holder, EnvironmentProblem.
    """
    processes = processes or ProcFs()
    me = processes.myself()
    for _ in range(100):
        if _link(home.lock, me):
            return Lock(home.lock, me)
        holder = read_holder(home)
        if holder is None:
            continue  # given back meanwhile
        _must_be_gone(home, holder, processes, takeover)
        if _take_over(home, holder, me, processes, takeover):
            return Lock(home.lock, me)
    raise ConflictError(f"the lock {home.lock} changes hands too fast", "try again")


def read_holder(home: Home) -> Holder | None:
    """Who holds the lock of the home, gone or not; None: nobody."""
    return _read(home.lock)


def _must_be_gone(home: Home, holder: Holder, processes: Processes, takeover: bool) -> None:
    if provably_gone(holder, processes):
        return
    here = processes.myself()
    if _space(holder) == _space(here) and processes.started(holder.pid) == holder.started:
        raise ConflictError(f"a daemon of {home.path} is running: {holder}", "`sbx daemon stop` ends it")
    if not takeover:
        raise ConflictError(
            f"the home {home.path} is held by {holder}, and from {here.host} nobody can tell whether it runs",
            f"stop it there; if it is gone for certain, say `sbx daemon takeover` on {here.host}",
        )


def _space(holder: Holder) -> tuple[str, ...]:
    """Where a process id means one process."""
    return (holder.host, holder.machine, holder.boot, holder.pid_space)


def _take_over(home: Home, gone: Holder, me: Holder, processes: Processes, takeover: bool) -> bool:
    """Win the right to follow the gone holder and replace the lock; False: look again."""
    claims: list[Path] = []
    last = gone
    while True:
        claim = home.lock.with_name(f"lock.after.{last.nonce}")
        claims.append(claim)
        if _link(claim, me):
            break
        rival = _read(claim)
        if rival is None:
            return False
        _must_be_gone(home, rival, processes, takeover)
        last = rival
    won = _read(home.lock) == gone
    if won:
        temporary = _write_beside(home.lock, me)
        os.replace(temporary, home.lock)
    for claim in claims if won else claims[-1:]:
        claim.unlink(missing_ok=True)
    return won


def _text_of(holder: Holder) -> str:
    return json.dumps(asdict(holder))


def _read(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise problem_with(path, error, "read", "check the home's owner and file system") from error
    except (ValueError, TypeError) as error:
        hint = f"make sure that no daemon of this home runs anywhere, then delete {path}"
        raise EnvironmentProblem(f"the lock {path} cannot be read: {error}", hint) from error


def _write_beside(path: Path, holder: Holder) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(_text_of(holder))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise problem_with(path, error, "write", "check the home's owner and file system") from error
    return temporary


def _link(path: Path, holder: Holder) -> bool:
    """Make the file at `path` in one step; False where there is one.

    An answer lost on NFS makes link(2) fail after it succeeded; the count of links tells.
    """
    temporary = _write_beside(path, holder)
    try:
        os.link(temporary, path)
    except OSError as error:
        if os.stat(temporary).st_nlink == 2:
            return True
        if error.errno == errno.EEXIST:
            return False
        remedy = "check the home's file system"
        if error.errno in _NO_LINKS:
            remedy = "its file system has no hard links: put the home elsewhere with SBX_HOME"
        raise problem_with(path, error, "link", remedy) from error
    finally:
        temporary.unlink(missing_ok=True)
    return True
