"""Asks this machine, one thing a function. Judges nothing, starts no daemon and submits no job.

What it writes are files in directories that a run would write to, removed at once.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import Final

from scalebox_hpc.batch.slurm_cli import SlurmCli
from scalebox_hpc.client import Daemon as Client
from scalebox_hpc.daemon import keeping
from scalebox_hpc.daemon.contact import this_hosts_addresses
from scalebox_hpc.daemon.home import IDENTITY, Home, open_home
from scalebox_hpc.daemon.ledgers import recorded
from scalebox_hpc.daemon.lock import KIND
from scalebox_hpc.disk import takes_locks
from scalebox_hpc.doctor.facts import Addresses, Containers, Daemon, HomeSeen, Ledger, Place, Runtime, Slurm
from scalebox_hpc.errors import DaemonAbsent, SbxError
from scalebox_hpc.holder import ProcFs, provably_gone, provably_lives, read
from scalebox_hpc.ledger.address import SQLITE
from scalebox_hpc.ledger.sqlite import file_system, format_of, is_network
from scalebox_hpc.ledger.statements import newest_format
from scalebox_hpc.relay.addresses import interfaces

SLURM: Final = ("sbatch", "squeue", "scancel", "scontrol")
RUNTIMES: Final = {"apptainer": "apptainer", "singularity": "singularity", "charliecloud": "ch-run"}
ANSWER_S: Final = 20.0  # for a program to answer
MIB: Final = 1 << 20
TIME_ERROR: Final = 5  # of <sys/timex.h>
TIMEX_BYTES: Final = 512  # more than any kernel's struct timex


def home(path: Path) -> HomeSeen:
    """The home at this path, or that there is none yet."""
    if not (path / IDENTITY).exists():
        return HomeSeen(str(path))
    try:
        return HomeSeen(str(path), opened=open_home(path))
    except SbxError as error:
        return HomeSeen(str(path), problem=error)


def place(path: Path) -> Place:
    """A directory that a run writes to; where it is not there yet, the one that it would be made in."""
    there = next(each for each in (path, *path.parents) if each.exists())
    try:
        room = os.statvfs(there)
        with tempfile.TemporaryDirectory(prefix=".sbx-doctor-", dir=there) as made:
            tried = _try_out(Path(made))
    except OSError as error:
        return Place(str(path), path.is_dir(), f"{there}: {error.strerror or error}")
    kind = file_system(there / IDENTITY)
    return replace(
        tried,
        path=str(path),
        exists=path.is_dir(),
        file_system=kind,
        network=is_network(kind),
        free_mib=room.f_bavail * room.f_frsize // MIB,
        free_inodes=room.f_favail if room.f_files else None,
    )


def _try_out(directory: Path) -> Place:
    """What a directory can do. Raises OSError where not even a file can be written."""
    file, other = directory / "file", directory / "other"
    with file.open("wb", buffering=0) as opened:
        fsync_s = min(_time_to_write(opened) for _ in range(3))  # the least: others use the disk too
        ahead_s = (time.time_ns() - os.fstat(opened.fileno()).st_mtime_ns) / 1e9
    links = _works(lambda: os.link(file, directory / "link"))
    other.write_bytes(b"other")
    replaces = _works(lambda: os.replace(other, file)) and file.read_bytes() == b"other"
    locks = takes_locks(directory)
    return Place("", True, fsync_s=fsync_s, ahead_s=ahead_s, links=links, locks=locks, replaces=replaces)


def _time_to_write(file: FileIO) -> float:
    """Seconds until a small write is safe on disk."""
    began_ns = time.perf_counter_ns()
    file.write(bytes(4096))
    os.fsync(file.fileno())
    return (time.perf_counter_ns() - began_ns) / 1e9


def _works(act: Callable[[], None]) -> bool:
    try:
        act()
    except OSError:
        return False
    return True


def ledger(home: Home) -> Ledger | None:
    """The ledger of a home that no daemon serves; None where there is none yet."""
    address = recorded(home)
    if address not in (None, SQLITE):
        return _served_ledger(home, address)
    try:
        size_mib = home.ledger.stat().st_size / MIB
    except FileNotFoundError:
        return None
    try:
        return Ledger(str(home.ledger), size_mib, format_of(home.ledger), newest_format())
    except SbxError as error:
        return Ledger(str(home.ledger), size_mib, problem=error)


def _served_ledger(home: Home, address: str | None) -> Ledger:
    """A ledger in Postgres, whose server may be away."""
    try:
        found = keeping.info(home)
    except SbxError as error:
        return Ledger(str(address), 0.0, problem=error)
    return Ledger(found.place, found.size_bytes / MIB, found.format, found.newest_format)


def daemon(home: Path) -> Daemon:
    """Who serves a home, whether it exists or not."""
    try:
        with Client.of_home(home) as client:
            status = client.daemon_status()
        return Daemon(answers=True, at=f"{status['host']}, process {status['pid']}")
    except DaemonAbsent:
        pass
    except SbxError as error:
        return Daemon(answers=False, problem=error)
    try:
        holder = read(home / "lock", KIND)
    except SbxError as error:
        return Daemon(answers=False, problem=error)
    if holder is None:
        return Daemon(answers=False)
    here = ProcFs()
    return Daemon(False, holder=holder, gone=provably_gone(holder, here), lives=provably_lives(holder, here))


def addresses(advertise: Sequence[str]) -> Addresses:
    """Where agents on other nodes would look for the daemon."""
    try:
        return Addresses(tuple(this_hosts_addresses(advertise)))
    except SbxError as error:
        return Addresses((), error)


def interfaces_here() -> dict[str, str]:
    """The interfaces by which others may reach this machine, and their addresses."""
    return {name: address for name, address in interfaces().items() if not address.startswith("127.")}


def slurm() -> Slurm:
    """Slurm's commands in PATH, and what the controller says of itself."""
    missing = tuple(name for name in SLURM if shutil.which(name) is None)
    if "scontrol" in missing:
        return Slurm(missing)
    facts = SlurmCli("").facts()
    return Slurm(missing, facts.version, facts.accounting)


