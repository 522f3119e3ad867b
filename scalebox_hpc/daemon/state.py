"""What the daemon keeps in memory: everything but the tasks.

It is read from the ledger at the start and after a failed commit, and changed only beside the
ledger, in the same turn. Its size depends on runs, modules and agents, never on tasks.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from scalebox_hpc.daemon.events import Call
from scalebox_hpc.domain.allocation import AllocationRequest, ElementSeen, Phase, TrySeen
from scalebox_hpc.domain.image import Image
from scalebox_hpc.domain.pipeline import Gather, Module, Pipeline, Ranks
from scalebox_hpc.domain.pipeline import Pool as PoolSpec
from scalebox_hpc.domain.task import Cause, TaskState
from scalebox_hpc.engine.burst import PlaceFacts
from scalebox_hpc.engine.closing import Graph, Standing, depths, graph_of, upstream
from scalebox_hpc.engine.dispatch import Room
from scalebox_hpc.engine.keys import Keys
from scalebox_hpc.engine.launches import Shun, Streak, one_more
from scalebox_hpc.engine.pools import LostDisk
from scalebox_hpc.engine.rates import Durations, Rate
from scalebox_hpc.engine.session import Session
from scalebox_hpc.wire.messages import Times


class Now(NamedTuple):
    """The clocks of one turn: the wall for the record, the monotonic one for waiting."""

    wall_us: int
    mono_s: float


class RunPhase(StrEnum):
    """Where a run stands."""

    LOADING = "LOADING"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    INTERRUPTED = "INTERRUPTED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


NO_ROOM = Room(0, 0)
INFRA_STREAK = 10  # agents that ended at work, with no success between, make a pool wait
HOLD_S, HOLD_MOST_S = 30.0, 600.0
ACTIVE = (RunPhase.LOADING, RunPhase.RUNNING)
ENDED = (RunPhase.SUCCEEDED, RunPhase.FAILED, RunPhase.CANCELLED)
STATES = tuple(TaskState)


@dataclass(slots=True)
class ModuleState:
    """One module of a run: what it is, and how many tasks it has in each state."""

    module_id: int
    run: RunState
    spec: Module
    sheet: dict[str, Any]
    depth: int
    next_n: int
    counts: dict[TaskState, int]
    ignored: int = 0
    streak: Streak = field(default_factory=Streak)  # of launch failures
    broken: str = ""
    given_up: dict[str, str] = field(default_factory=dict)  # of several sites, where it would not start: why
    streaks: dict[str, Streak] = field(default_factory=dict)  # of several sites: of launch failures at each
    done_at: Counter[str] = field(default_factory=Counter)  # of several sites: tasks that succeeded at each
    chunks: int = 0  # recorded, sent by it, not yet turned into tasks
    waiting_parts: int = 0  # parts open or changed
    fired_once: bool = False  # a part of it was fired
    due_us: int = 0  # nothing of it is to be had before then
    raised_mib: int = 0  # the most memory that a retry gave to one of its tasks
    durations: Durations = field(default_factory=Durations)
    rate: Rate = field(default_factory=Rate)
    causes: tuple[int, float, dict[str, int]] = (0, -1e9, {})  # bad tasks, when counted, why
    dirty: bool = False  # its row is to be written
    restless: bool = False  # READY tasks are to be failed, because it is broken
    rooms: dict[int | None, Room] = field(default_factory=dict)  # what tasks need, by their raised memory
    told: dict[int | None, dict[str, Any]] = field(default_factory=dict)  # the same, as offers say it
    feeds: ModuleState | None = None  # of a transfer: the module to one of whose sites it brings files
    feeders: list[ModuleState] = field(default_factory=list)  # the other way round
    places: tuple[PlaceFacts, ...] = ()  # of several sites: what the last decision knew of each

    @property
    def image(self) -> Image | None:
        """What its tasks run in; None on the bare host, and in runs older than the image store."""
        return self.spec.stored

    @property
    def image_digest(self) -> str:
        """Of that image; "" for none."""
        return self.image.digest if self.image is not None else ""

    @property
    def gather(self) -> Gather | None:
        return self.spec.gather

    @property
    def open_tasks(self) -> int:
        counts = self.counts
        return counts[TaskState.READY] + counts[TaskState.LEASED] + counts[TaskState.RUNNING]

    @property
    def to_fire(self) -> bool:
        if self.gather is None:
            return False
        return self.waiting_parts > 0 or (self.gather.by == "all" and not self.fired_once)

    def standing(self) -> Standing:
        return Standing(self.open_tasks, self.chunks, self.to_fire)

    def needs(self, memory_mib: int | None = None) -> Room:
        """What one task takes of an agent's room."""
        room = self.rooms.get(memory_mib)
        if room is None:
            needs = self.spec.taken
            room = Room(needs.cpus, memory_mib or needs.memory_mib, needs.gpus, needs.scratch_mib)
            self.rooms[memory_mib] = room
        return room

    def resources(self, memory_mib: int | None = None) -> Mapping[str, Any]:
        """What one task takes, as its offer says it; the same object each time."""
        told = self.told.get(memory_mib)
        if told is None:
            told = dataclasses.asdict(self.needs(memory_mib)) | {"time_s": self.spec.resources.time_s}
            self.told[memory_mib] = told
        return told

    @property
    def placed(self) -> bool:
        """Whether a lease of its tasks depends on a site: where their files are, or are to be brought."""
        return self.spec.bound or self.feeds is not None

    def launch_failed(self, node: str) -> None:
        """Count a launch failure."""
        self.streak = one_more(self.streak, node)
        self.dirty = True

    def sheet_at(self, site: str) -> dict[str, Any]:
        """What agents of a site are told of it."""
        at_sites: Mapping[str, dict[str, Any]] = self.sheet.get("sites", {})
        return at_sites.get(site, self.sheet)

    def succeeded_at(self, site: str, count: int = 1) -> None:
        """Note that it works there, and how often it did."""
        if self.spec.places:
            self.streaks.pop(site, None)
            self.done_at[site] += count

    def took(self, times: Times) -> None:
        """Note how long a task of it ran."""
        if times.started and times.ended:
            self.durations.add(max(0.0, (times.ended - times.started) / 1e6))

    def moved(self, source: TaskState | None, target: TaskState, count: int = 1) -> None:
        """Note that tasks came, or changed state."""
        if source is not None:
            self.counts[source] -= count
        self.counts[target] += count
        self.dirty = True
        self.restless = self.restless or (target is TaskState.READY and bool(self.broken))
        self.run.touched = True


