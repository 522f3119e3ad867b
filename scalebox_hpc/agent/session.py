"""What one incarnation holds, what it says to the daemon, and what the daemon's answers mean.

Pure: it reads no clock, opens nothing and starts nothing; `now` is monotonic seconds, passed in.
`main` carries out what it decides and tells it what happened.

A lease in our hands is PREPARING (its sheet or gather files are on their way), WAITING,
RUNNING, ENDED (its process is over, its result is being made) or DONE (its result waits to be
acknowledged). A DOOMED one is no longer ours; only its process still takes up room.
"""

from __future__ import annotations

from collections import deque

from scalebox_hpc.agent.lease import (
    AMOUNTS,
    DONE,
    DOOMED,
    ENDED,
    GONE,
    PREPARING,
    RUNNING,
    WAITING,
    Effects,
    Flight,
    Held,
    Json,
    Terms,
    Told,
    fits,
    take,
)
from scalebox_hpc.agent.prefetch import RunTimes, room

INF = float("inf")
GAP_S = 0.2  # between two syncs under load, unless slots would run dry
LEAVING_GAP_S = 1.0  # between two syncs while what still runs is awaited; they are answered at once
SYNCS_AHEAD = 3  # that prefetched tasks bridge: what we hold nobody else can run
TELL_S = 0.5  # after which a task that still runs is said to have started
NEWS_GAP_S = 5.0  # between a sync and the next one that goes only to say how far tasks are
RESULTS_BYTES = 4 << 20  # results in one sync; the daemon reads bodies up to 8 MiB
HEAD_WAIT_S = 10.0  # after this long the oldest waiting task is not overtaken any more
TERM_PATIENCE_S = 5.0  # without an answer after SIGTERM, before results are spooled instead
SPOOL_AGAIN_S = 60.0  # after the spool could not be written
KEEP_S = 86400.0  # without an answer, after which results that nobody can be told are given up
SHARE_NEW = 0.2  # of the newest answer time in the running mean


