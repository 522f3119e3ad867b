"""One turn of the daemon: what was learnt goes in, decisions are written, what is to be done comes out.

A turn is one transaction. It acts on nothing: answers and commands are handed out when the
transaction is on disk, so a turn that is cut short anywhere never happened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Final

from scalebox_hpc.daemon import allocating, cancelling, endings, loading, runs, silence, waiting
from scalebox_hpc.daemon.desk import Command, Desk, Ids
from scalebox_hpc.daemon.events import Call, Reply, Told
from scalebox_hpc.daemon.handlers import HANDLERS, run_resume
from scalebox_hpc.daemon.refusal import refusal
from scalebox_hpc.daemon.state import ACTIVE, Now, RunState, World
from scalebox_hpc.domain.allocation import Listing
from scalebox_hpc.domain.task import TaskState
from scalebox_hpc.errors import SbxError
from scalebox_hpc.ledger.store import Store

SLICE_S: Final = 0.02  # of one turn, for seeds and chunks
DECIDE_EVERY_S: Final = 0.25
LOST_EVERY_S: Final = 5.0
IDLE_EXIT_S: Final = 600.0
LEAVING_GRACE_S: Final = 20.0


@dataclass(slots=True)
class Outcome:
    """What a turn wants done, once it is on disk."""

    replies: list[tuple[Call, Reply]]
    commands: list[Command]


@dataclass(slots=True)
class Settings:
    """What a daemon is told at its start."""

    home_id: str
    home_path: str
    epoch: str
    token_of: Callable[[str], str]  # an incarnation's token
    facts: Mapping[str, Any]  # of `sbx daemon status`: version, pid, host, address...
    read_log: Callable[[str, int, int], bytes]  # path, offset, length
    find_frame: Callable[[str, str, str, str], tuple[str, int, None] | None]  # of an attempt under way
    read_spool: Callable[[str, str], list[Any] | None]
    last_words: Callable[[str, str, int], str]
    rss_mib: Callable[[], float]
    ledger_bytes: Callable[[], int]
    stopwatch: Callable[[], float] = perf_counter  # seconds, for slices of a turn


@dataclass(slots=True)
class Timers:
    """When things are due, monotonic."""

    decide_s: float = 0.0
    lost_s: float = 0.0
    idle_since_s: float | None = None
    leave_by_s: float | None = None  # set while the daemon is asked to stop its runs


@dataclass(slots=True)
class Core:
    """The daemon's memory and its turns."""

    store: Store
    settings: Settings
    desk: Desk = field(init=False)
    books: dict[str, allocating.SiteBook] = field(default_factory=dict)
    timers: Timers = field(default_factory=Timers)
    turns: int = 0
    stopping: bool = False
    last: Now | None = None  # the clocks of the turn before
    more: bool = False  # seeds or chunks wait: the next turn is due at once

    def load(self, now: Now) -> None:
        """Read memory from the ledger: at the start, and after a commit that failed."""
        settings = self.settings
        newest = self.store.one("newest_time")
        assert newest is not None
        now = self.last = _steady(now, self.last or Now(newest[0], now.mono_s))
        self.desk = Desk(
            *(self.store, World(), Ids(), settings.home_id, settings.home_path, settings.epoch, now),
            *(settings.read_spool, settings.last_words),
        )
        loading.load_world(self.desk)
        for book in self.books.values():
            book.looking = False

    def turn(self, events: Sequence[Call | Told], now: Now) -> Outcome:
        """Take in what happened and decide. Raises what the ledger raises; then `load` again."""
        desk = self.desk
        now = self.last = _steady(now, self.last or now)
        desk.now, desk.commands, desk.replies, desk.paged = now, [], [], 0
        self.turns += 1
        with self.store.transaction():
            for event in events:
                if isinstance(event, Call):
                    self._call(event)
                else:
                    self._told(event)
            self._advance()
            self._save()
        for run in desk.world.runs.values():
            self._answer_watchers(run)
        return Outcome(desk.replies, desk.commands)

    def _call(self, call: Call) -> None:
        """Handle one request; an error of ours becomes its answer."""
        try:
            HANDLERS[call.verb](self, call)
        except SbxError as error:
            self.desk.replies.append((call, refusal(error)))

    def _told(self, told: Told) -> None:
        desk, data = self.desk, told.data
        match told.kind:
            case "submitted":
                allocating.submitted(desk, data["name"], data["job_id"], self.book(data["site"]))
            case "refused" | "limited" | "failed" | "unconfirmed":
                allocating.not_submitted(desk, data["name"], data["why"], told.kind, self.book(data["site"]))
            case "listing":
                self._listed(data["site"], data["listing"], endings.read(data["endings"]))
            case "cancel failed":
                cancelling.failed(desk, data["names"], data["why"])
            case "leftovers":
                endings.take_in(desk, endings.read(data["endings"]))
                runs.remove_folders(desk, data["folders"])
            case "prepared":
                self._accept(data["call"], data["prepared"], again=bool(data.get("again")))
            case "compared":
                run_resume.compared(self, data["call"], data["sites"])
            case "answer":
                desk.replies.append((data["call"], data["reply"]))
        self.timers.decide_s = 0.0

    def _listed(self, site: str, listing: Listing, words: Sequence[endings.Word]) -> None:
        """Take in a look: first what ended unheard, as its try may be over by the listing.

        How others ended the batch system may know better than the wrapper.
        """
        desk = self.desk
        heard = [(path, said) for path, said in words if said.incarnation in desk.world.agents]
        endings.take_in(desk, [each for each in words if each not in heard])
        allocating.listed(desk, site, listing, self.books)
        endings.take_in(desk, heard)

    def _accept(self, call: Call, prepared: runs.Prepared, *, again: bool) -> None:
        try:
            run = runs.create(self.desk, prepared, again=again)
        except SbxError as error:
            self.desk.replies.append((call, refusal(error)))
        else:
            self.desk.answer(call, {"run": run.name})

    def book(self, site: str) -> allocating.SiteBook:
        return self.books.setdefault(site, allocating.SiteBook())

    def _advance(self) -> None:
        """Everything that follows from what the ledger says now."""
        desk, now = self.desk, self.desk.now
        if now.mono_s >= self.timers.lost_s:
            self.timers.lost_s = now.mono_s + LOST_EVERY_S
            silence.lost_agents(desk, self.books)
            desk.store.run("dead_chunks", (100,))
        self._turn_slices()
        self._settle()
        if now.mono_s >= self.timers.decide_s:
            self.timers.decide_s = now.mono_s + DECIDE_EVERY_S
            allocating.decide(desk, self.books, leaving=self.leaving)
            self._settle()  # a run all of whose pools were paused just now
        allocating.look(desk, self.books)
        waiting.answer(desk, self.turns)

    def _settle(self) -> None:
        for run in list(self.desk.world.runs.values()):
            if run.touched:
                runs.settle(self.desk, run)

    @property
    def leaving(self) -> bool:
        return self.timers.leave_by_s is not None

    def _turn_slices(self) -> None:
        """Seeds, chunks and broken modules, in slices, for a few milliseconds."""
        desk, stopwatch = self.desk, self.settings.stopwatch
        began_s, self.more = stopwatch(), True
        while stopwatch() - began_s < SLICE_S:
            if not (self._turn_one_seed() or runs.turn_chunk(desk) or self._fail_one_slice()):
                self.more = False
                return

    def _turn_one_seed(self) -> bool:
        seeding = [run for run in self.desk.world.runs.values() if run.seeding and run.phase in ACTIVE]
        return any([runs.turn_seeds(self.desk, run) for run in seeding])

    def _fail_one_slice(self) -> bool:
        restless = [module for module in self.desk.world.modules.values() if module.restless]
        return any([runs.fail_restless(self.desk, module) for module in restless])

    def _save(self) -> None:
        """Write the counters that changed."""
        rows = []
        for module in self.desk.world.modules.values():
            if module.dirty:
                module.dirty = False
                counts = [module.counts[state] for state in TaskState]
                rows.append(
                    (module.next_n, *counts, module.ignored, *module.streak, module.broken, module.module_id)
                )
        if rows:
            self.store.many("save_module", rows)

    def _answer_watchers(self, run: RunState) -> None:
        """Answer those who wait for news of a run."""
        from scalebox_hpc.daemon.handlers.run_status import status

        if run.touched:
            run.touched = False
            run.version += 1
        now_s = self.desk.now.mono_s
        waiting = []
        for call, version, deadline_s in run.watchers:
            if run.version > version or now_s >= deadline_s:
                self.desk.answer(call, status(self, run))
            else:
                waiting.append((call, version, deadline_s))
        run.watchers = waiting

    def interrupt(self, now: Now, reason: str) -> list[str]:
        """Begin an orderly end: no new leases, runs INTERRUPTED. Returns the names of the runs."""
        desk = self.desk
        now = self.last = _steady(now, self.last or now)
        desk.now, desk.commands, desk.replies = now, [], []
        with self.store.transaction():
            names = runs.interrupt(desk, reason)
        self.timers.leave_by_s = now.mono_s + LEAVING_GRACE_S
        return names

    def cancel_allocations(self, now: Now) -> list[Command]:
        """Give back all allocations, for an orderly end."""
        self.desk.now, self.desk.commands = now, []
        for pool in self.desk.world.pools.values():
            allocating.cancel_all(self.desk, pool)
        return self.desk.commands

    def idle_for_s(self, now: Now) -> float:
        """For how long nothing has been open."""
        world = self.desk.world
        busy = world.agents or any(run.phase in ACTIVE for run in world.runs.values())
        busy = busy or any(run.watchers for run in world.runs.values())
        if busy or self.timers.idle_since_s is None:
            self.timers.idle_since_s = now.mono_s
        return now.mono_s - self.timers.idle_since_s

    def next_due_s(self, now: Now) -> float:
        """How long the loop may wait for events, in seconds; 0: not at all."""
        if self.more:
            return 0.0
        world = self.desk.world
        times = [now.mono_s + 60.0]
        times += [due_s] if (due_s := waiting.next_due_s(world)) is not None else []
        times += [deadline for run in world.runs.values() for _, _, deadline in run.watchers]
        look_s = allocating.next_look_s(self.desk, self.books)
        times += [look_s] if look_s is not None else []
        if world.agents:
            times.append(self.timers.lost_s)
        if any(run.phase in ACTIVE for run in world.runs.values()):
            times += self._due_tasks(now)
            times += [pool.hold_until_s for pool in world.pools.values() if pool.holds(now.mono_s)]
            if self._has_work():
                times += self._avoided(now)
            if any(pool.state == "ok" and not pool.allocations for pool in world.pools.values()):
                times.append(self.timers.decide_s if self._has_work() else now.mono_s + 60.0)
        return max(0.0, min(times) - now.mono_s)

    def _avoided(self, now: Now) -> list[float]:
        """When what was kept from agents or nodes for a while may be given to them again."""
        world = self.desk.world
        until = [until_s for agent in world.agents.values() for until_s in agent.avoids.values()]
        until += [shun.until_s for pool in world.pools.values() for shun in pool.shuns.values()]
        return [until_s for until_s in until if until_s > now.mono_s]

    def _has_work(self) -> bool:
        return any(module.counts[TaskState.READY] for module in self.desk.world.modules.values())

    def _due_tasks(self, now: Now) -> list[float]:
        return [
            now.mono_s + max(0.0, (module.due_us - now.wall_us) / 1e6)
            for module in self.desk.world.modules.values()
            if module.due_us > now.wall_us and module.counts[TaskState.READY] and module.run.phase in ACTIVE
        ]


def _steady(now: Now, last: Now) -> Now:
    """The clocks, but that the wall never steps back: tasks are due by it, and attempts are read by it."""
    if now.wall_us >= last.wall_us:
        return now
    return Now(last.wall_us + round((now.mono_s - last.mono_s) * 1e6), now.mono_s)
