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
from queue import Empty
from typing import Final

from scalebox_hpc import __version__
from scalebox_hpc.daemon import reading
from scalebox_hpc.daemon.core import IDLE_EXIT_S, Core, Outcome, Settings
from scalebox_hpc.daemon.events import Call, Reply, Told
from scalebox_hpc.daemon.hands import Hands
from scalebox_hpc.daemon.premises import Premises
from scalebox_hpc.daemon.state import Now
from scalebox_hpc.errors import ConflictError, StorageFull
from scalebox_hpc.ledger.sqlite import SqliteStore

MOST_EVENTS: Final = 500  # of one turn
FULL_PAUSE_S: Final = 2.0
HANDS_END_S: Final = 30.0
YOUNG_OBJECTS: Final = 20_000  # made before the collector looks for cycles: a turn makes thousands
INTERRUPT: Final = "interrupt"
WAKE: Final = "wake"

log = logging.getLogger(__name__)


def clock() -> Now:
    """Read both clocks."""
    return Now(time.time_ns() // 1000, time.monotonic())


class Wheel:
    """The engine of a daemon. Made and run in one thread; `stop` and `interrupt` may come from any."""

    def __init__(self, premises: Premises) -> None:
        """Open the ledger, which belongs to this thread. Raises LedgerProblem, ConflictError."""
        self._premises = premises
        self.interrupted: Sequence[str] = ()
        home = premises.home
        is_new = not home.ledger.exists() and not home.recorded().get("ledger")
        if is_new:
            home.ledger.touch(mode=0o600)
        self._store = SqliteStore(home.ledger, create=is_new)
        epoch = secrets.token_hex(4)
        self._open_home(epoch)
        if is_new:
            home.record({"ledger": True})
        self._core = Core(self._store, self._settings(epoch))
        self._core.load(clock())
        self._hands = Hands(premises, premises.inbox.put)
        self._hands.look_for_leftovers()

    def _open_home(self, epoch: str) -> None:
        home, now_us = self._premises.home, clock().wall_us
        with self._store.transaction():
            row = self._store.one("home")
            if row is None:
                self._store.run("add_home", (home.id, str(home.path), epoch, now_us))
            elif row[0] == home.recorded().get("copied_from"):
                self._adopt(now_us)
            elif row[0] != home.id:
                raise ConflictError(
                    f"{home.ledger} belongs to home {row[0]}, not to {home.id}",
                    "put the ledger of this home back, or the whole home",
                )
            else:
                self._store.run("open_home", (str(home.path), epoch))

    def _adopt(self, now_us: int) -> None:
        """A copied home: what the original asked for, and what its agents hold, stays the original's."""
        store = self._store
        store.run("adopt_home", (self._premises.home.id,))
        for name in ("disown_tasks", "disown_tries", "recount_modules"):
            store.run(name)
        for name in ("disown_agents", "disown_allocations"):
            store.run(name, (now_us,))

    def _settings(self, epoch: str) -> Settings:
        premises = self._premises
        home = premises.home
        return Settings(
            home_id=home.id,
            home_path=str(home.path),
            epoch=epoch,
            token_of=premises.keys.incarnation_token,
            facts={
                "version": __version__,
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "started_us": premises.started_us,
                "address": premises.address,
            },
            read_log=reading.read_log,
            find_frame=reading.find_frame,
            read_spool=reading.read_spool,
            last_words=reading.last_words,
            rss_mib=reading.rss_mib,
            ledger_bytes=self._store.size_bytes,
        )

    def run(self) -> None:
        """Turn until told to stop, idle for too long, or unable to go on, which is raised."""
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS)
        try:
            while not self._core.stopping:
                self._turn(self._wait())
                if self._is_over():
                    return
        finally:
            self._hands.end(HANDS_END_S)
            self._store.close()

    def stop(self) -> None:
        self._premises.inbox.put(Told("stop"))

    def interrupt(self) -> None:
        self._premises.inbox.put(Told(INTERRUPT))

    def _is_over(self) -> bool:
        now, core = clock(), self._core
        if core.timers.leave_by_s is not None:
            if core.desk.world.agents and now.mono_s < core.timers.leave_by_s:
                return False
            self._give_up_allocations(now)
            return True
        if core.idle_for_s(now) >= IDLE_EXIT_S:
            log.info("idle for %d s: leaving", IDLE_EXIT_S)
            return True
        return False

    def _give_up_allocations(self, now: Now) -> None:
        for command in self._core.cancel_allocations(now):
            self._hands.carry_out(command, self._core.desk.sites)

    def _wait(self) -> list[Call | Told]:
        """Wait for the next event, or until something is due; take what else is there."""
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

    def _turn(self, events: list[Call | Told]) -> None:
        for event in events:
            if isinstance(event, Told) and event.kind == "stop":
                self._core.stopping = True
            if isinstance(event, Told) and event.kind == INTERRUPT:
                self.interrupted = self._core.interrupt(clock(), "the command that ran it was told to stop")
        if not self._premises.lock.still_held():
            raise ConflictError("another daemon has taken this home over", "nothing was written since")
        try:
            outcome = self._core.turn(events, clock())
        except StorageFull as error:
            self._forget(events, error)
        else:
            self._act(outcome)

    def _act(self, outcome: Outcome) -> None:
        for call, reply in outcome.replies:
            call.answer(reply)
        for command in outcome.commands:
            self._hands.carry_out(command, self._core.desk.sites)

    def _forget(self, events: Sequence[Call | Told], error: StorageFull) -> None:
        """The turn never happened: read memory again, let everybody ask again a little later."""
        log.error("%s; %s. Nothing is lost: agents keep their results", error.fact, error.hint)
        for agent in self._core.desk.world.agents.values():
            if agent.parked is not None:
                agent.parked[0].answer(Reply(503, {"retry_s": FULL_PAUSE_S}))
        watchers = [each for run in self._core.desk.world.runs.values() for each in run.watchers]
        for call, _, _ in watchers:
            call.answer(
                Reply(503, {"error": error.fact, "hint": error.hint, "exit_code": 4, "retry_s": FULL_PAUSE_S})
            )
        for event in events:
            if isinstance(event, Call):
                event.answer(
                    Reply(
                        503,
                        {"error": error.fact, "hint": error.hint, "exit_code": 4, "retry_s": FULL_PAUSE_S},
                    )
                )
        self._core.load(clock())
        for event in events:
            if isinstance(event, Told):
                self._premises.inbox.put(event)