def clock_is_kept() -> bool | None:
    """Whether the kernel says that somebody sets its clock right; None where it does not say.

    adjtimex(2) with nothing to set asks only, and answers TIME_ERROR for a clock that nobody sets.
    """
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != TIME_ERROR


def containers(wanted: str) -> Containers:
    """The container runtimes in PATH, and what lets an ordinary user run them."""
    found = tuple(each for name in RUNTIMES if (each := _runtime(name)) is not None)
    return Containers(found, wanted, _no_namespaces(), _squashfuse(found), os.geteuid() == 0)


def _runtime(name: str) -> Runtime | None:
    path = shutil.which(RUNTIMES[name])
    if path is None:
        return None
    said = _said([path, "--version"])
    version = re.search(r"\d+(?:\.\d+)+\S*", said)
    libraries = _libraries(path) if name != "charliecloud" else None
    setuid = libraries is not None and any(map(_is_setuid, libraries.glob("*/bin/starter-suid")))
    return Runtime(
        name, path, version[0] if version else "", family="apptainer" if "apptainer" in said else name,
        setuid=setuid, libraries="" if libraries is None else str(libraries),
    )  # fmt: skip


def _libraries(program: str) -> Path | None:
    """Where Apptainer or Singularity keeps its own programs."""
    found = re.search(r"^LIBEXECDIR=(/.+)$", _said([program, "buildcfg"]), re.MULTILINE)
    return Path(found[1]) if found else None


def _is_setuid(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_ISUID)


def _no_namespaces() -> str:
    """Why we get no user namespace of our own; "" where we do."""
    try:
        done = subprocess.run(
            ["unshare", "--user", "--map-root-user", "--mount", "true"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ANSWER_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip() or "unshare failed"


def _squashfuse(runtimes: Sequence[Runtime]) -> bool:
    """Whether an image file can be mounted without privileges."""
    bundled = [Path(each.libraries) for each in runtimes if each.libraries]
    there = any(map(shutil.which, ("squashfuse_ll", "squashfuse"))) or any(
        True for folder in bundled for _ in folder.glob("*/bin/squashfuse*")
    )
    return there and os.access("/dev/fuse", os.R_OK | os.W_OK)


def _said(words: Sequence[str]) -> str:
    """What a program prints; "" where it cannot be run."""
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ANSWER_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr
