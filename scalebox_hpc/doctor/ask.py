"""Asks this machine, one thing a function. Judges nothing, starts no daemon and submits no job.

What it writes are files in directories that a run would write to, removed at once.
"""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from scalebox_hpc.batch.slurm_cli import SlurmCli
from scalebox_hpc.client import Daemon as Client
from scalebox_hpc.daemon import keeping
from scalebox_hpc.daemon.contact import this_hosts_addresses
from scalebox_hpc.daemon.home import IDENTITY, Home, open_home
from scalebox_hpc.daemon.ledgers import recorded
from scalebox_hpc.daemon.lock import KIND
from scalebox_hpc.doctor import login_node
from scalebox_hpc.doctor.facts import Addresses, Containers, Daemon, HomeSeen, Ledger, Place, Runtime, Slurm
from scalebox_hpc.errors import DaemonAbsent, SbxError
from scalebox_hpc.holder import ProcFs, provably_gone, provably_lives, read
from scalebox_hpc.ledger.address import SQLITE
from scalebox_hpc.ledger.sqlite import format_of, is_network, mounted_at
from scalebox_hpc.ledger.statements import newest_format
from scalebox_hpc.relay.addresses import interfaces

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
    return place_seen(login_node.place(str(path)))


def place_seen(said: Mapping[str, Any]) -> Place:
    """A directory as `login_node.place` told of it, here or elsewhere."""
    if said["problem"]:
        return Place(said["path"], said["exists"], said["problem"])
    kind = mounted_at(said["folder"], said["mounts"])
    known = {each.name: said[each.name] for each in fields(Place) if each.name in said}
    return Place(**known, file_system=kind, network=is_network(kind))


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
    missing = tuple(name for name in login_node.SLURM if shutil.which(name) is None)
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
    return containers_seen(wanted, login_node.containers())


def containers_seen(wanted: str, said: Mapping[str, Any], where: str = "here") -> Containers:
    """The same as `login_node.containers` told of it, here or elsewhere."""
    found = tuple(Runtime(**each) for each in said["runtimes"])
    return Containers(found, wanted, said["namespaces"], said["squashfuse"], said["root"], where)
