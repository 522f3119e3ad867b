"""Wires the parts of a running agent: what `session` decides is done here, what happens is told to it.

It decides nothing that the session, the recipe or the contract can decide.
"""

from __future__ import annotations

import functools
import json
import os
import re
import sys
import time
from collections.abc import Callable, Generator
from typing import NamedTuple

from scalebox_hpc.agent import steps
from scalebox_hpc.agent.attempt import NOTHING, Attempt
from scalebox_hpc.agent.broom import Broom
from scalebox_hpc.agent.child import INF, Children, Process
from scalebox_hpc.agent.chunks import Sender
from scalebox_hpc.agent.command import Node, Recipe
from scalebox_hpc.agent.contract import Collected, Place, collect, delete_removed
from scalebox_hpc.agent.gather import Fetch
from scalebox_hpc.agent.launch import Launcher, LaunchTools
from scalebox_hpc.agent.lease import DOOMED, ENDED, PREPARING, Effects, Held, Json
from scalebox_hpc.agent.link import BUSY, Link
from scalebox_hpc.agent.logs import Segment
from scalebox_hpc.agent.loop import Loop
from scalebox_hpc.agent.probe import OomCounter
from scalebox_hpc.agent.session import GAP_S, Session
from scalebox_hpc.agent.spool import Spool
from scalebox_hpc.agent.workdir import Slot, Slots, WorkDirs, link_bin

ANSWER_S = 20.0  # for the answer to a sync that is not parked
SLICE_S = 0.005  # of collecting, before other things get their turn
WALLTIME_NEAR_S = 120.0  # a task stopped by SIGTERM with less left was stopped by its walltime
DOUBT_S = 0.1  # between the failure of a task and its report
SMALL = 4096  # bytes of text in a result, below which its size need not be known exactly
ENCODE = json.JSONEncoder(separators=(",", ":")).encode

Collection = Generator[None, None, Collected]


def clock_us() -> int:
    """Return the time of day in microseconds UTC."""
    return time.time_ns() // 1000


