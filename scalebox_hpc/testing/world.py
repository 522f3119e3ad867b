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
from typing import Any

from scalebox_hpc.daemon.core import Core, Settings
from scalebox_hpc.daemon.desk import Cancel, Command, Compare, Observe, Remove, SiteFacts, Submit
from scalebox_hpc.daemon.events import Call, Reply, Told
from scalebox_hpc.daemon.leftovers import remove, run_folders
from scalebox_hpc.daemon.runs import Prepared
from scalebox_hpc.daemon.state import ACTIVE, RunPhase
from scalebox_hpc.domain.allocation import Ending, Launch, Phase
from scalebox_hpc.domain.pipeline import Pipeline
from scalebox_hpc.domain.site import Machine, Site
from scalebox_hpc.errors import (
    LedgerAway,
    SbxError,
    StorageFull,
    SubmitLimited,
    SubmitRefused,
    SubmitUnconfirmed,
)
from scalebox_hpc.ledger.store import Row
from scalebox_hpc.testing.agent import Answered, Json, Play, SimulatedAgent
from scalebox_hpc.testing.batch import Crash, SimulatedBatch
from scalebox_hpc.testing.clock import VirtualClock
from scalebox_hpc.testing.ledger import Books, Faults, FaultyStore, SqliteBooks

HOME = "0123456789abcdef"
SITE = Site(
    "sim",
    interval_s=5.0,
    lost_after_s=120.0,
    machines={"cpu": Machine("cpu", cpus=2, memory_mib=4096, default=True)},
)
LATENCY_S = 0.01
START_S = 1.0  # from a submission to the start of its elements
DOWN_S = 3.0  # from a crash of the daemon to its next start
LAST_WORD_S = 10.0  # for which a wrapper tries to say that its agent ended
FULL_S = 2.0  # after a turn that could not be written
SECONDS_PER_STEP = 3600.0
KINDS = ((SubmitRefused, "refused"), (SubmitLimited, "limited"), (SubmitUnconfirmed, "unconfirmed"))


