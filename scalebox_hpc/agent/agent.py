"""Wires the parts of a running agent: what `session` decides is done here, what happens is told to it.

It decides nothing that the session, the recipe or the contract can decide.
"""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Callable, Generator
from typing import NamedTuple

from scalebox_hpc.agent import steps
from scalebox_hpc.agent.attempt import NOTHING, Attempt
from scalebox_hpc.agent.broom import Broom
from scalebox_hpc.agent.child import INF, Children, Process
from scalebox_hpc.agent.chunks import Sender
from scalebox_hpc.agent.clock import clock_us
from scalebox_hpc.agent.contract import Collected, Place, collect, delete_removed
from scalebox_hpc.agent.disk import NO_ROOM, describe, is_of_the_disk
from scalebox_hpc.agent.launch import Launcher, LaunchTools
from scalebox_hpc.agent.lease import DOOMED, ENDED, Effects, Held, Json
from scalebox_hpc.agent.link import BUSY, Link
from scalebox_hpc.agent.logs import Frames, Segment
from scalebox_hpc.agent.loop import Loop
from scalebox_hpc.agent.node import Node
from scalebox_hpc.agent.probe import OomCounter
from scalebox_hpc.agent.progress import Watch
from scalebox_hpc.agent.say import log
from scalebox_hpc.agent.session import GAP_S, Session
from scalebox_hpc.agent.spool import Spool
from scalebox_hpc.agent.supplies import Supplies
from scalebox_hpc.agent.workdir import CHUNKS, Slot, Slots, WorkDirs

ANSWER_S = 20.0  # for the answer to a sync that is not parked
SLICE_S = 0.005  # of collecting, before other things get their turn
WALLTIME_NEAR_S = 120.0  # a task stopped by SIGTERM with less left was stopped by its walltime
DOUBT_S = 0.1  # between the failure of a task and its report
SMALL = 4096  # bytes of text in a result, below which its size need not be known exactly
ENCODE = json.JSONEncoder(separators=(",", ":")).encode

Collection = Generator[None, None, Collected]


class Tools(NamedTuple):
    """What an agent works with."""

    loop: Loop
    link: Link
    children: Children
    session: Session
    node: Node
    shared: str
    greet: Callable[[Callable[[bool], None]], None]  # says hello again; told whether we may go on


