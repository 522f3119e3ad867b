"""The daemon's wheel: take what came, turn, and once it is on disk answer and act.

It owns the ledger and the clocks. A turn that could not be written is forgotten: memory is read
again from the ledger, those who asked are told to ask again.
"""

from __future__ import annotations

import gc
import logging
import os
import secrets
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Final

from scalebox_hpc import __version__
from scalebox_hpc.config.settings import read_settings
from scalebox_hpc.daemon import ledgers, reading
from scalebox_hpc.daemon import log as logs
from scalebox_hpc.daemon.core import IDLE_EXIT_S, Core, Outcome, Settings
from scalebox_hpc.daemon.events import Call, Reply, Told
from scalebox_hpc.daemon.handlers import metrics_show
from scalebox_hpc.daemon.hands import Hands
from scalebox_hpc.daemon.premises import Premises
from scalebox_hpc.daemon.refusal import refusal
from scalebox_hpc.daemon.routes import LOOKS
from scalebox_hpc.daemon.state import Now
from scalebox_hpc.errors import ConflictError, LedgerAway, StorageFull
from scalebox_hpc.sites.depot import LocalDepot

MOST_EVENTS: Final = 500  # of one turn
FULL_PAUSE_S: Final = 2.0
FULL_TOLD_S: Final = 10.0  # after a turn that found no room those who look are told so, not how runs are
AWAY_FIRST_S: Final = 0.5  # before a lost server is tried again; then twice as long each time
AWAY_MOST_S: Final = 15.0
HANDS_END_S: Final = 30.0
YOUNG_OBJECTS: Final = 20_000  # made before the collector looks for cycles: a turn makes thousands
INTERRUPT: Final = "interrupt"
WAKE: Final = "wake"


