"""What agents and the daemon say to each other, as data.

It neither reads nor writes JSON (see codec) and decides nothing. Times are microseconds UTC of
the clock of whoever names them; sizes are MiB, durations seconds. What comes by the hundred is
a named tuple, which is made, compared and hashed about five times as fast as a frozen dataclass.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from scalebox_hpc.domain.progress import Progress
from scalebox_hpc.domain.task import Lease
from scalebox_hpc.errors import BadMessage

BODY_LIMIT: Final = 64 << 10  # UTF-8 bytes of a message's body
HEADERS_LIMIT: Final = 16 << 10  # UTF-8 bytes of all names and values of a message
KEY_LIMIT: Final = 4 << 10  # UTF-8 bytes of the header sbx_key
TAIL_LIMIT: Final = 1 << 20  # characters of one tail
TEXT_LIMIT: Final = 64 << 10  # characters of any other text
NOTE_LIMIT: Final = 4 << 10
UNIT_LIMIT: Final = 16  # characters of the unit of a progress
LIST_LIMIT: Final = 100_000  # entries of any list in one request

_LEASE: Final = re.compile(r"([0-9]{1,18})\.([0-9a-f]{8})\.([0-9]{1,18})").fullmatch
_LEASES: Final = re.compile(r"(?:[0-9]{1,18}\.[0-9a-f]{8}\.[0-9]{1,18} )*").fullmatch


class Outcome(StrEnum):
    """What came of an attempt."""

    OK = "ok"
    FAILED = "failed"


class Leaving(StrEnum):
    """Why an agent is about to end; it is made no offers any more."""

    IDLE = "idle"
    WALLTIME = "walltime"
    DRAIN = "drain"
    TERM = "term"
    DISK = "disk"  # a disk of its node is full, broken or read-only: no task can be started there


class Do(StrEnum):
    """What the daemon wants of an agent."""

    WORK = "work"
    DRAIN = "drain"  # take no more, finish, leave
    LEAVE = "leave"  # kill what runs, leave


def lease_id(text: object) -> Lease:
    """Read `<task_id>.<epoch, 8 hex digits>.<number>`; raises BadMessage.

    >>> lease_id("17.00c0ffee.2")
    Lease(task_id=17, epoch='00c0ffee', number=2)
    """
    match = _LEASE(text) if type(text) is str else None
    if match is None:
        raise BadMessage(f"lease: {text!r:.60} is not a lease")
    task_id, epoch, number = match.groups()
    return Lease(int(task_id), epoch, int(number))


def are_leases(texts: Collection[str]) -> bool:
    """Whether all of these are leases as text. Cheap: agents list what they hold in each of their syncs."""
    joined = " ".join(texts)
    return not texts or (joined.count(" ") == len(texts) - 1 and _LEASES(joined + " ") is not None)


@dataclass(frozen=True, slots=True)
class Resources:
    """What tasks run on; `time_s` only where a single task is meant."""

    cpus: int = 0
    memory_mib: int = 0
    gpus: int = 0
    scratch_mib: int = 0
    time_s: float | None = None


@dataclass(frozen=True, slots=True)
class Hello:
    """An agent's first word: who it is, and what its element has."""

    home: str
    try_name: str
    element: int
    incarnation: str
    restart: int
    node: str
    pid: int
    total: Resources
    walltime_left_s: float | None
    runtimes: Mapping[str, str]  # container runtimes and their versions
    python: str
    version: str
    clock_us: int
    job_id: str | None
    nodes: int = 1  # that its element spans; `node` is the first of them


@dataclass(frozen=True, slots=True)
class Welcome:
    """The answer to a hello."""

    do: Do
    reason: str = ""
    token: str = ""  # the incarnation's
    resources: Resources = Resources()  # what the agent may use in all
    idle_s: float = 30.0
    lost_after_s: float = 900.0
    spool_after_s: float = 60.0
    poll_s: float = 25.0
    prefetch_s: float = 2.0


class Message(NamedTuple):
    """One message that a task sent: the module it is for, its body, the headers its program wrote."""

    to: str
    body: str
    headers: Mapping[str, str]


class Times(NamedTuple):
    """When an attempt passed its stations, microseconds UTC of the agent's clock; 0: not told."""

    received: int = 0
    setup: int = 0
    check: int = 0
    container: int = 0
    started: int = 0
    ended: int = 0
    collected: int = 0
    reported: int = 0


class Log(NamedTuple):
    """Where an attempt's full output is: segment files and byte offsets."""

    out_path: str
    out_start: int
    out_end: int
    err_path: str
    err_start: int
    err_end: int


class Result(NamedTuple):
    """The report of one attempt. `messages` are all of them, or `chunks` says how many were sent ahead."""

    lease: Lease
    outcome: Outcome
    cause: str | None  # of a failure
    exit_code: int | None
    signal: int | None
    note: str
    slot: int
    cpu_user_s: float
    cpu_system_s: float
    max_rss_mib: float
    input_bytes: int
    output_bytes: int
    user_text: str
    user_times: Mapping[str, str]
    times: Times
    stdout: str
    stderr: str
    stdout_cut: bool
    stderr_cut: bool
    log: Log | None
    image: str
    messages: tuple[Message, ...]
    chunks: int


@dataclass(frozen=True, slots=True)
class Sync:
    """What an agent says again and again: what it holds, what came of it, and what it has room for."""

    incarnation: str
    number: int
    took: int  # the newest answer that the agent acted on; 0: none
    clock_us: int
    wait: bool  # the answer may be parked until there is news
    held: Mapping[str, bool]  # leases taken whose result is not acknowledged, as text: whether started
    results: tuple[Result, ...]
    free: Resources
    prefetch: Mapping[int, int]  # module id -> how many more tasks it would hold unstarted
    walltime_left_s: float | None
    leaving: Leaving | None
    reason: str = ""  # more of why it leaves, for people
    progress: Mapping[str, Progress] = field(default_factory=dict)  # by lease as text; of some that run


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a gather task's files will hold."""

    members: int
    missing: int
    generation: int


@dataclass(frozen=True, slots=True)
class Offer:
    """One lease that the agent may take, with all it needs to start beside the module's sheet."""

    lease: Lease
    module: int
    task: str  # `count.17`
    attempt: int
    body: str
    headers: Mapping[str, str]
    resources: Resources
    gather: Gathered | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a sync."""

    sync: int
    superseded: bool = False
    offers: tuple[Offer, ...] = ()
    recorded: tuple[Lease, ...] = ()
    refused: tuple[Lease, ...] = ()
    dead: tuple[Lease, ...] = ()
    do: Do = Do.WORK
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Messages sent ahead of the report they belong to."""

    incarnation: str
    lease: Lease
    seq: int  # from 0
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class SheetRequest:
    """The agent asks for a module's sheet."""

    incarnation: str
    module: int


@dataclass(frozen=True, slots=True)
class MembersPage:
    """The agent asks for a page of a gather task's members, or of what is missing."""

    incarnation: str
    lease: Lease
    after: int  # the id after which the page begins; 0: the first page
    missing: bool
    limit: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The wrapper's word that an incarnation is over and its processes are swept."""

    try_name: str
    element: int
    incarnation: str
    restart: int
    status: int


@dataclass(frozen=True, slots=True)
class SpoolLine:
    """One line of a spool: a result or one of its chunks, and whose it is."""

    incarnation: str
    content: Result | Chunk