def log(text: str) -> None:
    """Say something in the element's log."""
    print(f"agent: {text}", file=sys.stderr, flush=True)


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
        self._recipes: dict[int, Recipe] = {}
        self._wanting: dict[int, list[Held]] = {}  # tasks whose sheet is on its way
        self._attempts: dict[str, Attempt] = {}  # with a process
        self._collecting: list[tuple[Attempt, Collection]] = []
        self._senders: dict[str, Sender] = {}  # of results in chunks, until acknowledged
        self._after: dict[str, list[str]] = {}  # files to delete once the lease is recorded
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
                log,
            )
        )
        for name in ("gather", "chunks"):
            os.makedirs(os.path.join(self.node.scratch_root, name), mode=0o700, exist_ok=True)
        os.makedirs(self._logs, mode=0o700, exist_ok=True)

    def run(self) -> None:
        """Work until the session is over, then leave nothing behind but logs and spool."""
        session, loop = self.session, self.loop
        while not session.over:
            if loop.now >= self._due or session.is_dry:
                session.tick(loop.now)
                self._spool()
                if self._collecting:
                    self._collect_a_slice()  # before starting: it frees slots
                self._start_waiting()
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

    def terminate(self) -> None:
        """Take nothing more, stop what runs, leave. For SIGTERM."""
        log("SIGTERM: leaving")
        self._due = 0.0
        self._forget(self.session.leave("term", self.loop.now))
        for attempt in list(self._attempts.values()):
            self.launcher.stop(attempt, "term")

    def _wake_at(self) -> float:
        if self._collecting:
            return 0.0
        ready_at = INF if self._greeting else self.link.ready_at
        return min(self.session.wake_at(ready_at), self.broom.wake_at())

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
            recipe = self._recipes.get(one.module)
            if recipe is not None and not one.offer.get("gather"):
                self.session.prepared(one)
            else:
                self._prepare(one)
        for one in effects.recorded:
            removed = self._after.pop(one.lease, None)
            if removed:
                for problem in delete_removed(removed, self.node.scratch_root):
                    log(f"removed-files.txt of {one.offer['task']}: {problem}")
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
            if one.offer.get("gather"):
                self.work.put_aside(self._gather_dir(one))

    # before a start

    def _prepare(self, one: Held) -> None:
        if one.module not in self._recipes:
            waiting = self._wanting.setdefault(one.module, [])
            waiting.append(one)
            if len(waiting) == 1:
                body = ENCODE({"incarnation": self.node.incarnation, "module": one.module})
                self.link.ask(
                    "/v1/agent/sheet", body.encode(), functools.partial(self._sheet_came, one.module)
                )
        elif one.state == PREPARING and one.offer.get("gather"):
            done = functools.partial(self._gathered, one)
            Fetch(self.link, self.node.incarnation, one.lease, self._gather_dir(one), done)
        else:
            self.session.prepared(one)

    def _sheet_came(self, module: int, status: int, sheet: Json) -> None:
        waiting, self._due = self._wanting.pop(module, []), 0.0
        try:
            if status != 200:
                raise ValueError(f"the daemon answered {status} {sheet.get('error', '')}")
            bin_dir = link_bin(self.node.scratch_root, module, sheet.get("bin", ()))
            self._recipes[module] = Recipe(sheet, self.node, bin_dir)
        except (OSError, ValueError, KeyError, re.error) as problem:
            log(f"the sheet of module {module} cannot be used: {problem}")
            for one in waiting:
                self.session.dropped(one, self.loop.now)
            return
        for one in waiting:
            self._prepare(one)

    def _gathered(self, one: Held, problem: str) -> None:
        self._due = 0.0
        if problem:
            log(f"members of {one.offer['task']}: {problem}")
            self.session.dropped(one, self.loop.now)
        self.session.prepared(one)

    def _gather_dir(self, one: Held) -> str:
        return os.path.join(self.node.scratch_root, "gather", one.lease)

    def _make_slot(self, number: int) -> Slot:
        base = os.path.join(self._logs, f"{self.node.incarnation}.{number}")
        segments = (Segment(base + ".out"), Segment(base + ".err"))
        slot = Slot(number, self.node.scratch_root, segments)
        slot.redirections = self.children.redirections(segments[0].fd, segments[1].fd)
        return slot

    # start and end

    def _start_waiting(self) -> None:
        while True:
            one = self.session.next_start(self.loop.now)
            if one is None:
                return
            self.session.started(one, self.loop.now)
            self._start(one)

    def _start(self, one: Held) -> None:
        recipe, slot = self._recipes[one.module], self.slots.take()
        gather_dir = self._gather_dir(one) if one.offer.get("gather") else ""
        attempt = self._attempts[one.lease] = Attempt(one, recipe, slot, gather_dir)
        self.launcher.start(attempt)

    def _not_started(self, attempt: Attempt) -> None:
        attempt.times["ended"] = clock_us()
        self._collected(attempt, NOTHING, attempt.times["ended"])

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
        attempt.left = self.work.names(attempt.slot)
        rules = attempt.recipe.rules
        if not attempt.left and (attempt.cause is not None or rules.sends_nothing):
            self._collected(attempt, NOTHING, attempt.times["ended"])
            return
        offer = attempt.held.offer
        place = Place(
            attempt.slot.work,
            attempt.left or {},
            attempt.recipe.results,
            offer["body"],
            offer.get("headers") or {},
            f"{self.node.scratch_root}/chunks/{attempt.held.lease}",
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
        if attempt.container is not None:
            self.launcher.clear(attempt)
        self.slots.give(slot)
        if attempt.gather_dir:
            self.work.put_aside(attempt.gather_dir)
        is_doomed = one.state == DOOMED
        session.ended(one, self.loop.now, attempt.process is not None)
        self._due = min(self._due, self.loop.now + GAP_S)
        if is_doomed:
            return
        if attempt.cause == "walltime" and not self._is_near_the_end():
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
            self.session.dropped(attempt.held, self.loop.now)
        else:
            self._deliver(attempt, found)

    def _deliver(self, attempt: Attempt, found: Collected) -> None:
        """Make the result, and hand it to the session; its chunks go ahead of it."""
        self._due = 0.0
        one, session = attempt.held, self.session
        if found.removed:
            self._after[one.lease] = found.removed
        is_small = attempt.text_bytes < SMALL and len(found.messages) < 2
        if is_small and not found.chunks:
            session.finished(one, attempt, SMALL)
            return
        result = attempt.result()
        size = len(ENCODE(result))
        if not found.chunks:
            session.finished(one, result, size)
            return
        session.sending(one)
        sent = functools.partial(self._chunks_sent, one, result, size)
        self._senders[one.lease] = Sender(self.link, self.node.incarnation, result, found.chunks, sent)

    def _is_near_the_end(self) -> bool:
        left_s = self.session.walltime_left_s(self.loop.now)
        return left_s is not None and left_s <= WALLTIME_NEAR_S

    def _chunks_sent(self, one: Held, result: Json, size: int, staged: bool) -> None:
        self._due = 0.0
        if staged:
            self.session.finished(one, result, size)
        else:
            self.session.dropped(one, self.loop.now)
            self._forget([one])

    # beside the hot path

    def _spool(self) -> None:
        session = self.session
        due = session.to_spool(self.loop.now)
        if not due and not (self._senders and (session.over or session.is_silent(self.loop.now))):
            return
        try:
            for one in due:
                sender = self._senders.get(one.lease)
                self.spool.add(
                    self._result(one.result, clock_us()), sender.read() if sender is not None else ()
                )
                session.spooled(one)
                if sender is not None:
                    sender.spooled = True
            for sender in self._senders.values():
                if not sender.spooled:
                    self.spool.add(sender.result, sender.read())
                    sender.spooled = True
        except OSError as problem:
            log(f"{self.spool.path} cannot be written: {problem.strerror}")
            session.spool_failed(self.loop.now)
