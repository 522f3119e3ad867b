"""A cluster we can reach, as its site file describes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from scalebox_hpc.domain.container import Containers

_JUMP: Final = re.compile(
    r"(?:(?P<user>[^-\s@:/,][^\s@:/,]*)@)?"
    r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^-\s@:/,\[\]][^\s@:/,\[\]]*)(?::(?P<port>\d{1,5}))?"
)


@dataclass(frozen=True, slots=True)
class Machine:
    """A named resource shape: what one element of an allocation asks for."""

    name: str
    cpus: int | None = None  # None: as much as one task needs (on `local`: this machine's)
    memory_mib: int | None = None
    gpus: int = 0
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    exclusive: bool = False
    sbatch: tuple[str, ...] = ()  # further options, verbatim
    default: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What the site lets us do; absent values are asked of the batch system where it can tell."""

    elements: int | None = None  # most elements at once, pending and running, over all pools
    array_size: int | None = None  # the largest array of one submission
    submissions_per_minute: int = 10


@dataclass(frozen=True, slots=True)
class Ssh:
    """How the login node of a remote site is reached; what is None, OpenSSH and its files say."""

    host: str  # a host, or a name of ~/.ssh/config
    user: str | None = None
    port: int | None = None
    key: str | None = None  # a file with a private key
    jump: tuple[str, ...] = ()  # [USER@]HOST[:PORT], the nearest to us first
    known_hosts: str | None = None  # a file
    config: str | None = None  # a file in place of ~/.ssh/config
    master: bool = False  # only through the OpenSSH master that `sbx site login` opens: for sites with MFA
    python: str = "python3"  # on the login node; 3.9 or newer


def jump_host(text: str) -> Ssh | None:
    """Read [USER@]HOST[:PORT]; None for what is none.

    >>> (jump := jump_host("me@gate.example.org:2222")) and (jump.user, jump.host, jump.port)
    ('me', 'gate.example.org', 2222)
    >>> jump_host("-oX"), jump_host("a b"), jump_host("gate:99999")
    (None, None, None)
    """
    match = _JUMP.fullmatch(text)
    port = int(match["port"]) if match and match["port"] else None
    if match is None or port == 0 or (port or 0) > 65535:
        return None
    return Ssh(match["host"].strip("[]"), match["user"], port)


@dataclass(frozen=True, slots=True)
class Transfers:
    """What a site bears of data moved to and from it."""

    streams: int = 4  # at once, over all runs of a home
    bandwidth_mib_s: float | None = None  # of one stream; None: no limit
    keep_s: float = 60.0  # a connection of `sbx get` and `sbx put` stays so long for the next one


@dataclass(frozen=True, slots=True)
class Way:
    """What must stay as it is for a link to a site to be of use."""

    ssh: Ssh | None
    shared: str | None
    ports: tuple[int, int] | None
    advertise: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Site:
    """One site file, checked."""

    name: str
    batch: str = "slurm"  # or "slurm_cli", "slurm_api", "local"
    python: str = "python3"  # on the compute nodes; "" for the daemon's own (local)
    prologue: tuple[str, ...] = ()  # shell lines before the agent starts
    env: Mapping[str, str] = field(default_factory=dict)
    shared: str | None = None  # paths.shared; None: inside the home
    scratch: str | None = None  # paths.scratch; None: $TMPDIR or /tmp
    images: str | None = None  # paths.images, where images are kept; None: `images` in the shared folder
    advertise: tuple[str, ...] = ()  # addresses or interfaces that compute nodes reach; empty: all
    ports: tuple[int, int] | None = None  # inclusive range to listen in
    interval_s: float = 30.0  # shortest time between two looks at the queue
    lost_after_s: float = 900.0
    limits: Limits = Limits()
    containers: Containers = field(default_factory=Containers)
    machines: Mapping[str, Machine] = field(default_factory=dict)
    ssh: Ssh | None = None  # None: this machine is its login node
    transfers: Transfers = Transfers()

    @property
    def way(self) -> Way:
        """How it is reached."""
        return Way(self.ssh, self.shared, self.ports, self.advertise)

    def default_machine(self) -> Machine | None:
        """The machine marked as default, else the only or first one."""
        marked = [machine for machine in self.machines.values() if machine.default]
        return next(iter(marked or self.machines.values()), None)
