"""What one turn of the daemon works with: ledger, memory, clocks, and what is to be done after.

Nothing here acts on the world. Answers and commands are collected and carried out by the loop
once the turn's transaction is on disk.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from scalebox_hpc.daemon.events import Call, Reply
from scalebox_hpc.daemon.log import Happened
from scalebox_hpc.daemon.meters import Meters
from scalebox_hpc.daemon.reading import LogPiece
from scalebox_hpc.daemon.state import Now, RunState, World
from scalebox_hpc.domain.allocation import AllocationRequest, CancelTarget, Launch
from scalebox_hpc.domain.image import Image
from scalebox_hpc.domain.site import Site
from scalebox_hpc.ledger.store import Store
from scalebox_hpc.sites.depot import Depot

WARNINGS: Final = frozenset(
    {"run.failed", "run.interrupted", "run.paused", "pool.paused", "agent.disk", "agent.spool"}
    | {"site.down", "site.failed"}
    | {"allocation.refused", "allocation.superseded", "allocation.cancel_failed"}
)
"""Events of the log that a person may want to look at; the others say how work goes on."""


@dataclass(frozen=True, slots=True)
class Submit:
    """Ask a site for an allocation."""

    site: str
    request: AllocationRequest
    most: int | None  # submissions a minute that the site bears of one user; None: any number


@dataclass(frozen=True, slots=True)
class Observe:
    """Look at a site's queue."""

    site: str
    expected: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cancel:
    """Give allocations back."""

    site: str
    targets: tuple[CancelTarget, ...]


@dataclass(frozen=True, slots=True)
class Prepare:
    """Read a pipeline's files, ship them, spool its seeds; the answer comes as word from a hand."""

    call: Call
    taken: frozenset[str]  # names of the runs that there are