@dataclass(slots=True)
class RunState:
    """One run that is not over, or that somebody asks about."""

    run_id: int
    name: str
    phase: RunPhase
    reason: str
    open: bool
    pipeline: Pipeline
    results: str
    shared: Mapping[str, str]  # by site: the run's shared directory
    seed_path: str
    seed_offset: int
    seed_count: int
    created_us: int
    started_us: int | None = None
    ended_us: int | None = None
    keys: Keys = Keys.SHORT_AS_THEY_ARE
    modules: dict[str, ModuleState] = field(default_factory=dict)
    graph: Graph = ()
    depths: dict[int, int] = field(default_factory=dict)  # by module_id
    closed: frozenset[str] = frozenset()
    notes: deque[str] = field(default_factory=lambda: deque(maxlen=20))
    version: int = 1
    touched: bool = True
    watchers: list[tuple[Call, int, float]] = field(default_factory=list)  # call, version, deadline mono_s

    def link(self) -> None:
        """Work out the graph, once the modules are there."""
        self.graph = graph_of({name: module.spec.to for name, module in self.modules.items()})
        for module in self.modules.values():
            inserted = module.spec.inserted
            if inserted is not None and inserted.way == "in" and self.modules[inserted.of].spec.bound:
                module.feeds = self.modules[inserted.of]
                module.feeds.feeders.append(module)
        for name, depth in depths(self.graph).items():
            self.modules[name].depth = depth
            self.depths[self.modules[name].module_id] = depth

    def upstream(self, module: ModuleState) -> list[ModuleState]:
        """The modules that can reach this one."""
        return [self.modules[name] for name in sorted(upstream(self.graph)[module.spec.name])]

    @property
    def seeding(self) -> bool:
        return self.seed_offset >= 0

    def depth_of(self, module_id: int) -> int:
        """How far downstream a module lies; 0 for one that is not of this run."""
        return self.depths.get(module_id, 0)

    def note(self, text: str) -> None:
        """Keep a line for people; the same one is kept once."""
        if text not in self.notes:
            self.notes.append(text)
            self.touched = True


