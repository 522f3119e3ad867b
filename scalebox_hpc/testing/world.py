"""A whole world in one process: a daemon over a real ledger, a batch system, agents, a network, a clock.

Everything happens in one thread and in an order that depends on nothing outside, so a test that
failed fails again. The daemon may crash at any point and is started again over the same file,
agents may die, messages may be lost, doubled, delayed and overtake each other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from scalebox_hpc.daemon.core import Core
from scalebox_hpc.daemon.desk import SiteFacts
from scalebox_hpc.daemon.events import Call, Reply, Told
from scalebox_hpc.daemon.runs import Prepared
from scalebox_hpc.daemon.state import ACTIVE, RunPhase
from scalebox_hpc.domain.allocation import Ending, Launch, Phase
from scalebox_hpc.domain.pipeline import Pipeline
from scalebox_hpc.domain.site import Machine, Site
from scalebox_hpc.errors import LedgerAway
from scalebox_hpc.ledger.store import Row
from scalebox_hpc.testing.agent import Answered, Json, Play, SimulatedAgent
from scalebox_hpc.testing.batch import SimulatedBatch
from scalebox_hpc.testing.clock import NodeClock, VirtualClock
from scalebox_hpc.testing.hands import Hands
from scalebox_hpc.testing.ledger import Books, Faults, SqliteBooks
from scalebox_hpc.testing.network import Network
from scalebox_hpc.testing.process import DOWN_S, FULL_S, HOME, Process
from scalebox_hpc.testing.wrapper import Wrapper

SITE = Site(
    "sim",
    interval_s=5.0,
    lost_after_s=120.0,
    machines={"cpu": Machine("cpu", cpus=2, memory_mib=4096, default=True)},
)
START_S = 1.0  # from a submission to the start of its elements
SECONDS_PER_STEP = 3600.0
KILL_S = 30.0  # from SIGTERM to SIGKILL, of what was cancelled or has had its walltime


class Witness(Protocol):
    """Somebody who watches a world. What it raises ends the world."""

    def saw(self, what: str, *details: Any) -> None:
        """Note that something happened."""

    def turned(self) -> None:
        """Look at what a turn of the daemon, which is on disk, has made of everything."""


@dataclass(slots=True)
class World:
    """See the module's first lines. Times are seconds of the virtual clock."""

    folder: Path
    play: Play
    site: Site = SITE
    clock: VirtualClock = field(default_factory=VirtualClock)
    network: Network = field(default_factory=Network)
    faults: Faults = field(default_factory=Faults)
    batch: SimulatedBatch = field(default_factory=lambda: SimulatedBatch(HOME))
    books: Books = field(init=False)
    agents: dict[str, SimulatedAgent] = field(default_factory=dict)  # by incarnation, also those over
    spools: dict[str, list[Json]] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)  # incarnations whose spool cannot be read now
    ended_files: dict[str, Json] = field(default_factory=dict)  # last words of wrappers, by path
    hold_elements: bool = False  # elements stay pending
    nodes: Sequence[str] = ()  # an element starts on the first that is free; none: each index has its own
    broken_nodes: set[str] = field(default_factory=set)  # where no program starts
    full_nodes: set[str] = field(default_factory=set)  # whose disk is full
    scratch_mib: int = 1 << 20  # free on each node
    shared_is_full: bool = False  # neither spools nor last words can be written
    node_clocks: Mapping[str, NodeClock] = field(default_factory=dict)  # others are right
    agents_start: bool = True  # else their elements end before they say hello
    has_walltimes: bool = False  # elements end at their walltime, whatever runs in them
    daemon: Process = field(init=False)
    hands: Hands = field(init=False)
    queue_s: Callable[[], float] | None = None  # how long the next element waits; None: START_S
    witness: Witness | None = None
    born: int = 0  # agents, which are called by their number
    _submitted: int = 0

    def __post_init__(self) -> None:
        self.daemon = Process(self)
        self.hands = Hands(self)
        self.books = SqliteBooks(self.folder / "ledger.db")

    def saw(self, what: str, *details: Any) -> None:
        """Tell the witness, if there is one."""
        if self.witness is not None:
            self.witness.saw(what, *details)

    # the daemon

    @property
    def core(self) -> Core | None:
        """The daemon's memory and its turns; None while it is down."""
        return self.daemon.core

    @property
    def crashes(self) -> int:
        return self.daemon.crashes

    def start(self) -> None:
        """Start the daemon. See Process."""
        self.daemon.start()

    def crash(self, down_s: float = DOWN_S) -> None:
        """Kill the daemon. See Process."""
        self.daemon.crash(down_s)

    def end(self) -> None:
        """Close the ledger, for good."""
        self.daemon.end()

    # elements and agents

    def enqueue(self, name: str) -> None:
        """Let the elements of a new try start when it is their turn."""
        if self.queue_s is None:
            self.clock.after(START_S, partial(self.start_elements, name))
            return
        for index in self.batch.tries[name].elements:
            self.clock.after(self.queue_s(), partial(self.start_elements, name, index))

    def start_elements(self, name: str, *indices: int) -> None:
        """Let pending elements of a try start, each with an agent; all where none is named."""
        one = self.batch.tries.get(name)
        if one is None or self.hold_elements:
            return
        for index in indices or list(one.elements):
            seen = one.elements[index]
            if seen.phase is Phase.PENDING:
                self.batch.activate(name, index)
                if not self.agents_start:
                    self.saw("agent", f"of {name}[{index}]", "does not start")
                    self.batch.end(name, Ending.FAILED, index)
                    continue
                incarnation = self.new_incarnation()
                place = (name, index, seen.restarts, incarnation, one.job_id)
                walltime_s, node = one.request.walltime_s, self._free_node()
                agent = SimulatedAgent(self, *place, walltime_s=walltime_s, node=node)
                self.agents[incarnation] = agent
                self.saw("agent", agent, "starts")
                if self.has_walltimes:
                    self.clock.after(walltime_s, partial(self._time_is_up, agent))
                agent.hello()

    def new_incarnation(self) -> str:
        """What the next agent calls itself."""
        self.born += 1
        return f"{self.born:016x}"

    def _time_is_up(self, agent: SimulatedAgent) -> None:
        if not agent.over:
            self.saw("agent", agent, "has had its walltime")
            agent.terminate()
            self.clock.after(KILL_S, partial(self._kill_at_last, agent, Ending.WALLTIME))

    def _kill_at_last(self, agent: SimulatedAgent, ending: Ending) -> None:
        if not agent.over:
            self.kill(agent, word=False, ending=ending)

    def wall_us(self, node: str) -> int:
        """What the wall clock of a node says."""
        return self.node_clocks.get(node, NodeClock()).wall_us(self.clock)

    def _free_node(self) -> str:
        taken = {agent.node for agent in self.living()}
        return next((node for node in self.nodes if node not in taken), self.nodes[-1] if self.nodes else "")

    def terminate(self, name: str) -> None:
        """What was cancelled while it ran gets SIGTERM, and SIGKILL a little later."""
        for agent in self.living():
            seen = self.batch.tries[name].elements if name in self.batch.tries else {}
            listed = seen.get(agent.element)
            if agent.try_name == name and listed is not None and listed.phase is Phase.ENDED:
                self.saw("agent", agent, "is told to end")
                agent.terminate()
                self.clock.after(KILL_S, partial(self._kill_at_last, agent, Ending.CANCELLED))

    def living(self) -> list[SimulatedAgent]:
        """Agents whose process lives, oldest first."""
        return [agent for agent in self.agents.values() if not agent.over]

    def agent_over(self, agent: SimulatedAgent) -> None:
        """The agent's process has ended, its wrapper goes on."""
        self.saw("agent", agent, "is over")
        Wrapper(self, agent).begin()

    def is_current(self, agent: SimulatedAgent) -> bool:
        """Whether the batch system has not put the agent's element back in the queue meanwhile."""
        one = self.batch.tries.get(agent.try_name)
        return one is None or one.elements[agent.element].restarts == agent.restart

    def end_element(self, agent: SimulatedAgent, ending: Ending) -> None:
        """Let the batch system know that the script of an agent's element has ended."""
        if agent.try_name in self.batch.tries and self.is_current(agent) and not agent.is_stray:
            self.batch.end(agent.try_name, ending, agent.element)

    def kill(self, agent: SimulatedAgent, *, word: bool = True, ending: Ending | None = None) -> None:
        """Kill -9 an agent. `word`: its wrapper says so; `ending`: how the batch system puts it."""
        agent.over = agent.killed = True
        self.saw("agent", agent, f"is killed, {ending or 'unexplained'}")
        if word:
            self.agent_over(agent)
        elif ending is not None:
            self.end_element(agent, ending)

    def requeue(self, agent: SimulatedAgent) -> None:
        """Preempt an agent's element: it dies without a word and the element starts again later."""
        agent.over = agent.killed = True
        self.saw("agent", agent, "is put back in the queue")
        self.batch.requeue(agent.try_name, agent.element)
        self.clock.after(START_S, partial(self.start_elements, agent.try_name))

    # messages

    def ask(self, verb: str, args: Json, answered: Answered, timeout_s: float) -> None:
        """Send a request; `answered` is called for each copy that comes back, or with 0 at the end."""
        self.network.carry(self, verb, args, answered, timeout_s)

    # the link to a remote site

    def cut(self, why: str = "the cable is out", todo: str = "") -> None:
        """Lose the link to the site: nobody there is heard, and the daemon is told."""
        self.saw("link", why)
        self.network.is_cut = True
        self.daemon.tell(Told("link", self.link_news(why, todo)))

    def mend(self) -> None:
        """Let the link be up again."""
        self.saw("link", "is up")
        self.network.is_cut = False
        self.daemon.tell(Told("link", self.link_news()))

    def link_news(self, why: str = "the cable is out", todo: str = "") -> Mapping[str, Any]:
        """What a hand says of the link as it is."""
        news = {"site": self.site.name, "up": not self.network.is_cut, "begun": True}
        return {**news, "why": "", "todo": ""} if news["up"] else {**news, "why": why, "todo": todo}

    # a person

    @property
    def runs_folder(self) -> Path:
        """Where each run has a directory with what its tasks share."""
        return self.folder / "shared" / "runs"

    def accept(self, pipeline: Pipeline, seeds: Sequence[tuple[str, str]], name: str = "run-1") -> None:
        """Submit a run, again if the daemon crashed before it was accepted."""
        for _ in range(10):
            reply = self.submit(pipeline, seeds, name)
            self._have_a_daemon()
            if reply.status == 200 or self._read("run_by_name", name):
                return
        raise AssertionError("the run was not accepted")

    def submit(self, pipeline: Pipeline, seeds: Sequence[tuple[str, str]], name: str = "run-1") -> Reply:
        """Submit a run once."""
        self._submitted += 1
        path = self.folder / f"{name}.{self._submitted}.jsonl"
        path.write_text("".join(json.dumps([to, body, None]) + "\n" for to, body in seeds))
        shared = self.runs_folder / name / "shared"
        shared.mkdir(parents=True, exist_ok=True)
        sites = self.site_facts(sorted({self.site.name, *(pool.site for pool in pipeline.pools.values())}))
        folders = dict.fromkeys(sites, str(shared))
        prepared = Prepared(name, pipeline, sites, folders, "/results", str(path))
        self._have_a_daemon()
        reply: list[Reply] = []
        call = Call("run.submit", {}, reply.append)
        self.daemon.submit(call, Told("prepared", {"call": call, "prepared": prepared}))
        self.run(until=lambda: bool(reply))
        return reply[0]

    def site_facts(self, names: Iterable[str]) -> dict[str, SiteFacts]:
        """What the files of sites say now: the same of all, but that the others are on this machine."""
        launch = Launch(HOME, self.site.shared or str(self.folder / "shared"), "python3")
        return {
            name: SiteFacts(
                self.site if name == self.site.name else replace(self.site, name=name, ssh=None), launch
            )
            for name in names
        }

    def command(self, verb: str, **args: Any) -> Reply:
        """Do what a person's command asks of the daemon, again where it says so; return the answer."""
        while True:
            reply: list[Reply] = []
            self._have_a_daemon()
            self.daemon.arrive(Call(verb, args, reply.append))
            self.run(until=lambda: bool(reply))  # noqa: B023  it is over when the next begins
            if reply[0].status != 503 or "retry_s" not in reply[0].body:
                return reply[0]
            self.run(for_s=FULL_S)

    def _have_a_daemon(self) -> None:
        """Wait until one is there, and start it where it has left, as every command does."""
        if self.daemon.has_left:
            self.start()
        self.run(until=lambda: self.core is not None)

    def phase(self, name: str = "run-1") -> RunPhase | None:
        """Where a run stands; None while the daemon is down, or has lost its ledger and not noticed."""
        rows = self._read("run_by_name", name)
        return RunPhase(rows[0][2]) if rows else None

    def _read(self, name: str, *params: Any) -> list[Row] | None:
        try:
            return self.core.store.rows(name, params) if self.core is not None else None
        except LedgerAway:
            return None

    # time

    def run(self, for_s: float | None = None, until: Callable[[], bool] | None = None) -> None:
        """Let the world go on, for a time or until something is so. Raises AssertionError after an hour."""
        limit_s = self.clock.mono_s + (SECONDS_PER_STEP if for_s is None else for_s)
        while until is None or not until():
            if self.daemon.next_s() <= self.clock.mono_s:
                self.daemon.turn()
                continue
            next_s = min(self.clock.next_s(), self.daemon.next_s())
            if next_s > limit_s:
                self.clock.advance(limit_s)
                break
            self.clock.advance(next_s)
        else:
            return
        assert for_s is not None, f"nothing came of it within {SECONDS_PER_STEP:.0f} s"

    def finish(self, name: str = "run-1") -> RunPhase:
        """Let the world go on until a run is over and its agents are gone; return how it ended."""
        self._have_a_daemon()
        self.run(until=lambda: (phase := self.phase(name)) is not None and phase not in ACTIVE)
        phase = self.phase(name)
        self.run(until=self._is_tidy)
        assert phase is not None
        return phase

    def _is_tidy(self) -> bool:
        if self.core is None or self.living() or self.batch.alive():
            return False
        return self._read("open_allocations") == []