@dataclass(frozen=True, slots=True)
class Compare:
    """Read a pipeline again to see which modules changed, before a run is resumed."""

    call: Call
    run: str
    pipeline: str  # its directory
    digests: Mapping[str, str]
    sites: tuple[str, ...]  # that the run uses
    again: Mapping[str, Any]  # what the pipeline was read with: file, parameters, site
    images: Mapping[str, Image]  # by module: what the run began with
    remote: frozenset[str] = frozenset()  # modules whose images are at a remote site


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete a directory or a file of our own that nobody needs any more."""

    site: str  # where it is; "": on this machine
    path: str


@dataclass(frozen=True, slots=True)
class Clear:
    """Delete the files of a run that is to go, by their names in all our folders; then say so."""

    run_id: int
    run: str = ""  # its folders and its seeds
    results: str = ""  # the directory with them
    agents: tuple[tuple[int, str], ...] = ()  # agent_id, incarnation
    tries: tuple[tuple[int, str], ...] = ()  # try_id, name
    sites: tuple[str, ...] = ()  # at which the run was


@dataclass(frozen=True, slots=True)
class Measure:
    """Add up the files that runs have, for an answer to who asks what would go."""

    call: Call
    body: Mapping[str, Any]
    orders: tuple[Clear, ...]  # one for each of its `runs`


@dataclass(frozen=True, slots=True)
class Sweep:
    """Delete logs that nobody has written to since, but for those of these agents and tries."""

    before_s: float  # since 1970
    spare: frozenset[str]


@dataclass(frozen=True, slots=True)
class Publish:
    """Write what is counted to a file, and say that it is done."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Connect:
    """Let the agents of a remote site reach us, until it is said otherwise."""

    site: str


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Nobody needs the relay of a remote site any more."""

    site: str


@dataclass(frozen=True, slots=True)
class Fetch:
    """Read what an agent of a remote site left in its spool."""

    site: str
    incarnation: str


@dataclass(frozen=True, slots=True)
class AskWords:
    """Read what a silent element of a remote site printed last, for the reason of a paused pool."""

    site: str
    pool_id: int
    try_name: str
    element: int


@dataclass(frozen=True, slots=True)
class ReadLog:
    """Read a piece of a log at a remote site, for an answer."""

    call: Call
    site: str
    asked: LogPiece


AtSite = Submit | Observe | Cancel | Connect | Disconnect | Fetch | AskWords | ReadLog
WithFiles = Prepare | Compare | Remove | Clear | Measure | Sweep | Publish
Command = AtSite | WithFiles


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """A site as this daemon uses it."""

    site: Site
    launch: Launch
    array_limit: int = 1001
    cpus: int | None = None  # of this machine, for `local`: the most all pools may use
    memory_mib: int | None = None
    read_us: int = 0  # when its file was taken as it stands; 0: an older release did
    read_s: float = 0.0  # when it was read, by the clock of this daemon; 0: an earlier daemon did

    @property
    def is_remote(self) -> bool:
        """Whether it is reached through ssh."""
        return self.site.ssh is not None

    @property
    def is_here(self) -> bool:
        """Whether its elements are processes of this machine, with no queue before them."""
        return self.cpus is not None and self.memory_mib is not None

    def most_memory_mib(self, machine: str | None) -> int | None:
        """The most memory that an element of a machine, else of the default one, can have; None: unknown."""
        found = self.site.default_machine() if machine is None else self.site.machines.get(machine)
        return (found.memory_mib if found is not None else None) or self.memory_mib


@dataclass(slots=True)
class Ids:
    """The next number of each kind. Only the daemon writes, so it may count by itself."""

    task: int = 0
    message: int = 0
    attempt: int = 0
    part: int = 0
    allocation: int = 0
    run: int = 0
    agent: int = 0
    try_: int = 0
    module: int = 0
    pool: int = 0

    def at_least(self, other: Ids) -> None:
        """Give out only numbers above these."""
        for kind in self.__slots__:
            setattr(self, kind, max(getattr(self, kind), getattr(other, kind)))

    def take(self, kind: str, count: int = 1) -> int:
        """Reserve `count` numbers and return the first."""
        first = int(getattr(self, kind)) + 1
        setattr(self, kind, first + count - 1)
        return first


@dataclass(slots=True)
class Desk:
    """What one turn works with."""

    store: Store
    world: World
    ids: Ids
    home_id: str
    home_path: str
    epoch: str
    now: Now
    depot_of: Callable[[str], Depot]  # a shared folder on this machine
    sites: dict[str, SiteFacts] = field(default_factory=dict)
    commands: list[Command] = field(default_factory=list)
    replies: list[tuple[Call, Reply]] = field(default_factory=list)
    meters: Meters = field(default_factory=Meters)
    happened: list[Happened] = field(default_factory=list)
    paged: int = 0  # rows of members and missing that were read in this turn

    def answer(self, call: Call, body: Mapping[str, Any], status: int = 200) -> None:
        """Answer a call once the turn is on disk."""
        self.replies.append((call, Reply(status, body)))

    def event(self, thing: str, thing_id: int, what: str, detail: str = "") -> None:
        """Keep what happened to a run, an allocation or an agent."""
        self.store.run("add_event", (self.now.wall_us, thing, thing_id, what, detail))
        run = self.world.runs.get(thing_id) if thing == "run" else None
        self.tell(f"{thing}.{what}", **{thing: run.name if run else thing_id}, note=detail)

    def tell(self, event: str, **fields: Any) -> None:
        """Have something in the log once the turn is on disk."""
        name = event.lower().replace(" ", "_")
        level = logging.WARNING if name in WARNINGS else logging.INFO
        self.happened.append(Happened(name, level, {key: said for key, said in fields.items() if said != ""}))

    def save_run(self, run: RunState) -> None:
        """Write where a run stands."""
        self.store.run("save_run", (run.phase, run.reason, run.ended_us, run.run_id))
        self.event("run", run.run_id, run.phase, run.reason)
        self.meters.runs[run.phase] += 1
        run.touched = True
