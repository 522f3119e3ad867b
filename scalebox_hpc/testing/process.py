"""The daemon's process in a simulated world: it starts, turns, is killed, and leaves when it is time.

It drives the real core as the wheel of a real daemon does, at the world's clock and in its one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from errno import EIO
from functools import partial
from typing import TYPE_CHECKING, Any

from scalebox_hpc.daemon.core import Core, Outcome, Settings
from scalebox_hpc.daemon.events import Call, Reply, Told
from scalebox_hpc.daemon.loop import HANDS_END_S, INTERRUPT
from scalebox_hpc.errors import LedgerAway, StorageFull
from scalebox_hpc.relay.folder import run_folders
from scalebox_hpc.sites.depot import LocalDepot
from scalebox_hpc.testing.batch import Crash
from scalebox_hpc.testing.ledger import FaultyStore

if TYPE_CHECKING:
    from scalebox_hpc.testing.world import World

HOME = "0123456789abcdef"
DOWN_S = 3.0  # from a crash of the daemon to its next start
FULL_S = 2.0  # after a turn that could not be written


class SimulatedDepot(LocalDepot):
    """The shared folder of a world, in which spools alone are to be read."""

    def __init__(self, root: str, spool: Callable[[str], list[Any]]) -> None:
        super().__init__(root)
        self.spool = spool


@dataclass(slots=True)
class Process:
    """One daemon after the other, over the same ledger."""

    world: World
    core: Core | None = None
    stopwatch_s: Callable[[], float] = field(init=False)  # see Settings; a turn takes no time
    commit_s: Callable[[], float] | None = None  # how long the next commit takes; None: no time
    lives: int = 0  # starts
    crashes: int = 0
    full: int = 0  # turns that could not be written, or were not known to be
    ended_s: float = 0.0  # when it was killed last, or its hands had done what they were given
    has_left: bool = False  # of its own accord: somebody has to start it again
    _inbox: list[Call | Told] = field(default_factory=list)
    _open: list[Call] = field(default_factory=list)  # asked, not yet answered: broken by a crash
    _due_s: float = 0.0
    _rests_until_s: float = 0.0  # after a turn that could not be written
    _busy: bool = False  # a commit takes its time

    def __post_init__(self) -> None:
        self.stopwatch_s = lambda: self.world.clock.mono_s

    # its life

    def start(self) -> None:
        """Start over the ledger, which is made if there is none."""
        if self.core is not None:
            return
        world, self.has_left = self.world, False
        self.lives += 1
        epoch = f"{self.lives:08x}"
        world.saw("start", epoch)
        world.hands.start()
        store = FaultyStore(world.books.open(), world.faults)
        try:
            with store.transaction():
                if store.one("home") is None:
                    store.run("add_home", (HOME, str(world.folder), epoch, world.clock.wall_us))
                else:
                    store.run("open_home", (str(world.folder), epoch))
            self.core = Core(store, self._settings(epoch))
            self.core.load(world.clock.now())
            folders, endings = run_folders(str(world.runs_folder.parent)), list(world.ended_files.items())
            self.tell(Told("leftovers", {"site": "", "folders": folders, "endings": endings}))
        except (Crash, LedgerAway, StorageFull) as problem:  # it ends, and is started again
            if self.core is None:
                store.close()
            self.crash(FULL_S if isinstance(problem, StorageFull) else DOWN_S)
        self._due_s = 0.0

    def crash(self, down_s: float = DOWN_S) -> None:
        """Kill it: memory and open requests are gone. It comes back after `down_s`."""
        self.crashes += 1
        self.world.saw("crash")
        self._gone(self.world.clock.mono_s)
        self.world.clock.after(down_s, self.start)

    def interrupt(self) -> None:
        """SIGTERM of a command that is the daemon as well, as `sbx run --foreground` is."""
        self.tell(Told(INTERRUPT))

    def end(self) -> None:
        """Close the ledger, for good."""
        if self.core is not None:
            self.core.store.close()

    def _leave(self, core: Core) -> None:
        """End in an orderly way; its hands finish what they were given."""
        world = self.world
        if core.leaving:
            for command in core.cancel_allocations(world.clock.now()):
                world.hands.carry_out(command)
        world.saw("leave", "its runs are interrupted" if core.leaving else "it is idle")
        self._gone(world.clock.mono_s + HANDS_END_S)
        self.has_left = True

    def _gone(self, ended_s: float) -> None:
        self.ended_s, self._busy = ended_s, False
        if self.core is not None:
            self.core.store.close()
        self.core = None
        self._inbox.clear()
        broken, self._open = self._open, []
        for call in broken:
            call.answer(Reply(0, {}))

    def _settings(self, epoch: str) -> Settings:
        return Settings(
            home_id=HOME,
            home_path=str(self.world.folder),
            epoch=epoch,
            token_of=lambda incarnation: incarnation,
            facts={"started_us": self.world.clock.wall_us},
            depot_of=lambda shared: SimulatedDepot(shared, self._read_spool),
            rss_mib=lambda: 0.0,
            ledger_bytes=lambda: 0,
            stopwatch_s=lambda: self.stopwatch_s(),
        )

    def _read_spool(self, incarnation: str) -> list[Any]:
        if incarnation in self.world.unreadable:
            self.world.saw("unreadable", incarnation)
            raise OSError(EIO, "the spool cannot be read", incarnation)
        return list(self.world.spools.get(incarnation, []))

    # what it is told

    def tell(self, told: Told) -> None:
        """Bring it word from a hand."""
        if self.core is not None:
            self.world.saw("told", told)
            self._inbox.append(told)

    def arrive(self, call: Call) -> None:
        """A request is there; nobody answers while it is down."""
        if self.core is None:
            call.answer(Reply(0, {}))
            return
        self.world.saw("call", call)
        self._open.append(call)
        self._inbox.append(call)

    def submit(self, call: Call, told: Told) -> None:
        """A request for a run is there, and a hand has prepared it."""
        self._open.append(call)
        self._inbox.append(told)

    # its turns

    def next_s(self) -> float:
        """When it turns, monotonic; infinity while it is down, or writes."""
        if self.core is None or self._busy:
            return float("inf")
        return max(self._rests_until_s, self.world.clock.mono_s if self._inbox else self._due_s)

    def turn(self) -> None:
        """One turn, as the wheel of a daemon makes it."""
        core, now = self.core, self.world.clock.now()
        assert core is not None
        events, self._inbox = self._inbox, []
        try:
            if any(isinstance(event, Told) and event.kind == INTERRUPT for event in events):
                core.interrupt(now, "somebody ended it")
            outcome = core.turn(events, now)
        except Crash:
            self.crash()
        except (StorageFull, LedgerAway) as error:
            self._forget(core, events, error)
        else:
            if self.world.witness is not None:
                self.world.witness.turned()
            slow_s = self.commit_s() if self.commit_s is not None else 0.0
            if slow_s:
                self._busy = True
                self.world.clock.after(slow_s, partial(self._act, outcome, self.lives))
            else:
                self._act(outcome, self.lives)

    def _act(self, outcome: Outcome, life: int) -> None:
        """What is on disk is answered and done, unless it was killed meanwhile."""
        core = self.core
        if self.lives != life or core is None:
            return
        self._busy = False
        try:
            for call, reply in outcome.replies:
                self._answer(call, reply)
            for command in outcome.commands:
                self.world.hands.carry_out(command)
            if core.is_over(self.world.clock.now()):
                self._leave(core)
        except Crash:
            self.crash()
        if self.core is not None:
            now = self.world.clock.now()
            self._due_s = now.mono_s + max(core.next_due_s(now), 0.001)

    def _forget(self, core: Core, events: Sequence[Call | Told], error: StorageFull | LedgerAway) -> None:
        """A turn could not be written, or is not known to be: all who asked ask again."""
        self.full += 1
        self.world.saw("full")
        if isinstance(error, LedgerAway):
            core.store.reopen()
        for call in [each for each in self._open if each.verb != "run.submit"]:
            self._answer(call, Reply(503, {"retry_s": FULL_S}))
        core.load(self.world.clock.now())
        self._inbox += [event.once_more() for event in events if isinstance(event, Told)]
        self._due_s = self._rests_until_s = self.world.clock.mono_s + FULL_S

    def _answer(self, call: Call, reply: Reply) -> None:
        if call in self._open:
            self._open.remove(call)
            self.world.saw("answer", call, reply)
            call.answer(reply)
