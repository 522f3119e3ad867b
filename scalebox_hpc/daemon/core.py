"""One turn of the daemon: what was learnt goes in, decisions are written, what is to be done comes out.

A turn is one transaction. It acts on nothing: answers and commands are handed out when the
transaction is on disk, so a turn that is cut short anywhere never happened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Final

from scalebox_hpc.daemon import (
    allocating,
    cancelling,
    endings,
    links,
    loading,
    looking,
    removing,
    runs,
    silence,
    talking,
    waiting,
)
from scalebox_hpc.daemon.desk import Command, Desk, Ids, Publish, SiteFacts
from scalebox_hpc.daemon.events import Call, Reply, Told
from scalebox_hpc.daemon.handlers import HANDLERS, run_resume
from scalebox_hpc.daemon.log import Happened
from scalebox_hpc.daemon.meters import Meters
from scalebox_hpc.daemon.refusal import refusal
from scalebox_hpc.daemon.state import ACTIVE, Now, RunState, World
from scalebox_hpc.domain.allocation import Listing
from scalebox_hpc.domain.task import TaskState
from scalebox_hpc.errors import ConflictError, LedgerAway, SbxError, StorageFull
from scalebox_hpc.ledger.store import Store
from scalebox_hpc.sites.depot import Depot

SLICE_S: Final = 0.02  # of one turn, for seeds and chunks
DECIDE_EVERY_S: Final = 0.25
LOST_EVERY_S: Final = 5.0
RETENTION_EVERY_S: Final = 3600.0
PUBLISH_EVERY_S: Final = 15.0
IDLE_EXIT_S: Final = 600.0
LEAVING_GRACE_S: Final = 20.0
GOES_ON: Final = ("run.submit", "run.resume", "run.retry")  # what lets a run go on


@dataclass(slots=True)
class Outcome:
    """What a turn wants done, once it is on disk."""

    replies: list[tuple[Call, Reply]]
    commands: list[Command]
    happened: list[Happened]  # for the log


@dataclass(slots=True)
class Settings:
    """What a daemon is told at its start."""

    home_id: str
    home_path: str
    epoch: str
    token_of: Callable[[str], str]  # an incarnation's token
    facts: Mapping[str, Any]  # of `sbx daemon status`: version, pid, host, address...
    depot_of: Callable[[str], Depot]  # a shared folder on this machine
    rss_mib: Callable[[], float]
    ledger_bytes: Callable[[], int]
    is_copy: bool = False  # the home is: what it has of runs may be the original's too
    waiting: Callable[[], int] = lambda: 0  # events that no turn has taken yet
    metrics_file: str | None = None  # where they are written every few seconds
    keep_runs_s: float | None = None  # for how long a run stays that is over; None: for ever
    keep_logs_s: float | None = None  # the same of what tasks and elements printed
    stopwatch_s: Callable[[], float] = perf_counter  # bounds the slices of a turn, times commits


@dataclass(slots=True)
class Timers:
    """When things are due, monotonic."""

    decide_s: float = 0.0
    lost_s: float = 0.0
    retention_s: float = 0.0
    metrics_s: float = 0.0
    idle_since_s: float | None = None
    leave_by_s: float | None = None  # set while the daemon is asked to stop its runs


@dataclass(slots=True)
class Core:
    """The daemon's memory and its turns."""

    store: Store
    settings: Settings
    desk: Desk = field(init=False)
    books: dict[str, looking.SiteBook] = field(default_factory=dict)
    timers: Timers = field(default_factory=Timers)
    ids: Ids = field(default_factory=Ids)  # none is given out twice in one epoch
    meters: Meters = field(default_factory=Meters)
    publishing: bool = False  # the metrics are being written to their file
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
            *(self.store, World(), self.ids, settings.home_id, settings.home_path, settings.epoch, now),
            settings.depot_of,
            meters=self.meters,
        )
        loading.load_world(self.desk)
        for book in self.books.values():
            book.looking = book.linked = False  # what was to be asked may never have been; twice does no harm

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
            decided_s = self.settings.stopwatch_s()
        self.meters.commits.add(self.settings.stopwatch_s() - decided_s)
        for run in desk.world.runs.values():
            self._answer_watchers(run)
        happened, desk.happened = desk.happened, []
        return Outcome(desk.replies, desk.commands, happened)

    def _call(self, call: Call) -> None:
        """Handle one request; an error of ours becomes its answer."""
        self.meters.requests[call.verb] += 1
        try:
            if call.verb in GOES_ON:
                self._must_stay()
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
                endings.take_in(desk, data["site"], endings.read(data["endings"]))
                runs.remove_folders(desk, data["site"], data["folders"])
            case "prepared":
                self._accept(data["call"], data["prepared"], again=bool(data.get("again")))
            case "compared":
                self._resume(data["call"], data["sites"])
            case _:
                self._told_of_files(told)
        self.timers.decide_s = 0.0

    def _told_of_files(self, told: Told) -> None:
        match told.kind:
            case "cleared":
                removing.cleared(self.desk, told.data["order"])
            case "link":
                links.told(self.desk, self.books, told.data)
            case "fetched":
                talking.fetched(self.desk, told.data["incarnation"], told.data["lines"])
            case "words":
                allocating.last_words(self.desk, told.data["pool_id"], told.data["words"])
            case "published":
                self.publishing = False
            case "answer":
                self.desk.replies.append((told.data["call"], told.data["reply"]))

    def _listed(self, site: str, listing: Listing, words: Sequence[endings.Word]) -> None:
        """Take in a look: first what ended unheard, as its try may be over by the listing.

        How others ended the batch system may know better than the wrapper.
        """
        desk = self.desk
        heard = [(path, said) for path, said in words if said.incarnation in desk.world.agents]
        endings.take_in(desk, site, [each for each in words if each not in heard])
        looking.listed(desk, site, listing, self.books)
        endings.take_in(desk, site, heard)

    def _accept(self, call: Call, prepared: runs.Prepared, *, again: bool) -> None:
        try:
            self._must_stay()
            run = runs.create(self.desk, prepared, again=again)
        except SbxError as error:
            self.desk.replies.append((call, refusal(error)))
        else:
            self.desk.answer(call, {"run": run.name})

    def _resume(self, call: Call, sites: dict[str, SiteFacts]) -> None:
        try:
            self._must_stay()
            run_resume.compared(self, call, sites)
        except SbxError as error:
            self.desk.replies.append((call, refusal(error)))

    def _must_stay(self) -> None:
        """Begin nothing that the next daemon would have to do. Raises ConflictError."""
        if self.leaving:
            raise ConflictError("the command that was the daemon is being ended", "try again in a minute")

    def book(self, site: str) -> looking.SiteBook:
        return self.books.setdefault(site, looking.SiteBook())

    def _advance(self) -> None:
        """Everything that follows from what the ledger says now."""
        desk, now = self.desk, self.desk.now
        if now.mono_s >= self.timers.lost_s:
            self.timers.lost_s = now.mono_s + LOST_EVERY_S
            silence.lost_agents(desk, self.books)
            desk.store.run("dead_chunks", (100,))
        if now.mono_s >= self.timers.retention_s:
            self.timers.retention_s = now.mono_s + RETENTION_EVERY_S
            self._retain()
        self._turn_slices()
        self._settle()
        if now.mono_s >= self.timers.decide_s:
            self.timers.decide_s = now.mono_s + DECIDE_EVERY_S
            links.keep(desk, self.books)
            allocating.decide(desk, self.books, leaving=self.leaving)
            self._settle()  # a run all of whose pools were paused just now
        looking.look(desk, self.books)
        if self.settings.metrics_file is not None and now.mono_s >= self.timers.metrics_s:
            self._publish()
        waiting.answer(desk, self.turns)

    def _publish(self) -> None:
        """Have the metrics written, unless that is still being done."""
        from scalebox_hpc.daemon.metrics import render  # few want it

        self.timers.metrics_s = self.desk.now.mono_s + PUBLISH_EVERY_S
        if self.settings.metrics_file is not None and not self.publishing:
            self.publishing = True
            self.desk.commands.append(Publish(self.settings.metrics_file, render(self)))

    def _retain(self) -> None:
        """Let go what is older than the user wants to keep."""
        if self.settings.keep_runs_s is not None:
            removing.begin_old(self.desk, self.settings.keep_runs_s)
        if self.settings.keep_logs_s is not None:
            removing.sweep(self.desk, self.settings.keep_logs_s)

    def _settle(self) -> None:
        for run in list(self.desk.world.runs.values()):
            if run.touched:
                runs.settle(self.desk, run)

    @property
    def leaving(self) -> bool:
        return self.timers.leave_by_s is not None

    def _turn_slices(self) -> None:
        """Seeds, chunks, broken modules and runs that are to go, in slices, for a few milliseconds."""
        desk, stopwatch_s = self.desk, self.settings.stopwatch_s
        began_s, self.more = stopwatch_s(), True
        while stopwatch_s() - began_s < SLICE_S:
            if not (
                self._turn_one_seed()
                or runs.turn_chunk(desk)
                or self._fail_one_slice()
                or removing.turn(desk)
            ):
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
        """Give back all allocations, for an orderly end; also where it cannot be noted: nobody else would."""
        self.desk.now, self.desk.commands = now, []
        for pool in self.desk.world.pools.values():
            with suppress(StorageFull, LedgerAway), self.store.transaction():
                allocating.cancel_all(self.desk, pool)
        return self.desk.commands

    def is_over(self, now: Now) -> bool:
        """Whether to leave: runs were interrupted and their agents are gone, or nothing was open for long."""
        if self.timers.leave_by_s is not None:
            return not self.desk.world.agents or now.mono_s >= self.timers.leave_by_s
        return self.idle_for_s(now) >= IDLE_EXIT_S

    def idle_for_s(self, now: Now) -> float:
        """For how long nothing has been open: no run, and no allocation that may still cost something."""
        world = self.desk.world
        busy = bool(world.agents or world.removals) or any(run.phase in ACTIVE for run in world.runs.values())
        busy = busy or looking.is_awaited(self.desk, self.books)
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
        look_s = looking.next_look_s(self.desk, self.books)
        times += [look_s] if look_s is not None else []
        times += links.next_due_s(self.desk, self.books)
        times += [self.timers.metrics_s] if self.settings.metrics_file is not None else []
        if world.agents:
            times.append(self.timers.lost_s)
        if any(run.phase in ACTIVE for run in world.runs.values()):
            times += self._due_tasks(now)
            times += [pool.hold_until_s for pool in world.pools.values() if pool.holds(now.mono_s)]
            at_work = [pool for pool in world.pools.values() if pool.has_work]
            if at_work:
                times += self._avoided(now)
            if any(pool.state == "ok" and not pool.allocations for pool in at_work):
                times.append(self.timers.decide_s)
        return max(0.0, min(times) - now.mono_s)

    def _avoided(self, now: Now) -> list[float]:
        """When what was kept from agents or nodes for a while may be given to them again."""
        world = self.desk.world
        until = [until_s for agent in world.agents.values() for until_s in agent.avoids.values()]
        until += [shun.until_s for pool in world.pools.values() for shun in pool.shuns.values()]
        return [until_s for until_s in until if until_s > now.mono_s]

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