@dataclass(slots=True)
class TryState:
    """One try at submitting an allocation."""

    try_id: int
    allocation_id: int
    try_n: int
    name: str
    state: str
    job_id: str
    heard: bool
    created_us: int
    since_s: float  # monotonic: when this daemon first knew of it
    reason: str = ""
    seen: TrySeen | None = None
    absent_since_s: float | None = None  # complete listings lack it since then
    hellos: set[int] = field(default_factory=set)  # elements that said hello
    ended: dict[int, ElementSeen | None] = field(default_factory=dict)  # elements over

    def is_listed_pending(self, index: int) -> bool:
        """Not so for what started while no daemon was there, and whose agent is about to say hello."""
        seen = self.seen.elements.get(index) if self.seen is not None else None
        return seen is not None and seen.phase is Phase.PENDING


@dataclass(slots=True)
class AllocationState:
    """One job array that we asked for."""

    allocation_id: int
    pool_id: int
    request: AllocationRequest
    tries: dict[int, TryState] = field(default_factory=dict)  # by try_n
    cancelled: set[int] = field(default_factory=set)

    @property
    def newest(self) -> TryState:
        return self.tries[max(self.tries)]


@dataclass(slots=True)
class PoolState:
    """Allocations of one machine shape that serve modules of a run."""

    pool_id: int
    run: RunState
    spec: PoolSpec
    modules: list[ModuleState]
    state: str = "ok"
    reason: str = ""
    hello_less: int = 0
    silent: tuple[str, int] | None = None  # the last such one: try, element
    disk_endings: int = 0  # agents that left for the sake of a disk, with no success between
    lost_disk: LostDisk | None = None  # of the last of them
    pause_until_s: float | None = None
    infra_streak: int = 0  # agents that ended at work, with no success between
    allocations: dict[int, AllocationState] = field(default_factory=dict)
    cancelled_at_s: float | None = None  # when surplus elements were last given back
    asked: int = 0  # elements of the last submission
    backlog_at_submit: int = 0
    full_since_s: float | None = None  # monotonic: tasks wait, and it can have no more elements
    hold_until_s: float = 0.0  # no leases before, because the infrastructure ended too many attempts
    holds_in_row: int = 0
    shuns: dict[tuple[int, str], Shun] = field(default_factory=dict)  # by module_id and node
    over: bool = False  # nothing can come for it any more, as of the last turn

    @property
    def ranks(self) -> Ranks | None:
        """Of the one module, of kind "mpi", that has this pool for itself."""
        return self.modules[0].spec.ranks if self.modules else None

    def serves(self, module: ModuleState) -> bool:
        """Whether a module's tasks may run in it."""
        return self.run is module.run and self.spec.name in module.spec.pools

    @property
    def has_work(self) -> bool:
        """Whether a task of it waits for a lease, or for files that come to one of its sites."""
        return any(
            each.counts[TaskState.READY]
            for module in self.modules
            if module.feeds is None  # it waits for the pools of that module
            for each in (module, *module.feeders)
        )

    def holds(self, mono_s: float) -> bool:
        """Tell whether the pool waits for the infrastructure to mend."""
        return mono_s < self.hold_until_s

    def agent_lost(self, mono_s: float) -> bool:
        """Count an agent that ended at work; tell whether the pool begins to wait."""
        self.infra_streak += 1
        if self.infra_streak < INFRA_STREAK:
            return False
        self.infra_streak = 0
        self.hold_until_s = mono_s + min(HOLD_S * 2.0**self.holds_in_row, HOLD_MOST_S)
        self.holds_in_row += 1
        return True

    def went_well(self) -> None:
        """An attempt succeeded."""
        self.infra_streak = self.holds_in_row = self.disk_endings = 0