class Session:
    """One incarnation's side of the conversation with the daemon."""

    def __init__(self, incarnation: str, terms: Terms, now: float, walltime_left_s: float | None = None):
        self.incarnation = incarnation
        self.terms = terms
        self.number = 0  # of the newest sync
        self.took = 0  # newest answer taken
        self.leaving: str | None = None  # "idle" "walltime" "drain" "term" "disk"
        self.reason = ""  # more of why, for people
        self.over = False
        self.held: dict[str, Held] = {}
        self._ends_at = INF if walltime_left_s is None else now + walltime_left_s
        self._left = list(terms.resources)
        self._waiting: dict[int, deque[Held]] = {}
        self._waiting_count = 0
        self._running = 0  # processes, those of doomed leases included
        self._making = 0  # results that are being made
        self._done: dict[str, Held] = {}
        self._run_times = RunTimes()
        self._flight: Flight | None = None
        self._order = 0
        self._tell_at = INF  # when what started is to be told, if no sync goes before
        self._has_news = False  # of how far tasks are
        self._urgent = True
        self._unspooled = 0  # results
        self._spool_not_before = -INF
        self._told = False  # the daemon knows that we leave
        self._short = False  # a task was given back for want of walltime
        self._sent_at = -INF
        self._answer_s = 0.0  # running mean from a sync to its answer, unless it was parked
        self._not_before = -INF
        self._answered_at = now
        self._leaving_at = now
        self._idle_since: float | None = now

    # what to say

    def sync_at(self) -> float:
        """Return when the next sync is due: in the past for now, infinity for not before an answer."""
        flight = self._flight
        if self.over or (flight is not None and not flight.parked):
            return INF
        if self._urgent or (self._done and not self._waiting_count):
            return self._not_before
        if flight is not None and not self._done:
            return max(self._tell_at, self._not_before)
        if self.leaving is not None:
            return max(self._sent_at + LEAVING_GAP_S, self._not_before)
        if not self._waiting_count:
            return self._not_before  # slots may be free: be there when a task becomes ready
        return max(self._sent_at + GAP_S, self._not_before)

    def build_sync(self, now: float, clock_us: int = 0) -> Json | None:
        """Return the sync to send now, or None. The older one under way, if any, is superseded."""
        if self.sync_at() > now:
            return None
        results: list[object] = []
        held: list[list[object]] = []
        size = 0
        for lease, one in self._done.items():
            if results and size + one.size > RESULTS_BYTES:
                held.append([lease, 1])
            else:
                size += one.size
                results.append(one.result)
        held += [
            [one.lease, 1 if one.state >= RUNNING else 0] for one in self.held.values() if one.state < DONE
        ]
        are_some_preparing = len(self.held) > self._waiting_count + self._running + len(self._done)
        free, surplus = room(self._left, self._waiting, self.held.values() if are_some_preparing else ())
        self.number += 1
        wait = not results and self.leaving is None
        self._flight = Flight(self.number, wait, self.leaving is not None and not held)
        self._urgent = False
        self._sent_at = now
        self._tell_at = INF
        sync: Json = {
            "incarnation": self.incarnation,
            "sync": self.number,
            "took": self.took,
            "clock_us": clock_us,
            "wait": wait,
            "held": held,
            "results": results,
            "free": dict(zip(AMOUNTS, free)),
            "prefetch": {}
            if self.leaving
            else self._run_times.wanted(surplus, self.terms.resources, self._ahead_s()),
            "walltime_left_s": self.walltime_left_s(now),
            "leaving": self.leaving,
            "reason": self.reason,
        }
        if progress := self._progress():
            sync["progress"] = progress
        return sync

    def _progress(self) -> dict[str, Told]:
        """Return how far what runs says it is, if any of it has said something new since it was told."""
        if not self._has_news:
            return {}
        self._has_news = False
        running = (one for one in self.held.values() if one.state == RUNNING)
        return {one.lease: one.progress for one in running if one.progress is not None}

    def _ahead_s(self) -> float:
        """Return how far ahead to prefetch: a few syncs, at most `prefetch_s`."""
        return min(self.terms.prefetch_s, SYNCS_AHEAD * (GAP_S + self._answer_s))

    def walltime_left_s(self, now: float) -> float | None:
        """Return the seconds until this element ends, or None where there is no end."""
        return None if self._ends_at == INF else max(0.0, self._ends_at - now)

    # what an answer means

    def sync_failed(self, number: int, now: float, retry_s: float = 0.0) -> None:
        """Say that sync `number` got no answer; a new one is due after `retry_s`."""
        if self._flight is None or self._flight.number != number:
            return
        self._flight = None
        self._has_news = True  # some may have been in it
        self._not_before = now + retry_s
        self._idle_since = None  # while the daemon is silent we are not idle

    def take_answer(self, answer: Json, now: float) -> Effects:
        """Take the answer to the newest sync; any other is passed over."""
        effects = Effects()
        flight = self._flight
        if flight is None or answer.get("sync") != flight.number:
            return effects
        self._flight = None
        self._answered_at = now
        if not flight.parked:
            self._answer_s += SHARE_NEW * (now - self._sent_at - self._answer_s)
        if not self.held and self._idle_since is None:
            self._idle_since = now
        if answer.get("superseded"):
            return effects
        self.took = flight.number
        self._told = self._told or flight.leaving
        self._judge(answer, effects, now)
        do = answer.get("do", "work")
        if do != "work":
            self._obey(do, effects, now)
        elif self.leaving is None:
            for offer in answer.get("offers", ()):
                self._consider(offer, effects, now)
        return effects

    def _judge(self, answer: Json, effects: Effects, now: float) -> None:
        for lease in answer.get("recorded", ()):
            if lease in self._done:
                effects.recorded.append(self._remove(self.held[lease], now))
        for lease in answer.get("refused", ()):
            if lease in self._done:
                effects.dropped.append(self._remove(self.held[lease], now))
        for lease in answer.get("dead", ()):
            if lease in self.held:
                self._kill(self.held[lease], effects, now)

    def _kill(self, one: Held, effects: Effects, now: float) -> None:
        if one.state == RUNNING:
            one.state = DOOMED
            effects.kill.append(one)
        elif one.state != DOOMED:
            effects.dropped.append(self._remove(one, now))

    def _consider(self, offer: Json, effects: Effects, now: float) -> None:
        """Take an offer, unless it is known, can never fit here, or would outlast our walltime."""
        if offer["lease"] in self.held:
            return
        self._order += 1
        one = Held(offer, self._order, now)
        if not fits(one.need, self.terms.resources):
            return
        if now + one.time_s > self._ends_at:
            self._short = True
            return
        self.held[one.lease] = one
        self._idle_since = None
        effects.taken.append(one)

    def _obey(self, do: str, effects: Effects, now: float) -> None:
        effects.dropped += self.leave("drain", now)
        if do == "leave":
            self._told = True
            for one in [one for one in self.held.values() if one.state in (RUNNING, ENDED)]:
                self._kill(one, effects, now)

    # what happened here

    def leave(self, why: str, now: float, reason: str = "") -> list[Held]:
        """Take nothing more, give back what has not started and return it. A second reason is ignored."""
        if self.leaving is not None and why != "term":
            return []
        if self.leaving is None:
            self._leaving_at, self.reason = now, reason
        self.leaving, self._urgent = why, True
        unstarted = [one for one in self.held.values() if one.state <= WAITING]
        for one in unstarted:
            self._remove(one, now)
        return unstarted

    def prepared(self, one: Held) -> None:
        """Say that a taken lease has all it needs to start."""
        if one.state == PREPARING:
            one.state = WAITING
            self._waiting.setdefault(one.module, deque()).append(one)
            self._waiting_count += 1

    def next_start(self, now: float) -> Held | None:
        """Return the waiting lease to start now, the farthest downstream first, or None.

        What outlasts the walltime is given back.
        """
        if not self._waiting_count:
            return None
        oldest: Held | None = None
        best: Held | None = None
        for queue in self._waiting.values():
            while queue and now + queue[0].time_s > self._ends_at:
                self._short = self._urgent = True
                self._remove(queue[0], now)
            if not queue:
                continue
            head = queue[0]
            if oldest is None or head.taken_at < oldest.taken_at:
                oldest = head
            if (best is None or head.rank < best.rank) and fits(head.need, self._left):
                best = head
        if best is not oldest and oldest is not None and now - oldest.taken_at > HEAD_WAIT_S:
            return oldest if fits(oldest.need, self._left) else None
        return best

    def started(self, one: Held, now: float) -> None:
        """Say that the lease that `next_start` returned is running."""
        self._waiting[one.module].popleft()
        self._waiting_count -= 1
        one.state = RUNNING
        one.started_at = now
        self._tell_at = min(self._tell_at, now + TELL_S)
        self._running += 1
        take(one.need, self._left)

    def progressed(self, now: float) -> None:
        """Say that what runs has said something new of how far it is."""
        self._has_news = True
        self._tell_at = min(self._tell_at, max(now, self._sent_at + NEWS_GAP_S))

    def not_started(self, one: Held) -> None:
        """Say that the lease of which `started` was said just now waits again, before all others."""
        self._make_room(one)
        one.state = WAITING
        self._waiting[one.module].appendleft(one)
        self._waiting_count += 1

    def _make_room(self, one: Held) -> None:
        left, need = self._left, one.need
        for index in range(4):
            left[index] += need[index]
        self._running -= 1

    def ended(self, one: Held, now: float, has_run: bool = True) -> None:
        """Say that its process is over and its room is free; its result, if it has one, is being made.

        What never ran says nothing of run times.
        """
        self._make_room(one)
        if one.state == DOOMED:
            self._remove(one, now)
            self._urgent = True
            return
        one.state = ENDED
        self._making += 1
        if has_run:
            self._run_times.note(one.module, one.need, now - one.started_at)

    def sending(self, one: Held) -> None:
        """Say that its result is made and that only its chunks are still to be sent."""
        if one.state == ENDED and not one.sending:
            one.sending = True
            self._making -= 1

    def finished(self, one: Held, result: object, size: int) -> None:
        """Say that its result is ready to be sent; `size` is about its length as JSON.

        What the result is does not matter here: syncs bear it as it is.
        """
        if one.state == ENDED:
            self._making -= not one.sending
            one.state, one.result, one.size = DONE, result, size
            self._done[one.lease] = one
            self._unspooled += 1

    def dropped(self, one: Held, now: float) -> None:
        """Say that we give back a lease of which no process runs."""
        if one.state not in (RUNNING, DOOMED, GONE):
            self._remove(one, now)
            self._urgent = True

    def _remove(self, one: Held, now: float) -> Held:
        if one.state == WAITING:
            self._waiting[one.module].remove(one)
            self._waiting_count -= 1
        elif one.state == DONE:
            del self._done[one.lease]
            self._unspooled -= not one.spooled
        elif one.state == ENDED:
            self._making -= not one.sending
        one.state = GONE
        del self.held[one.lease]
        if not self.held:
            self._idle_since = now
        return one

    # what only time brings

    def wake_at(self, ready_at: float = -INF) -> float:
        """Return when `tick`, `to_spool` or `build_sync` has something to do, if nothing else happens.

        No sync can be sent before `ready_at`.
        """
        if self.over:
            return -INF
        at = max(self.sync_at(), ready_at)
        if self._idle_since is not None and self.leaving is None:
            at = min(at, self._idle_since + (0.0 if self._short else self.terms.idle_s))
        if self._unspooled:
            at = min(at, max(self._answered_at + self.terms.spool_after_s, self._spool_not_before))
        if self._is_stuck():
            end_at = self._answered_at + self.terms.lost_after_s
            if self.leaving is not None:
                end_at = min(end_at, self._patience_ends_at())
            at = min(at, max(end_at, self._spool_not_before) if self.held else end_at)
        return at

    def tick(self, now: float) -> None:
        """Let time pass: leave when idle, be over when told or lost."""
        if self.over:
            return
        if self.held:
            # Not before the spool may be tried again: what we hold would be lost with us.
            is_due = now >= self._spool_not_before and self._is_stuck()
            self.over = is_due and (self._is_lost(now) or self._is_out_of_patience(now))
        elif self.leaving is not None:
            self.over = self._told or self._is_out_of_patience(now)
        elif self._idle_since is not None and self._short:
            self.leave("walltime", now)
        elif self._idle_since is not None and now - self._idle_since >= self.terms.idle_s:
            self.leave("idle", now)
        else:
            self.over = self._is_lost(now)

    def spooled(self, one: Held) -> None:
        """Say that a result is safe in the shared folder too."""
        if one.state == DONE and not one.spooled:
            one.spooled = True
            self._unspooled -= 1

    def spool_failed(self, now: float) -> None:
        """Say that the spool cannot be written at present: results are kept, and so are we, for a day."""
        self._spool_not_before = now + (TERM_PATIENCE_S if self.leaving == "term" else SPOOL_AGAIN_S)
        if now - self._answered_at < KEEP_S:
            self.over = False

    def may_spool(self, now: float) -> bool:
        """Tell whether results belong in the spool: the daemon is silent, or we end without it."""
        return self.over or (self.is_silent(now) and now >= self._spool_not_before)

    def to_spool(self, now: float) -> list[Held]:
        """Return the results to spool now."""
        if not self._unspooled or not self.may_spool(now):
            return []
        return [one for one in self._done.values() if not one.spooled]

    @property
    def is_dry(self) -> bool:
        """Whether no task waits for room."""
        return not self._waiting_count

    def is_silent(self, now: float) -> bool:
        """Tell whether the daemon has not answered for so long that results belong in the spool too."""
        return now - self._answered_at >= self.terms.spool_after_s

    def _is_stuck(self) -> bool:
        """Tell whether nothing runs and nothing more can be done without the daemon."""
        return self._running == 0 and self._making == 0

    def _is_lost(self, now: float) -> bool:
        return now - self._answered_at >= self.terms.lost_after_s

    def _patience_ends_at(self) -> float:
        patience_s = TERM_PATIENCE_S if self.leaving == "term" else self.terms.spool_after_s
        return max(self._answered_at, self._leaving_at) + patience_s

    def _is_out_of_patience(self, now: float) -> bool:
        return self.leaving is not None and now >= self._patience_ends_at()