@dataclass(slots=True)
class Network:
    """What becomes of messages: each arrives after LATENCY_S, but for those that `mischief` is for."""

    mischief: list[Sequence[float]] = field(default_factory=list)  # per message: a delay for each copy
    deaf: set[str] = field(default_factory=set)  # incarnations whose messages are lost, both ways

    def copies(self, incarnation: str) -> Sequence[float]:
        """Return the delay of each copy of the next message; none where it is lost."""
        if incarnation in self.deaf:
            return ()
        return self.mischief.pop(0) if self.mischief else (LATENCY_S,)


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
    core: Core | None = None
    crashes: int = 0
    full: int = 0  # turns that could not be written, or were not known to be
    _starts: int = 0
    _submitted: int = 0
    _inbox: list[Call | Told] = field(default_factory=list)
    _open: list[Call] = field(default_factory=list)  # asked, not yet answered: broken by a crash
    _due_s: float = 0.0

    def __post_init__(self) -> None:
        self.books = SqliteBooks(self.folder / "ledger.db")

    # the daemon

    def start(self) -> None:
        """Start the daemon over the ledger, which is made if there is none."""
        if self.core is not None:
            return
        self._starts += 1
        epoch = f"{self._starts:08x}"
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
            self._inbox.append(Told("leftovers", {"folders": folders, "endings": endings}))
        except (Crash, LedgerAway):
            store.close()
            self.crash()
        self._due_s = 0.0

    def crash(self, down_s: float = DOWN_S) -> None:
        """Kill the daemon: memory and open requests are gone. It comes back after `down_s`."""
        self.crashes += 1
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
        )

    def _read_spool(self, shared: str, incarnation: str) -> list[Any] | None:
        return None if incarnation in self.unreadable else list(self.spools.get(incarnation, []))

    def _turn(self) -> None:
        """One turn of the daemon, as its wheel makes it."""
        assert self.core is not None
        events, self._inbox = self._inbox, []
        try:
            outcome = self.core.turn(events, self.clock.now())
            for call, reply in outcome.replies:
                self._answer(call, reply)
            for command in outcome.commands:
                self._carry_out(command)
        except Crash:
            self.crash()
        except (StorageFull, LedgerAway) as error:
            self.full += 1
            if isinstance(error, LedgerAway):
                self.core.store.reopen()
            for call in [each for each in self._open if each.verb != "run.submit"]:
                self._answer(call, Reply(503, {"retry_s": FULL_S}))
            self.core.load(self.clock.now())
            self._inbox += [event.once_more() for event in events if isinstance(event, Told)]
            self._due_s = self.clock.mono_s + FULL_S
            return
        if self.core is not None:
            self._due_s = self.clock.mono_s + max(self.core.next_due_s(self.clock.now()), 0.001)

    def _answer(self, call: Call, reply: Reply) -> None:
        if call in self._open:
            self._open.remove(call)
            call.answer(reply)

    def _carry_out(self, command: Command) -> None:
        """What the daemon's hands do, at once and in order; each is a point before and after."""
        match command:
            case Submit():
                self._submit(command)
            case Observe():
                self.faults.point("before observe")
                listing = self.batch.observe(command.expected)
                self.faults.point("after observe")
                data = {"site": command.site, "listing": listing, "endings": list(self.ended_files.items())}
                self._inbox.append(Told("listing", data))
            case Cancel():
                self._cancel(command)
            case Remove():
                self.faults.point("before remove")
                if self.ended_files.pop(command.path, None) is None:
                    remove(command.path)
            case Compare():
                self._inbox.append(Told("compared", {"call": command.call, "sites": {}}))

    def _cancel(self, command: Cancel) -> None:
        names = tuple(target.name for target in command.targets)
        self.faults.point("before cancel")
        try:
            self.batch.cancel(command.targets)
        except SbxError as error:
            self._inbox.append(Told("cancel failed", {"names": names, "why": error.fact}))
        for name in names:
            self._terminate(name)
        self.faults.point("after cancel")

    def _submit(self, command: Submit) -> None:
        name, data = command.request.name, {"name": command.request.name, "site": command.site}
        self.faults.point("before submit")
        try:
            job_id = self.batch.submit(command.request)
        except SbxError as error:
            kind = next((word for of, word in KINDS if isinstance(error, of)), "failed")
            self._inbox.append(Told(kind, {**data, "why": error.fact}))
        else:
            self._inbox.append(Told("submitted", {**data, "job_id": job_id}))
        finally:
            if name in self.batch.tries:
                self.clock.after(START_S, partial(self.start_elements, name))
        self.faults.point("after submit")

    # elements and agents

    def start_elements(self, name: str) -> None:
        """Let the pending elements of a try start, each with an agent."""
        one = self.batch.tries.get(name)
        if one is None or self.hold_elements:
            return
        for index, seen in list(one.elements.items()):
            if seen.phase is Phase.PENDING:
                self.batch.activate(name, index)
                incarnation = f"{len(self.agents) + 1:016x}"
                place = (name, index, seen.restarts, incarnation, one.job_id)
                walltime_s, node = one.request.walltime_s, self._free_node()
                agent = SimulatedAgent(self, *place, walltime_s=walltime_s, node=node)
                self.agents[incarnation] = agent
                agent.hello()

    def _free_node(self) -> str:
        taken = {agent.node for agent in self.living()}
        return next((node for node in self.nodes if node not in taken), self.nodes[-1] if self.nodes else "")

    def _terminate(self, name: str) -> None:
        """What was cancelled while it ran gets SIGTERM."""
        for agent in self.living():
            seen = self.batch.tries[name].elements if name in self.batch.tries else {}
            if agent.try_name == name and seen[agent.element].phase is Phase.ENDED:
                agent.terminate()

    def living(self) -> list[SimulatedAgent]:
        """Agents whose process lives, oldest first."""
        return [agent for agent in self.agents.values() if not agent.over]

    def agent_over(self, agent: SimulatedAgent) -> None:
        """The wrapper's part: it says, or leaves in a file, that its agent ended."""
        said = {
            "try": agent.try_name,
            "element": agent.element,
            "incarnation": agent.incarnation,
            "restart": agent.restart,
            "status": 0,
        }
        until_s = self.clock.mono_s + LAST_WORD_S
        told: list[bool] = []

        def say() -> None:
            if told:
                return
            if self.clock.mono_s >= until_s:
                self.ended_files[f"ended/{agent.incarnation}.json"] = said
                self.batch.end(agent.try_name, Ending.DONE, agent.element)
                return
            self.ask("agent.ended", said, answered, 2.0)

        def answered(status: int, _: Json) -> None:
            if status != 200:
                self.clock.after(1.0, say)
            elif not told:
                told.append(True)
                self.batch.end(agent.try_name, Ending.DONE, agent.element)

        say()

    def kill(self, agent: SimulatedAgent, *, word: bool = True, ending: Ending | None = None) -> None:
        """Kill -9 an agent. `word`: its wrapper says so; `ending`: how the batch system puts it."""
        agent.over = True
        if word:
            self.agent_over(agent)
        elif ending is not None:
            self.batch.end(agent.try_name, ending, agent.element)

    def requeue(self, agent: SimulatedAgent) -> None:
        """Preempt an agent's element: it dies without a word and the element starts again later."""
        agent.over = True
        self.batch.requeue(agent.try_name, agent.element)
        self.clock.after(START_S, partial(self.start_elements, agent.try_name))

    # messages

    def ask(self, verb: str, args: Json, answered: Answered, timeout_s: float) -> None:
        """Send a request; `answered` is called for each copy that comes back, or with 0 at the end."""
        incarnation, came = str(args.get("incarnation", "")), [False]
        body = json.dumps(args)  # as it is now, and as it looks after the wire

        def back(reply: Reply) -> None:
            for delay_s in self.network.copies(incarnation):
                self.clock.after(delay_s, partial(deliver, reply.status, json.dumps(reply.body)))

        def deliver(status: int, text: str) -> None:
            came[0] = True
            answered(status, json.loads(text))

        def give_up() -> None:
            if not came[0]:
                deliver(0, "{}")

        for delay_s in self.network.copies(incarnation):
            self.clock.after(delay_s, lambda: self._arrive(Call(verb, json.loads(body), back)))
        self.clock.after(timeout_s, give_up)

    def _arrive(self, call: Call) -> None:
        if self.core is None:
            call.answer(Reply(0, {}))
            return
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
            self._arrive(Call(verb, args, reply.append))
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
            if self.core is not None and (self._inbox or self.clock.mono_s >= self._due_s):
                self._turn()
                continue
            next_s = min(self.clock.next_s(), self._due_s if self.core is not None else float("inf"))
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