class Parting(NamedTuple):
    """Why an agent of a remote site is over, while its spool is fetched."""

    cause: Cause
    why: str
    ending: str  # "": the cause
    since_s: float  # monotonic


@dataclass(slots=True)
class AgentState:
    """One incarnation that has not ended."""

    agent_id: int
    incarnation: str
    pool: PoolState
    try_id: int
    allocation_id: int
    element: int
    restart: int
    node: str
    room: Room  # all it may use
    heard_s: float  # monotonic: last word, or the daemon's start
    excused_s: float = 0.0  # of the silence since: the whole site was silent
    session: Session = field(default_factory=Session)
    free: Room = NO_ROOM
    prefetch: Mapping[int, int] = field(default_factory=dict)
    walltime_left_s: float | None = None
    walltime_at_s: float = 0.0
    leaving: bool = False
    told: str = "work"  # what the last answer told it to do
    dead: set[str] = field(default_factory=set)  # leases to be killed, until it stops listing them
    parked: tuple[Call, int, float] | None = None  # the sync that waits: call, number, deadline mono_s
    acks: dict[str, list[str]] = field(default_factory=dict)
    answer_now: bool = False
    avoids: dict[int, float] = field(default_factory=dict)  # left to other agents of its node, until when
    parting: Parting | None = None  # it is over, and its spool is being fetched
    fetched: list[Any] | None = None  # what was in its spool
    full_for: frozenset[int] = frozenset()  # modules with work for which it had no room, since it last spoke

    def heard(self, mono_s: float) -> None:
        """It said something."""
        self.heard_s, self.excused_s = mono_s, 0.0


class Poll(NamedTuple):
    """A sync that waits, or did, for its answer."""

    deadline_s: float  # monotonic
    agent: AgentState
    number: int

    @property
    def is_open(self) -> bool:
        """Whether it has no answer yet."""
        return self.agent.parked is not None and self.agent.parked[1] == self.number


@dataclass(slots=True)
class Removal:
    """A run that is to go."""

    run_id: int
    name: str
    modules: list[int]
    results: str  # the directory that goes too; "": it stays
    sites: tuple[str, ...] = ()  # where it had pools
    waits: bool = False  # for files to be deleted


@dataclass(slots=True)
class World:
    """Everything in memory."""

    runs: dict[int, RunState] = field(default_factory=dict)
    modules: dict[int, ModuleState] = field(default_factory=dict)
    pools: dict[int, PoolState] = field(default_factory=dict)
    tries: dict[str, TryState] = field(default_factory=dict)  # by name, all that are not over
    allocations: dict[int, AllocationState] = field(default_factory=dict)
    agents: dict[str, AgentState] = field(default_factory=dict)  # by incarnation
    removals: dict[int, Removal] = field(default_factory=dict)  # by run_id
    polls: deque[Poll] = field(default_factory=deque)  # in order of their deadlines
    stirred: dict[str, AgentState] = field(default_factory=dict)  # to be looked at in this turn
    has_chunks: bool = True  # recorded ones may wait to be turned

    def stir(self, agent: AgentState) -> None:
        """Have a waiting agent looked at before the turn ends: there may be news for it."""
        self.stirred[agent.incarnation] = agent

    def agents_of(self, try_id: int, element: int | None = None) -> list[AgentState]:
        """The living agents of a try, or of one of its elements."""
        return [
            agent
            for agent in self.agents.values()
            if agent.try_id == try_id and (element is None or agent.element == element)
        ]

    def has_agents(self, site: str) -> bool:
        """Whether an agent is held for alive there. Looks no farther than to the first."""
        return any(agent.pool.spec.site == site for agent in self.agents.values())

    def serves_elsewhere(self, module: ModuleState, node: str) -> bool:
        """Tell whether an agent of another node serves a module."""
        return any(
            agent.node != node and agent.pool.serves(module) and agent.pool.spec.site not in module.given_up
            for agent in self.agents.values()
        )