class Agent:
    """One incarnation at work."""

    def __init__(self, tools: Tools) -> None:
        self.loop, self.link, self.children, self.session, self.node, self.shared, self._greet = tools
        self.work = WorkDirs(self.node.scratch_root)
        self.slots = Slots(self._make_slot)
        self.spool = Spool(os.path.join(self.shared, "spool"), self.node.incarnation)
        self.oom = OomCounter()
        self._logs = os.path.join(self.shared, "logs")
        self.supplies = Supplies(
            (self.loop, self.link), self.node, self._ready, self._dropped, self._cannot_work_here
        )
        self._attempts: dict[str, Attempt] = {}  # with a process
        self._collecting: list[tuple[Attempt, Collection]] = []
        self._senders: dict[str, Sender] = {}  # of results in chunks, until acknowledged
        self._after: dict[str, Collected] = {}  # with what is to be deleted once the lease is recorded
        self.watch = Watch(self._attempts)
        self.broom = Broom(self.loop, self.children, self.work)
        self._greeting = False
        self._due = 0.0  # when there is more to do than to start the next task
        self.launcher = Launcher(
            LaunchTools(
                self.loop,
                self.children,
                self.work,
                self.node,
                clock_us,
                lambda: self.session.walltime_left_s(self.loop.now),
                self._process_ended,
                self._not_started,
            )
        )
        self._frames = Frames()
        self._is_tight = False  # a task waits for room until what was put aside is removed

    def run(self) -> None:
        """Work until the session is over, then leave nothing behind but logs and spool."""
        session, loop = self.session, self.loop
        self._settle_in()
        while not session.over:
            if loop.now >= self._due or session.is_dry:
                session.tick(loop.now)
                self._spool()
                if self._collecting:
                    self._collect_a_slice()  # before starting: it frees slots
                self._start_waiting()
                if self.watch.look(loop.now):
                    session.progressed(loop.now)
                self._say()
                self.broom.sweep()
                self._due = self._wake_at()
            else:
                self._start_waiting()
            loop.turn(min(self._due, self.children.wake_at))
            if loop.now >= self.children.wake_at:
                self.children.tick()
        self.link.close()
        self._spool()
        self.launcher.close()
        self.broom.leave_nothing()

    def _settle_in(self) -> None:
        try:
            self.work.make()
            os.makedirs(self._logs, mode=0o700, exist_ok=True)
        except OSError as problem:
            self._cannot_work_here(problem)

    def _cannot_work_here(self, problem: OSError) -> None:
        """Give back what has not started and leave: only this node is at fault, not the tasks."""
        reason = describe(problem, self.work.root)
        log(f"no task can be started here: {reason}")
        self._due = 0.0
        self._forget(self.session.leave("disk", self.loop.now, reason))

    def terminate(self) -> None:
        """Take nothing more, stop what runs, leave. For SIGTERM."""
        log("SIGTERM: leaving")
        self._due = 0.0
        self._forget(self.session.leave("term", self.loop.now))
        for attempt in list(self._attempts.values()):
            self.launcher.stop(attempt, self._why_told_to_end())

    def _wake_at(self) -> float:
        if self._collecting:
            return 0.0
        ready_at = INF if self._greeting else self.link.ready_at
        return min(self.session.wake_at(ready_at), self.broom.wake_at(), self.watch.wake_at())

    # talking

    def _say(self) -> None:
        loop, session = self.loop, self.session
        if session.sync_at() > loop.now or loop.now < self.link.ready_at or self._greeting:
            return
        now_us = clock_us()
        sync = session.build_sync(loop.now, now_us)
        if sync is None:
            return
        sync["results"] = [self._result(one, now_us) for one in sync["results"]]
        timeout_s = ANSWER_S + (session.terms.poll_s if sync["wait"] else 0.0)
        self.link.sync(
            ENCODE(sync).encode("ascii"), timeout_s, functools.partial(self._answered, sync["sync"])
        )

    def _result(self, made: object, now_us: int) -> Json:
        """Return a result as it is sent. Made only now, many at once, which is cheaper by far."""
        if isinstance(made, Attempt):
            made.held.result = result = made.result()
        else:
            result = made  # type: ignore[assignment]
        result["times"]["reported"] = now_us
        return result

    def _answered(self, number: int, status: int, answer: Json) -> None:
        now, self._due = self.loop.now, 0.0
        if status == 200:
            self._apply(self.session.take_answer(answer, now))
        elif status in (401, 404):
            self.session.sync_failed(number, now)
            self._greet_again(f"the daemon answered {status} to a sync")
        else:
            if status and status not in BUSY:
                log(f"the daemon answered {status} to a sync: {answer.get('error', '')}")
            self.session.sync_failed(number, now, float(answer.get("retry_s", 5.0 if status else 0.0)))

    def _greet_again(self, why: str) -> None:
        if self._greeting:
            return
        log(f"{why}; saying hello again")
        self._greeting = True

        def answered(may_go_on: bool) -> None:
            self._greeting, self._due = False, 0.0
            if not may_go_on:
                self._forget(self.session.leave("drain", self.loop.now))

        self._greet(answered)

    def _apply(self, effects: Effects) -> None:
        now_us = clock_us() if effects.taken else 0
        for one in effects.taken:
            one.received_us = now_us
            self.supplies.get(one)
        for one in effects.recorded:
            found = self._after.pop(one.lease, NOTHING)
            for problem in delete_removed(found.removed, self.node.scratch_root):
                log(f"removed-files.txt of {one.offer['task']}: {problem}")
            if found.folder:
                self.work.remove(found.folder)
        if self._senders:
            self._forget(effects.recorded)
        self._forget(effects.dropped)
        for one in effects.kill:
            attempt = self._attempts.get(one.lease)
            if attempt is not None:
                self.launcher.stop(attempt, "dead")

    def _forget(self, dropped: list[Held]) -> None:
        for one in dropped:
            self._after.pop(one.lease, None)
            sender = self._senders.pop(one.lease, None)
            if sender is not None:
                sender.discard()
            if gather_dir := self.supplies.gather_dir(one):
                self.supplies.forget(one)
                self.work.discard(gather_dir)

    # before a start

    def _ready(self, one: Held) -> None:
        self._due = 0.0
        self.session.prepared(one)

    def _dropped(self, one: Held) -> None:
        self._due = 0.0
        self.session.dropped(one, self.loop.now)
        self._forget([one])

    def _make_slot(self, number: int) -> Slot:
        base = os.path.join(self._logs, f"{self.node.incarnation}.{number}")
        segments = (Segment(base + ".out"), Segment(base + ".err"))
        slot = Slot(number, self.node.scratch_root, segments)
        slot.redirections = self.children.redirections(segments[0].fd, segments[1].fd)
        return slot

    # start and end

    def _start_waiting(self) -> None:
        if self._is_tight and self.broom.is_at_work:
            return
        while True:
            one = self.session.next_start(self.loop.now)
            if one is None:
                return
            self.session.started(one, self.loop.now)
            self._start(one)
            if self._is_tight:
                return

    def _start(self, one: Held) -> None:
        try:
            slot = self.slots.take()
        except OSError as problem:
            self._cannot_start(one, problem)
            return
        recipe, gather_dir = self.supplies.recipes[one.module], self.supplies.gather_dir(one)
        attempt = self._attempts[one.lease] = Attempt(one, recipe, slot, gather_dir)
        try:
            tree = self.work.prepare(slot, recipe.links)
            now_us = clock_us()
            frame = self._frames.frame(one.offer, one.lease, now_us)
            slot.segments[0].begin(frame)
            slot.segments[1].begin(frame)
        except OSError as problem:
            if is_of_the_disk(problem):
                del self._attempts[one.lease]
                self.slots.give(slot)
                self._cannot_start(one, problem)
            else:
                attempt.fail("launch", recipe.explain("", slot.work, problem))
                self._not_started(attempt)
            return
        self._is_tight = False
        self.launcher.start(attempt, tree.fd, now_us)

    def _not_started(self, attempt: Attempt) -> None:
        attempt.times["ended"] = clock_us()
        self._collected(attempt, NOTHING, attempt.times["ended"])

    def _cannot_start(self, one: Held, problem: OSError) -> None:
        """Let all that can be removed be removed and try once more, or give up this node."""
        self.session.not_started(one)
        for path in self.slots.spoilt():
            self.work.discard(path)
        if problem.errno in NO_ROOM and not self._is_tight and self.broom.is_at_work:
            self._is_tight, self._due = True, 0.0
        else:
            self._cannot_work_here(problem)

    def _process_ended(self, attempt: Attempt, process: Process) -> None:
        attempt.times["ended"] = clock_us()
        if attempt.recipe.ranks is None:
            self._process_over(attempt, process, "")
            return
        over = functools.partial(self._process_over, attempt, process)
        steps.end_then(self.children, self.node.environ, self.node.incarnation, over)

    def _process_over(self, attempt: Attempt, process: Process, note: str) -> None:
        if note:
            attempt.say(note)
        attempt.judge(process, self.oom)
        try:
            attempt.left = self.work.names(attempt.slot)
        except OSError as problem:  # what it says of itself cannot be read: no success to be believed
            attempt.fail(attempt.cause or "output", describe(problem, attempt.slot.work))
        rules, stage = attempt.recipe.rules, attempt.recipe.stage
        if not attempt.left and (attempt.cause is not None or (rules.sends_nothing and stage is None)):
            self._collected(attempt, NOTHING, attempt.times["ended"])
            return
        offer = attempt.held.offer
        place = Place(
            attempt.slot.work,
            attempt.left or {},
            attempt.recipe.results,
            offer["body"],
            offer.get("headers") or {},
            f"{self.node.scratch_root}/{CHUNKS}/{attempt.held.lease}",
            attempt.recipe.walls,
            None if stage is None else stage.leaving(offer, attempt.recipe.links),
            offer.get("brought", ""),
        )
        collection = collect(place, rules, attempt.cause is None)
        if not self._step(attempt, collection):
            self._collecting.append((attempt, collection))
            self._due = 0.0

    def _step(self, attempt: Attempt, collection: Collection) -> bool:
        try:
            next(collection)
        except StopIteration as done:
            self._collected(attempt, done.value, clock_us())
            return True
        return False

    def _collect_a_slice(self) -> None:
        until = time.monotonic() + SLICE_S
        waiting, self._collecting = self._collecting, []
        while waiting:
            attempt, collection = waiting.pop(0)
            if not self._step(attempt, collection):
                waiting.append((attempt, collection))
            if time.monotonic() > until:
                break
        self._collecting += waiting

    def _collected(self, attempt: Attempt, found: Collected, at_us: int) -> None:
        one, slot, session = attempt.held, attempt.slot, self.session
        attempt.times["collected"] = at_us
        attempt.close(found)
        del self._attempts[one.lease]
        self.work.clear(slot, attempt.left)
        self.launcher.clear(attempt)
        self.slots.give(slot)
        if attempt.gather_dir:
            self.work.discard(attempt.gather_dir)
        is_doomed = one.state == DOOMED
        session.ended(one, self.loop.now, attempt.process is not None)
        self._due = min(self._due, self.loop.now + GAP_S)
        if is_doomed:
            return
        if attempt.never_began:
            session.dropped(one, self.loop.now)
        elif attempt.cause == "exit":
            doubt = functools.partial(self._believe, attempt, found)
            self.loop.at(self.loop.now + DOUBT_S, doubt)
        else:
            self._deliver(attempt, found)

    def _believe(self, attempt: Attempt, found: Collected) -> None:
        """Report a failure, unless it came of a TERM that the batch system sent to all of us.

        Such a signal reaches a task and its agent at about the same time, in any order.
        """
        if attempt.held.state != ENDED:
            return
        if self.session.leaving == "term":
            attempt.interrupt(self._why_told_to_end())
        self._deliver(attempt, found)

    def _deliver(self, attempt: Attempt, found: Collected) -> None:
        """Make the result, and hand it to the session; its chunks go ahead of it."""
        one, session = attempt.held, self.session
        if found.removed or found.folder:
            self._after[one.lease] = found
        is_small = attempt.text_bytes < SMALL and len(found.messages) < 2
        if is_small and not found.chunks:
            session.finished(one, attempt, SMALL)  # `_collected` has said when it is due
            return
        self._due = 0.0
        result = attempt.result()
        size = len(ENCODE(result))
        if not found.chunks:
            session.finished(one, result, size)
            return
        session.sending(one)
        sent = functools.partial(self._chunks_sent, one, result, size)
        sender = Sender(self.link, self.node.incarnation, result, found.chunks, sent)
        self._senders[one.lease] = sender
        sender.start()

    def _why_told_to_end(self) -> str:
        """Return what SIGTERM means; Slurm's word for it is not to be had here."""
        left_s = self.session.walltime_left_s(self.loop.now)
        return "walltime" if left_s is not None and left_s <= WALLTIME_NEAR_S else "preempted"

    def _chunks_sent(self, one: Held, result: Json, size: int, staged: bool) -> None:
        self._due = 0.0
        if staged:
            self.session.finished(one, result, size)
        else:
            self.session.dropped(one, self.loop.now)
            self._forget([one])

    # beside the hot path

    def _spool(self) -> None:
        """Write what the daemon could not be told to the spool; what cannot be written is kept."""
        session = self.session
        if not session.may_spool(self.loop.now):
            return
        try:
            for one in session.to_spool(self.loop.now):
                sender = self._senders.get(one.lease)
                chunks = sender.read() if sender is not None else ()
                self.spool.add(self._result(one.result, clock_us()), chunks)
                session.spooled(one)
                if sender is not None:
                    sender.spooled = True
            for sender in self._senders.values():
                if not sender.spooled:
                    self.spool.add(sender.result, sender.read())
                    sender.spooled = True
        except OSError as problem:
            log(f"results cannot be kept in the spool: {describe(problem, self.spool.path)}")
            session.spool_failed(self.loop.now)
