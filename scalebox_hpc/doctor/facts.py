"""What can be known of this machine and site, as values: asked by `ask`, judged by `judge`."""

from __future__ import annotations

from dataclasses import dataclass

from scalebox_hpc.daemon.home import Home
from scalebox_hpc.errors import SbxError
from scalebox_hpc.holder import Holder


@dataclass(frozen=True, slots=True)
class Place:
    """A directory, or where one would be made."""

    path: str
    exists: bool
    problem: str = ""  # why no file can be made there
    file_system: str = ""  # as the kernel calls it
    free_mib: int = 0
    links: bool = True  # hard links, which locks are made by
    locks: bool = True  # of parts of files, which the ledger needs


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