def clock() -> Now:
    """Read both clocks."""
    return Now(time.time_ns() // 1000, time.monotonic())


class Wheel:
    """The engine of a daemon. Made and run in one thread; `stop` and `interrupt` may come from any."""

    def __init__(self, premises: Premises) -> None:
        """Open the ledger, which belongs to this thread. Raises LedgerProblem, ConflictError."""
        self._premises = premises
        self.interrupted: Sequence[str] = ()
        self._lost_s: float | None = None  # monotonic: since when the ledger cannot be written
        self._rests_until_s = 0.0  # monotonic: after a turn that found no room
        self._full: tuple[StorageFull, float] | None = None  # of that turn, and until when to tell it
        home = premises.home
        self._settled = read_settings()
        where = ledgers.find(home)
        self._store = ledgers.open_ledger(home, where, ledgers.take_password(), takeover=premises.takeover)
        self._epoch = secrets.token_hex(4)
        self._open_home()
        if ledgers.recorded(home) != where.address:
            ledgers.record(home, where.address)
        logs.tell("ledger.opened", place=self._store.place)
        self._core = Core(self._store, self._settings())
        self._core.load(clock())
        self._hands = Hands(premises, premises.inbox.put, self._core.meters.acts)
        self._hands.look_for_leftovers()

    def _open_home(self) -> None:
        home, now_us = self._premises.home, clock().wall_us
        with self._store.transaction():
            row = self._store.one("home")
            if row is None:
                self._store.run("add_home", (home.id, str(home.path), self._epoch, now_us))
            elif row[0] == home.recorded().get("copied_from"):
                self._adopt(now_us)
            elif row[0] != home.id:
                raise ConflictError(
                    f"{self._store.place} belongs to home {row[0]}, not to {home.id}",
                    "put the ledger of this home back, or the whole home",
                )
            else:
                self._store.run("open_home", (str(home.path), self._epoch))

    def _adopt(self, now_us: int) -> None:
        """A copied home: what the original asked for, and what its agents hold, stays the original's."""
        store = self._store
        store.run("adopt_home", (self._premises.home.id,))
        for name in ("disown_tasks", "disown_tries", "recount_modules"):
            store.run(name)
        for name in ("disown_agents", "disown_allocations"):
            store.run(name, (now_us,))

    def _settings(self) -> Settings:
        premises = self._premises
        home = premises.home
        return Settings(
            home_id=home.id,
            home_path=str(home.path),
            epoch=self._epoch,
            token_of=premises.keys.incarnation_token,
            facts={
                "version": __version__,
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "started_us": premises.started_us,
                "address": premises.address,
                "ledger": self._store.place,
            },
            depot_of=LocalDepot,
            rss_mib=reading.rss_mib,
            ledger_bytes=self._store.size_bytes,
            is_copy=bool(home.recorded().get("copied_from")),
            waiting=premises.inbox.qsize,
            metrics_file=self._settled.metrics_file(home.id),
            keep_runs_s=self._settled.keep_runs_s,
            keep_logs_s=self._settled.keep_logs_s,
        )

    def run(self) -> None:
        """Turn until told to stop, idle for too long, or unable to go on, which is raised."""
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS)
        try:
            while not self._core.stopping:
                self._turn(self._turn_away(self._wait()))
                if self._core.stopping or self._is_over():
                    return
        finally:
            self._hands.end(HANDS_END_S)
            self._store.close()
            if (file := self._core.settings.metrics_file) is not None:
                with suppress(OSError):
                    Path(file).unlink()  # nobody is there to keep it true

    def stop(self) -> None:
        self._premises.inbox.put(Told("stop"))

    def interrupt(self) -> None:
        self._premises.inbox.put(Told(INTERRUPT))

    def _is_over(self) -> bool:
        now, core = clock(), self._core
        if not core.is_over(now):
            return False
        if core.leaving:
            self._give_up_allocations(now)
        else:
            logs.tell("daemon.idle", idle_s=IDLE_EXIT_S)
        return True

    def _give_up_allocations(self, now: Now) -> None:
        for command in self._core.cancel_allocations(now):
            self._hands.carry_out(command, self._core.desk.sites)

    def _wait(self) -> list[Call | Told]:
        """Wait for the next event, or until something is due; take what else is there."""
        if came := self._rest():
            return came
        timeout_s = self._core.next_due_s(clock())
        if self._core.timers.leave_by_s is not None:
            timeout_s = min(timeout_s, max(0.0, self._core.timers.leave_by_s - clock().mono_s))
        inbox, events = self._premises.inbox, []
        try:
            events.append(inbox.get(timeout=timeout_s) if timeout_s > 0 else inbox.get_nowait())
            while len(events) < MOST_EVENTS:
                events.append(inbox.get_nowait())
        except Empty:
            pass
        return events

    def _rest(self) -> list[Call | Told]:
        """Take what comes while a turn would find no room either; word to stop ends the rest."""
        events: list[Call | Told] = []
        while (left_s := self._rests_until_s - clock().mono_s) > 0 and len(events) < MOST_EVENTS:
            try:
                events.append(event := self._premises.inbox.get(timeout=left_s))
            except Empty:
                break
            if isinstance(event, Told) and event.kind in ("stop", INTERRUPT) and not event.data.get("again"):
                break
        return events

    def _turn_away(self, events: list[Call | Told]) -> list[Call | Told]:
        """Tell those who look that there is no room, which is why all that they would see stands still."""
        if self._full is None or clock().mono_s >= self._full[1]:
            return events
        lookers = [event for event in events if isinstance(event, Call) and event.verb in LOOKS]
        for call in lookers:
            call.answer(_not_now(self._full[0]))
        return [event for event in events if event not in lookers]

    def _turn(self, events: list[Call | Told]) -> None:
        try:
            self._heed(events)
            self._must_hold_the_home()
            began_s = time.monotonic()
            outcome = self._core.turn(events, clock())
            self._core.meters.turns.add(time.monotonic() - began_s)
        except (StorageFull, LedgerAway) as error:
            self._forget(events, error)
        else:
            if any(isinstance(event, Call) for event in events):
                self._full = None
            self._act(outcome)

    def _heed(self, events: Sequence[Call | Told]) -> None:
        """Do what we are told of our own end."""
        for event in events:
            if isinstance(event, Told) and event.kind == "stop":
                self._core.stopping = True
            if isinstance(event, Told) and event.kind == INTERRUPT:
                names = self._core.interrupt(clock(), "the command that ran it was told to stop")
                self.interrupted = [*self.interrupted, *names]  # a turn that is made again finds none

    def _must_hold_the_home(self) -> None:
        if not self._premises.lock.still_held():
            raise ConflictError("another daemon has taken this home over", "nothing was written since")

    def _act(self, outcome: Outcome) -> None:
        if self._lost_s is not None:
            logs.tell("ledger.back", away_s=clock().mono_s - self._lost_s)
            self._lost_s = None
        for happened in outcome.happened:
            happened.tell()
        for call, reply in outcome.replies:
            call.answer(reply)
        for command in outcome.commands:
            self._hands.carry_out(command, self._core.desk.sites)

    def _forget(self, events: Sequence[Call | Told], error: StorageFull | LedgerAway) -> None:
        """The turn never happened, or we do not know: read memory again, let everybody ask again later."""
        self._core.meters.pauses["ledger away" if isinstance(error, LedgerAway) else "no room"] += 1
        if self._lost_s is None:  # once, however long it takes: agents keep their results
            self._lost_s = clock().mono_s
            logs.tell("ledger.unavailable", logging.ERROR, why=error.fact, todo=error.hint)
        told = [event.once_more() for event in events if isinstance(event, Told)]
        for call in self._unanswered(events, told):
            call.answer(_not_now(error))
        if isinstance(error, LedgerAway):
            told += self._await_ledger(error)
        else:
            self._core.load(clock())
            now_s = clock().mono_s
            self._rests_until_s, self._full = now_s + FULL_PAUSE_S, (error, now_s + FULL_TOLD_S)
        for word in told:
            self._premises.inbox.put(word)

    def _unanswered(self, events: Sequence[Call | Told], told: Sequence[Told]) -> list[Call]:
        """Whoever waits for an answer, but for those whom the hands' word will get one."""
        desk = self._core.desk
        waiting = [agent.parked[0] for agent in desk.world.agents.values() if agent.parked is not None]
        waiting += [call for run in desk.world.runs.values() for call, _, _ in run.watchers]
        waiting += [call for call, _ in desk.replies]
        waiting += [event for event in events if isinstance(event, Call)]
        later = {id(word.data.get("call")) for word in told}
        return [call for key, call in {id(call): call for call in waiting}.items() if key not in later]

    def _await_ledger(self, error: LedgerAway) -> list[Told]:
        """Wait until the server is back, as long as it takes; then begin again, as at a start.

        Returns what the hands said meanwhile. Raises ConflictError where the home is another's now.
        """
        pause_s, told = AWAY_FIRST_S, []
        while not self._core.stopping:
            try:
                self._come_back()
            except LedgerAway as again:
                error = again
            else:
                break
            told += self._put_off(pause_s, error)
            pause_s = min(pause_s * 2, AWAY_MOST_S)
        return told

    def _come_back(self) -> None:
        self._must_hold_the_home()
        self._store.reopen()
        row = self._store.one("home")
        if row is None or (row[0], row[2]) != (self._premises.home.id, self._epoch):
            raise ConflictError(
                f"{self._store.place}: another daemon has opened the ledger of this home meanwhile",
                "nothing was written since; look for it, and stop one of them",
            )
        self._core.load(clock())
        self._hands.look_for_leftovers()

    def _put_off(self, for_s: float, error: LedgerAway) -> list[Told]:
        """For a while tell everybody to ask again; return what the hands say."""
        until_s, told = clock().mono_s + for_s, []
        while (left_s := until_s - clock().mono_s) > 0 and not self._core.stopping:
            try:
                event = self._premises.inbox.get(timeout=left_s)
            except Empty:
                break
            if isinstance(event, Call):
                if event.verb == "metrics.show":
                    event.answer(metrics_show.reply(self._core, paused=True))
                    continue
                self._core.stopping = event.verb == "daemon.stop"
                event.answer(Reply(200, {"stopping": True}) if self._core.stopping else _not_now(error))
                continue
            self._core.stopping = self._core.stopping or event.kind == "stop"
            told.append(event)
        return told


def _not_now(error: StorageFull | LedgerAway) -> Reply:
    """The answer to whoever asked in a turn that was not written."""
    return Reply(503, {**refusal(error).body, "paused": True, "retry_s": FULL_PAUSE_S})
