"""Who holds a lock file, whether that process is provably gone, and how the file changes hands.

A lock is a file made by link(2), which is atomic on network file systems too, and names its
holder. Nothing here waits, and nothing decides what to do about a holder that lives.

A taker of the lock of a gone holder first makes `NAME.after.<that holder's nonce>`, by link(2)
again. Only one can, so only one replaces the lock; where that one is gone as well, the next
makes a file after its nonce.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Protocol

from scalebox_hpc.disk import problem_with
from scalebox_hpc.errors import EnvironmentProblem

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
    job: str = ""  # the Slurm job that it was started in; it may outlive that, or be cut off from Slurm

    def __str__(self) -> str:
        where = f", started in Slurm job {self.job}" if self.job else ""
        return f"process {self.pid} on {self.host}{where}"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a lock guards, for the words of errors."""

    remedy: str  # when its folder cannot be used
    no_links: str  # when its file system has no hard links
    unreadable: str  # what to make sure of before the file is deleted


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
            job=os.environ.get("SLURM_JOB_ID", ""),
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


def provably_lives(holder: Holder, processes: Processes) -> bool:
    """Whether the holder is seen running from here."""
    return _space(holder) == _space(processes.myself()) and processes.started(holder.pid) == holder.started


def _space(holder: Holder) -> tuple[str, ...]:
    """Where a process id means one process."""
    return (holder.host, holder.machine, holder.boot, holder.pid_space)


def text_of(holder: Holder) -> str:
    """What the file of a lock holds."""
    return json.dumps(asdict(holder))


def read(path: Path, kind: Kind) -> Holder | None:
    """Who holds the lock, gone or not; None: nobody. Raises EnvironmentProblem."""
    try:
        return Holder(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise problem_with(path, error, "read", kind.remedy) from error
    except (ValueError, TypeError) as error:
        hint = f"{kind.unreadable}, then delete {path}"
        raise EnvironmentProblem(f"the lock {path} cannot be read: {error}", hint) from error


def take_over(path: Path, gone: Holder, me: Holder, kind: Kind, may_go: Callable[[Holder], bool]) -> bool:
    """Win the right to follow the gone holder and replace the lock; False: look again.

    `may_go` judges a rival that claimed the right before us; it may raise.
    """
    claims: list[Path] = []
    last = gone
    while True:
        claim = path.with_name(f"{path.name}.after.{last.nonce}")
        claims.append(claim)
        if link(claim, me, kind):
            break
        rival = read(claim, kind)
        if rival is None or not may_go(rival):
            return False
        last = rival
    won = read(path, kind) == gone
    if won:
        temporary = _write_beside(path, me, kind)
        os.replace(temporary, path)
    for claim in claims if won else claims[-1:]:
        claim.unlink(missing_ok=True)
    return won


def _write_beside(path: Path, holder: Holder, kind: Kind) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text_of(holder))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise problem_with(path, error, "write", kind.remedy) from error
    return temporary


def link(path: Path, holder: Holder, kind: Kind) -> bool:
    """Make the file at `path` in one step; False where there is one.

    An answer lost on NFS makes link(2) fail after it succeeded; the count of links tells.
    """
    temporary = _write_beside(path, holder, kind)
    try:
        os.link(temporary, path)
    except OSError as error:
        if os.stat(temporary).st_nlink == 2:
            return True
        if error.errno == errno.EEXIST:
            return False
        remedy = kind.no_links if error.errno in _NO_LINKS else kind.remedy
        raise problem_with(path, error, "link", remedy) from error
    finally:
        temporary.unlink(missing_ok=True)
    return True
