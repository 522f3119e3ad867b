"""What can be known of this machine and site, as values: asked by `ask`, judged by `judge`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scalebox_hpc.daemon.home import Home
from scalebox_hpc.domain.site import Machine
from scalebox_hpc.errors import SbxError
from scalebox_hpc.holder import Holder


@dataclass(frozen=True, slots=True)
class Place:
    """A directory, or where one would be made."""

    path: str
    exists: bool
    problem: str = ""  # why no file can be made there
    file_system: str = ""  # as the kernel calls it
    network: bool = False  # whether that is another machine's
    free_mib: int = 0
    free_inodes: int | None = None  # None: the file system does not count them
    fsync_s: float = 0.0  # for a small file to be safe on disk
    ahead_s: float = 0.0  # of our clock to that of the file system, by the time of a new file
    links: bool = True  # hard links, which locks are made by
    locks: bool = True  # of parts of files, which the ledger needs
    replaces: bool = True  # rename over a file, which every small file of ours is written by


@dataclass(frozen=True, slots=True)
class HomeSeen:
    """A home, or where one would be made."""

    path: str
    opened: Home | None = None
    problem: SbxError | None = None


@dataclass(frozen=True, slots=True)
class Ledger:
    """A ledger that no daemon serves."""

    path: str
    size_mib: float
    format: int = 0
    newest_format: int = 0
    problem: SbxError | None = None


@dataclass(frozen=True, slots=True)
class Daemon:
    """Who serves a home."""

    answers: bool
    at: str = ""  # host and process of the one that answers
    holder: Holder | None = None  # of the lock, where none answers
    gone: bool = False  # the holder, provably
    lives: bool = False  # the holder, provably
    problem: SbxError | None = None


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where agents on other nodes would look for the daemon, the best first."""

    found: tuple[str, ...]
    problem: SbxError | None = None


@dataclass(frozen=True, slots=True)
class Slurm:
    """Slurm, as its commands on this machine show it."""

    missing: tuple[str, ...]  # commands that are not in PATH
    version: tuple[int, int] | None = None  # None: the controller did not answer
    accounting: bool | None = None  # whether there is a slurmdbd


@dataclass(frozen=True, slots=True)
class Asked:
    """What the pools here would ask of one machine of a site, and what Slurm says to it."""

    machine: Machine
    walltime_s: float  # the longest of its pools
    pool: str = ""  # the one that has it; "": none is written, and this is the default
    refusal: SbxError | None = None  # of `sbatch --test-only`


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock of this machine. Offsets are in seconds, positive where ours is ahead."""

    kept: bool | None  # whether the kernel says that something sets it; None: it does not say
    file_server_s: float | None = None  # of the shared folder; None: no file could be made there
    controller_s: float | None = None  # of Slurm's, which tells whole seconds; None: it did not answer
    login_node_s: float | None = None  # of the site's login node; None: it is this machine


@dataclass(frozen=True, slots=True)
class Runtime:
    """A container runtime in PATH."""

    name: str  # as pipelines and sites call it
    path: str
    version: str
    family: str = ""  # what it really is: a program called singularity may be Apptainer
    setuid: bool = False  # whether it starts containers as root, by a setuid program
    libraries: str = ""  # where it keeps its own programs


@dataclass(frozen=True, slots=True)
class Containers:
    """What containers can be made of here."""

    runtimes: tuple[Runtime, ...]  # the preferred one first
    wanted: str  # the site's choice; "": the first
    namespaces: str  # why we get no user namespace; "": we get one
    squashfuse: bool  # whether image files can be mounted without privileges
    root: bool  # whether we are root
    where: str = "here"


@dataclass(frozen=True, slots=True)
class Probing:
    """What is wanted of a probe."""

    machine: str | None = None  # None: the site's default
    wait_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Probed:
    """What became of an element that was sent to look around."""

    via_daemon: bool  # it greets the daemon that serves the home; else a listener of ours
    shared: str  # the shared folder that it used
    job_id: str = ""
    node: str = ""  # where it began; "": we saw nothing of it
    after_s: float = 0.0  # since the submission
    waited_s: float = 0.0  # in vain
    state: str = ""  # in the batch system's words, where it told nothing
    reason: str = ""
    ended: bool = False  # it is over, and told nothing
    last_words: str = ""  # of its log
    found: Mapping[str, Any] | None = None  # as the agent's `look` writes it


@dataclass(frozen=True, slots=True)
class Door:
    """The first host on the way to a site: whether anything answers at its port."""

    host: str
    port: int
    further: tuple[str, ...] = ()  # hosts behind it, the site's own last
    took_s: float | None = None  # None: not asked, for only the user's ProxyCommand knows the way
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """What a program said that should be a Python."""

    words: str  # as the site file calls it
    version: tuple[int, int] | None  # None: it is no Python
    said: str = ""  # what it said instead


@dataclass(frozen=True, slots=True)
class Movers:
    """What a transfer between this machine and a site finds at both."""

    command: str = ""  # that reaches the site as transfers do; "" where the site is this machine
    rsync_here: str = ""  # its version; "" where there is none that will do
    rsync_there: str = ""
    checksum: str = ""  # that both compute
    noise: str = ""  # what the site's shell prints before a command
    problem: str = ""  # why nothing could be asked there
    todo: str = ""


@dataclass(frozen=True, slots=True)
class LoginNode:
    """What a login node tells of itself, at first."""

    host: str
    user: str
    uid: int
    shared: Place
    ahead_s: float | None  # of our clock to its; None: the way there takes too long to know
