"""A whole world in one process: a daemon over a real ledger, a batch system, agents, a network, a clock.

Everything happens in one thread and in an order that depends on nothing outside, so a test that
failed fails again. The daemon may crash at any point and is started again over the same file,
agents may die, messages may be lost, doubled, delayed and overtake each other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from scalebox_hpc.daemon.core import Core, Outcome, Settings
from scalebox_hpc.daemon.desk import SiteFacts
from scalebox_hpc.daemon.events import Call, Reply, Told
from scalebox_hpc.daemon.leftovers import run_folders
from scalebox_hpc.daemon.runs import Prepared
from scalebox_hpc.daemon.state import ACTIVE, RunPhase
from scalebox_hpc.domain.allocation import Ending, Launch, Phase
from scalebox_hpc.domain.pipeline import Pipeline
from scalebox_hpc.domain.site import Machine, Site
from scalebox_hpc.errors import LedgerAway, StorageFull
from scalebox_hpc.ledger.store import Row
from scalebox_hpc.testing.agent import Answered, Json, Play, SimulatedAgent
from scalebox_hpc.testing.batch import Crash, SimulatedBatch
from scalebox_hpc.testing.clock import VirtualClock
from scalebox_hpc.testing.hands import Hands
from scalebox_hpc.testing.ledger import Books, Faults, FaultyStore, SqliteBooks
from scalebox_hpc.testing.network import Network
from scalebox_hpc.testing.wrapper import Wrapper

HOME = "0123456789abcdef"
SITE = Site(
    "sim",
    interval_s=5.0,
    lost_after_s=120.0,
    machines={"cpu": Machine("cpu", cpus=2, memory_mib=4096, default=True)},
)
START_S = 1.0  # from a submission to the start of its elements
DOWN_S = 3.0  # from a crash of the daemon to its next start
FULL_S = 2.0  # after a turn that could not be written
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
    has_walltimes: bool = False  # elements end at their walltime, whatever runs in them
    hands: Hands = field(init=False)
    commit_s: Callable[[], float] | None = None  # how long the next commit takes; None: no time
    queue_s: Callable[[], float] | None = None  # how long the next element waits; None: START_S
    stopwatch: Callable[[], float] = lambda: (
        0.0
    )  # a turn takes no time: how busy this machine is changes nothing
    witness: Witness | None = None
    core: Core | None = None
    crashes: int = 0
    full: int = 0  # turns that could not be written, or were not known to be
    lives: int = 0  # starts of the daemon
    crashed_s: float = 0.0  # when it was killed last
    _submitted: int = 0
    _inbox: list[Call | Told] = field(default_factory=list)
    _open: list[Call] = field(default_factory=list)  # asked, not yet answered: broken by a crash
    _due_s: float = 0.0
    _rests_until_s: float = 0.0  # after a turn that could not be written
    _busy: bool = False  # a commit takes its time

    def __post_init__(self) -> None:
        self.hands = Hands(self)
        self.books = SqliteBooks(self.folder / "ledger.db")

    def saw(self, what: str, *details: Any) -> None:
        """Tell the witness, if there is one."""
        if self.witness is not None:
            self.witness.saw(what, *details)

    # the daemon

    def start(self) -> None:
        """Start the daemon over the ledger, which is made if there is none."""
        if self.core is not None:
            return
        self.lives += 1
        epoch = f"{self.lives:08x}"
        self.saw("start", epoch)
        self.hands.start()
        store = FaultyStore(self.books.open(), self.faults)
        try:
            with store.transaction():
                if store.one("home") is None:
                    store.run("add_home", (HOME, str(self.folder), epoch, self.clock.wall_us))
                else:
                    store.run("open_home", (str(self.folder), epoch))
            self.core = Core(store, self._settings(epoch))
            self.core.load(self.clock.now())
            folders, endings = run_folders(str(self.runs_folder.parent)), list(self.ended_files.items())
            self.tell(Told("leftovers", {"folders": folders, "endings": endings}))
        except (
            Crash,
            LedgerAway,
            StorageFull,
        ) as problem:  # it ends, and is started again
            store.close()
            self.crash(FULL_S if isinstance(problem, StorageFull) else DOWN_S)
        self._due_s = 0.0

    def crash(self, down_s: float = DOWN_S) -> None:
        """Kill the daemon: memory and open requests are gone. It comes back after `down_s`."""
        self.crashes += 1
        self.saw("crash")
        self.crashed_s, self._busy = self.clock.mono_s, False
        if self.core is not None:
            self.core.store.close()
        self.core = None
        self._inbox.clear()
        broken, self._open = self._open, []
        for call in broken:
            call.answer(Reply(0, {}))
        self.clock.after(down_s, self.start)

    def end(self) -> None:
        """Close the ledger, for good."""
        if self.core is not None:
            self.core.store.close()

    def _settings(self, epoch: str) -> Settings:
        return Settings(
            home_id=HOME,
            home_path=str(self.folder),
            epoch=epoch,
            token_of=lambda incarnation: incarnation,
            facts={"started_us": self.clock.wall_us},
            read_log=lambda path, offset, length: b"",
            find_frame=lambda shared, incarnation, lease, stream: None,
            read_spool=self._read_spool,
            last_words=lambda shared, try_name, element: "",
            rss_mib=lambda: 0.0,
            ledger_bytes=lambda: 0,
            stopwatch=lambda: self.stopwatch(),
        )

    def _read_spool(self, shared: str, incarnation: str) -> list[Any] | None:
        if incarnation in self.unreadable:
            self.saw("unreadable", incarnation)
            return None
        return list(self.spools.get(incarnation, []))

    def tell(self, told: Told) -> None:
        """Bring the daemon word from a hand."""
        if self.core is not None:
            self.saw("told", told)
            self._inbox.append(told)

    def _turn(self) -> None:
        """One turn of the daemon, as its wheel makes it."""
        assert self.core is not None
        events, self._inbox = self._inbox, []
        try:
            outcome = self.core.turn(events, self.clock.now())
        except Crash:
            self.crash()
        except (StorageFull, LedgerAway) as error:
            self._forget(events, error)
        else:
            if self.witness is not None:
                self.witness.turned()
            slow_s = self.commit_s() if self.commit_s is not None else 0.0
            if slow_s:
                self._busy = True
                self.clock.after(slow_s, partial(self._act, outcome, self.lives))
            else:
                self._act(outcome, self.lives)

    def _act(self, outcome: Outcome, life: int) -> None:
        """What is on disk is answered and done, unless the daemon was killed meanwhile."""
        if self.lives != life or self.core is None:
            return
        self._busy = False
        try:
            for call, reply in outcome.replies:
                self._answer(call, reply)
            for command in outcome.commands:
                self.hands.carry_out(command)
        except Crash:
            self.crash()
        if self.core is not None:
            self._due_s = self.clock.mono_s + max(self.core.next_due_s(self.clock.now()), 0.001)

    def _forget(self, events: Sequence[Call | Told], error: StorageFull | LedgerAway) -> None:
        """A turn could not be written, or is not known to be: all who asked ask again."""
        assert self.core is not None
        self.full += 1
        self.saw("full")
        if isinstance(error, LedgerAway):
            self.core.store.reopen()
        for call in [each for each in self._open if each.verb != "run.submit"]:
            self._answer(call, Reply(503, {"retry_s": FULL_S}))
        self.core.load(self.clock.now())
        self._inbox += [event.once_more() for event in events if isinstance(event, Told)]
        self._due_s = self._rests_until_s = self.clock.mono_s + FULL_S

    def _answer(self, call: Call, reply: Reply) -> None:
        if call in self._open:
            self._open.remove(call)
            self.saw("answer", call, reply)
            call.answer(reply)

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
                incarnation = f"{len(self.agents) + 1:016x}"
                place = (name, index, seen.restarts, incarnation, one.job_id)
                walltime_s, node = one.request.walltime_s, self._free_node()
                agent = SimulatedAgent(self, *place, walltime_s=walltime_s, node=node)
                self.agents[incarnation] = agent
                self.saw("agent", agent, "starts")
                if self.has_walltimes:
                    self.clock.after(walltime_s, partial(self._time_is_up, agent))
                agent.hello()

    def _time_is_up(self, agent: SimulatedAgent) -> None:
        if not agent.over:
            self.saw("agent", agent, "has had its walltime")
            agent.terminate()
            self.clock.after(KILL_S, partial(self._kill_at_last, agent, Ending.WALLTIME))

    def _kill_at_last(self, agent: SimulatedAgent, ending: Ending) -> None:
        if not agent.over:
            self.kill(agent, word=False, ending=ending)

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

    def arrive(self, call: Call) -> None:
        """A request is there; nobody answers while the daemon is down."""
        if self.core is None:
            call.answer(Reply(0, {}))
            return
        self.saw("call", call)
        self._open.append(call)
        self._inbox.append(call)

    # a person

    @property
    def runs_folder(self) -> Path:
        """Where each run has a directory with what its tasks share."""
        return self.folder / "shared" / "runs"

    def accept(self, pipeline: Pipeline, seeds: Sequence[tuple[str, str]], name: str = "run-1") -> None:
        """Submit a run, again if the daemon crashed before it was accepted."""
        for _ in range(10):
            reply = self.submit(pipeline, seeds, name)
            self.run(until=lambda: self.core is not None)
            assert self.core is not None
            if reply.status == 200 or self._read("run_by_name", name):
                return
        raise AssertionError("the run was not accepted")

    def submit(self, pipeline: Pipeline, seeds: Sequence[tuple[str, str]], name: str = "run-1") -> Reply:
        """Submit a run once."""
        self._submitted += 1
        path = self.folder / f"{name}.{self._submitted}.jsonl"
        path.write_text("".join(json.dumps([to, body, None]) + "\n" for to, body in seeds))
        launch = Launch(HOME, str(self.folder / "shared"), "python3")
        shared = self.runs_folder / name / "shared"
        shared.mkdir(parents=True, exist_ok=True)
        prepared = Prepared(
            name, pipeline, {self.site.name: SiteFacts(self.site, launch)}, {self.site.name: str(shared)},
            "/results", str(path),
        )  # fmt: skip
        self.run(until=lambda: self.core is not None)
        reply: list[Reply] = []
        call = Call("run.submit", {}, reply.append)
        self._open.append(call)
        self._inbox.append(Told("prepared", {"call": call, "prepared": prepared}))
        self.run(until=lambda: bool(reply))
        return reply[0]

    def command(self, verb: str, **args: Any) -> Reply:
        """Do what a person's command asks of the daemon, again where it says so; return the answer."""
        while True:
            reply: list[Reply] = []
            self.run(until=lambda: self.core is not None)
            self.arrive(Call(verb, args, reply.append))
            self.run(until=lambda: bool(reply))  # noqa: B023  it is over when the next begins
            if reply[0].status != 503 or "retry_s" not in reply[0].body:
                return reply[0]
            self.run(for_s=FULL_S)

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
            turns = self.core is not None and not self._busy and self.clock.mono_s >= self._rests_until_s
            if turns and (self._inbox or self.clock.mono_s >= self._due_s):
                self._turn()
                continue
            due_s = max(self._due_s, self._rests_until_s) if self.core is not None else float("inf")
            next_s = min(self.clock.next_s(), due_s if not self._busy else float("inf"))
            if next_s > limit_s:
                self.clock.advance(limit_s)
                break
            self.clock.advance(next_s)
        else:
            return
        assert for_s is not None, f"nothing came of it within {SECONDS_PER_STEP:.0f} s"

    def finish(self, name: str = "run-1") -> RunPhase:
        """Let the world go on until a run is over and its agents are gone; return how it ended."""
        self.run(until=lambda: (phase := self.phase(name)) is not None and phase not in ACTIVE)
        phase = self.phase(name)
        self.run(until=self._is_tidy)
        assert phase is not None
        return phase

    def _is_tidy(self) -> bool:
        if self.core is None or self.living() or self.batch.alive():
            return False
        return self._read("open_allocations") == []
