"""An agent without processes: the real session, tasks that are played by a function, a virtual clock.

It decides nothing that `scalebox_hpc.agent.session` decides.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from scalebox_hpc.agent.gather import member_line, missing_line
from scalebox_hpc.agent.lease import DOOMED, Effects, Held, Terms, read_terms
from scalebox_hpc.agent.main import HELLO_S
from scalebox_hpc.agent.ordering import members
from scalebox_hpc.agent.session import Session
from scalebox_hpc.testing.clock import VirtualClock

Json = dict[str, Any]
Answered = Callable[[int, Json], None]  # HTTP status, 0 where nobody answered; body

CHUNK = 3  # messages of a pretended chunk: few, so that many chunks are sent
INLINE = 5  # messages up to this many travel in the report
ASK_AGAIN_S = 2.0
SYNC_ANSWER_S = 20.0
PAGE = 2  # members asked for at once
TERM_S = 1.0  # for tasks to end after SIGTERM
WALLTIME_NEAR_S = 120.0  # a task stopped by SIGTERM with less left was stopped by its walltime
NO_ROOM = "/scratch/work: No space left on device (ENOSPC)"
LAUNCH_S = 0.1  # until a program that does not start has failed


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a pretended task."""

    messages: Sequence[tuple[str, str] | tuple[str, str, Mapping[str, str]]] = ()
    run_s: float = 1.0
    cause: str | None = None  # None: it succeeded
    exit_code: int | None = 0
    text: str = ""  # the program's own text in the report


Play = Callable[[Json, list[Json]], Played]
"""Plays a task: its offer with its run, and the members of a gather task or what is missing, in no order."""


class Surroundings(Protocol):
    """What an agent has around it."""

    clock: VirtualClock
    spools: dict[str, list[Json]]
    broken_nodes: set[str]  # where no program starts
    full_nodes: set[str]  # whose disk is full
    scratch_mib: int  # free on each node
    shared_is_full: bool  # spools cannot be written

    @property
    def play(self) -> Play:
        """What tasks do."""

    def wall_us(self, node: str) -> int:
        """What the wall clock of a node says."""

    def ask(self, verb: str, args: Json, answered: Answered, timeout_s: float) -> None:
        """Ask the daemon; `answered` is called once for each answer that arrives, or with 0 for none."""

    def agent_over(self, agent: SimulatedAgent) -> None:
        """The agent's process has ended."""

    def saw(self, what: str, *details: Any) -> None:
        """Something happened that a witness may want to know of."""


@dataclass(slots=True)
class SimulatedAgent:
    """One incarnation."""

    around: Surroundings
    try_name: str
    element: int
    restart: int
    incarnation: str
    job_id: str
    walltime_s: float | None = None
    node: str = ""  # "": one for each index of an element
    session: Session | None = None  # None: before it was welcomed
    over: bool = False
    killed: bool = False  # it did not end by itself
    is_stray: bool = False  # it is not in the element of which it says it is
    started: list[str] = field(default_factory=list)  # leases, in the order of their starts
    acknowledged: list[str] = field(default_factory=list)
    judged: set[str] = field(default_factory=set)  # leases with a result that the daemon did not want
    results: dict[str, Json] = field(default_factory=dict)  # of all tasks that ended here, by lease
    chunks: dict[str, list[list[Any]]] = field(default_factory=dict)
    sending: dict[str, Json] = field(default_factory=dict)  # results whose chunks are on their way
    sheets: dict[int, Json] = field(default_factory=dict)  # of modules, each fetched once
    _wanting: dict[int, list[Held]] = field(default_factory=dict)  # tasks whose sheet is on its way
    _began_s: float = 0.0  # its first hello
    _wakes_s: float = float("inf")

    def hello(self) -> None:
        """Say hello until it is answered, or nobody is there for too long."""
        if self.over or self.session is not None:
            return
        self._began_s = self._began_s or self.around.clock.mono_s
        if self.around.clock.mono_s - self._began_s >= HELLO_S:
            self._end()
            return
        self.around.ask("agent.hello", self._introduction(), _once(self._welcomed), ASK_AGAIN_S)

    def _introduction(self) -> Json:
        return {
            "home": "0" * 16,
            "try": self.try_name,
            "element": self.element,
            "incarnation": self.incarnation,
            "restart": self.restart,
            "node": self.node or f"node{self.element}",
            "pid": 1,
            "cpus": 64,
            "memory_mib": 1 << 20,
            "gpus": 0,
            "scratch_mib": self.around.scratch_mib,
            "walltime_left_s": self.walltime_s,
            "clock_us": self._wall_us(),
            "job_id": self.job_id,
            "python": "3.11",
            "version": "0",
        }

    def _welcomed(self, status: int, answer: Json) -> None:
        if self.over or self.session is not None:
            return
        if status != 200:
            self.around.clock.after(ASK_AGAIN_S, self.hello)
        elif answer["do"] == "leave":
            self._end()
        else:
            terms: Terms = read_terms(answer)
            self.session = Session(self.incarnation, terms, self.around.clock.mono_s, self.walltime_s)
            self.act()

    def _wall_us(self) -> int:
        return self.around.wall_us(self.node)

    def terminate(self) -> None:
        """SIGTERM: take nothing more, end what runs, leave."""
        if self.session is None:
            self._end()
            return
        now = self.around.clock.mono_s
        self.session.leave("term", now)
        for one in list(self.session.held.values()):
            if one.lease in self.started:
                self.around.clock.after(TERM_S, partial(self._killed, one))
        self.act()

    def act(self) -> None:
        """Do what the session has to do now, and be woken when it has more."""
        if self.over or self.session is None:
            return
        session, clock = self.session, self.around.clock
        session.tick(clock.mono_s)
        self._spool_results()
        if session.over:
            self._end()
            return
        while (ready := session.next_start(clock.mono_s)) is not None:
            self._start(ready)
        sync = session.build_sync(clock.mono_s, self._wall_us())
        if sync is not None:
            timeout_s = SYNC_ANSWER_S + (session.terms.poll_s if sync["wait"] else 0.0)
            self.around.ask("agent.sync", sync, partial(self._synced, sync["sync"]), timeout_s)
        self._wake(session.wake_at())

    def _spool_results(self) -> None:
        """Write to the spool what the daemon could not be told; what cannot be written is kept."""
        assert self.session is not None
        session, now = self.session, self.around.clock.mono_s
        if not session.may_spool(now):
            return
        if self.around.shared_is_full and (self.sending or session.to_spool(now)):
            session.spool_failed(now)
            return
        for one in session.to_spool(now):
            assert isinstance(one.result, dict), "results here are played, not encoded"
            self._spool(one.lease, one.result)
            session.spooled(one)
        while self.sending:
            self._spool(*self.sending.popitem())

    def _wake(self, at_s: float) -> None:
        clock = self.around.clock
        if at_s < self._wakes_s or self._wakes_s <= clock.mono_s:
            self._wakes_s = at_s
            if at_s != float("inf"):
                clock.after(max(at_s - clock.mono_s, 0.001), self._woken)

    def _woken(self) -> None:
        if self.around.clock.mono_s >= self._wakes_s:
            self._wakes_s = float("inf")
            self.act()

    def _synced(self, number: int, status: int, answer: Json) -> None:
        if self.over or self.session is None:
            return
        now = self.around.clock.mono_s
        if status == 200:
            self._apply(self.session.take_answer(answer, now))
        else:
            self.session.sync_failed(number, now, float(answer.get("retry_s", 1.0)))
        self.act()

    def _apply(self, effects: Effects) -> None:
        assert self.session is not None
        for one in effects.taken:
            self._supply(one)
        self.acknowledged += [one.lease for one in effects.recorded]
        self.judged.update(one.lease for one in effects.dropped)
        for one in effects.kill:
            self.around.clock.after(0.1, partial(self._killed, one))

    def _supply(self, one: Held) -> None:
        """Get what a task needs: the sheet of its module, once, and what it gathers."""
        if not self._holds(one):
            return
        if one.module not in self.sheets:
            waiting = self._wanting.setdefault(one.module, [])
            waiting.append(one)
            if len(waiting) == 1:
                self._ask_for_sheet(one.module)
        elif one.offer.get("gather"):
            self._fetch(one, 0, "members", [])
        else:
            assert self.session is not None
            self.session.prepared(one)

    def _holds(self, one: Held) -> bool:
        return not self.over and self.session is not None and self.session.held.get(one.lease) is one

    def _ask_for_sheet(self, module: int) -> None:
        """Ask until there is an answer; without a sheet its tasks are dropped."""
        args = {"incarnation": self.incarnation, "module": module}

        def answered(status: int, sheet: Json) -> None:
            if self.over or self.session is None:
                return
            if status in (0, 429, 503):
                self.around.clock.after(ASK_AGAIN_S, partial(self._ask_for_sheet, module))
                return
            waiting = self._wanting.pop(module)
            if status == 200:
                self.sheets[module] = sheet
            for one in waiting:
                if status == 200:
                    self._supply(one)
                elif self._holds(one):
                    self.session.dropped(one, self.around.clock.mono_s)
            self.act()

        self.around.ask("agent.sheet", args, _once(answered), ASK_AGAIN_S)

    def _fetch(self, one: Held, after: int, what: str, rows: list[Json]) -> None:
        """Fetch what a gather task works on, page by page, asking again until there is an answer."""
        args = {
            "incarnation": self.incarnation,
            "lease": one.lease,
            "after": after,
            "what": what,
            "limit": PAGE,
        }

        def answered(status: int, answer: Json) -> None:
            if self.session is None or not self._holds(one):
                return
            if status == 404:
                self.session.dropped(one, self.around.clock.mono_s)
            elif status != 200:
                self.around.clock.after(ASK_AGAIN_S, partial(self._fetch, one, after, what, rows))
            elif answer["next"] is not None:
                self._fetch(one, answer["next"], what, rows + _as_told(what, answer["rows"]))
            else:
                one.offer[what] = rows + _as_told(what, answer["rows"])
                if what == "members":
                    self._fetch(one, 0, "missing", [])
                else:
                    self.session.prepared(one)
            self.act()

        self.around.ask("agent.members", args, _once(answered), ASK_AGAIN_S)

    def _start(self, one: Held) -> None:
        assert self.session is not None
        self.session.started(one, self.around.clock.mono_s)
        if self.node in self.around.full_nodes:
            self.session.not_started(one)
            self.session.leave("disk", self.around.clock.mono_s, NO_ROOM)
            return
        self.started.append(one.lease)
        if self.node in self.around.broken_nodes:
            played = Played(cause="launch", run_s=LAUNCH_S, exit_code=None)
        else:
            offer = {**one.offer, "run": self.sheets[one.module]["run"]}
            played = self.around.play(offer, one.offer.get("members", []))
        self.around.clock.after(played.run_s, partial(self._ended, one, played, self._wall_us()))

    def _killed(self, one: Held) -> None:
        """The process of a doomed lease, or of one that we stop because we leave, has ended."""
        if self.session is None or not self._holds(one):
            return
        if one.lease in self.started and one.result is None and not one.sending:
            is_doomed, now = one.state == DOOMED, self.around.clock.mono_s
            self.session.ended(one, now)
            left_s = self.session.walltime_left_s(now)
            if not is_doomed:
                near = left_s is not None and left_s <= WALLTIME_NEAR_S
                cause = "walltime" if near else "preempted"
                self._deliver(one, Played(cause=cause, exit_code=None), self._wall_us())
        self.act()

    def _ended(self, one: Held, played: Played, began_us: int) -> None:
        """A task's process has ended by itself, unless it was ended before."""
        if self.session is None or not self._holds(one) or one.result is not None or one.sending:
            return
        doomed = one.state == DOOMED
        self.session.ended(one, self.around.clock.mono_s)
        if not doomed:
            self._deliver(one, played, began_us)
        self.act()

    def _deliver(self, one: Held, played: Played, began_us: int) -> None:
        """Make the result, and hand it to the session; its chunks go ahead of it."""
        assert self.session is not None
        result = self._result(one, played, began_us)
        self.results[one.lease] = result
        self.around.saw("result", self, result)
        if played.cause is not None or len(played.messages) <= INLINE:
            self.session.finished(one, result, 100)
            return
        messages = result["messages"]
        pieces = [messages[start : start + CHUNK] for start in range(0, len(messages), CHUNK)]
        self.chunks[one.lease] = pieces
        self.session.sending(one)
        result = {**result, "messages": [], "chunks": len(pieces)}
        self.sending[one.lease] = result
        self._send_chunk(one, result, 0)

    def _send_chunk(self, one: Held, result: Json, seq: int) -> None:
        assert self.session is not None
        if seq == result["chunks"]:
            self.sending.pop(one.lease, None)
            self.session.finished(one, result, 100)
            self.act()
            return
        args = {
            "incarnation": self.incarnation,
            "lease": one.lease,
            "seq": seq,
            "messages": self.chunks[one.lease][seq],
        }

        def answered(status: int, answer: Json) -> None:
            if self.session is None or not self._holds(one):
                return
            if status == 200 and answer.get("staged"):
                self._send_chunk(one, result, seq + 1)
            elif status in (0, 429, 503):
                self.around.clock.after(ASK_AGAIN_S, partial(self._send_chunk, one, result, seq))
            else:
                self.judged.add(one.lease)
                self.sending.pop(one.lease, None)
                self.session.dropped(one, self.around.clock.mono_s)
            self.act()

        self.around.ask("agent.chunk", args, _once(answered), ASK_AGAIN_S)

    def _result(self, one: Held, played: Played, began_us: int) -> Json:
        now_us = self._wall_us()
        messages = [[each[0], each[1], dict(each[2]) if len(each) > 2 else None] for each in played.messages]
        return {
            "lease": one.lease,
            "outcome": "ok" if played.cause is None else "failed",
            "cause": played.cause,
            "exit_code": played.exit_code,
            "note": "" if played.cause in (None, "exit") else f"played: {played.cause}",
            "slot": 0,
            "user_text": played.text,
            "times": {"received": began_us, "started": began_us, "ended": now_us, "reported": now_us},
            "messages": messages if played.cause is None else [],
        }

    def _spool(self, lease: str, result: Json) -> None:
        self.around.saw("spool", self, lease)
        lines = self.around.spools.setdefault(self.incarnation, [])
        head = {"incarnation": self.incarnation}
        for seq, messages in enumerate(self.chunks.get(lease, [])):
            lines.append({**head, "chunk": {"lease": lease, "seq": seq, "messages": messages}})
        lines.append({**head, "result": result})

    def _end(self) -> None:
        self.over = True
        self.around.agent_over(self)


def _as_told(what: str, rows: list[list[Any]]) -> list[Json]:
    """Members, or what is missing, as a program finds them in its files."""
    if what == "missing":
        return [json.loads(missing_line(row)) for row in rows]
    return [json.loads(member_line(one)) for one in members(rows)[0]]


def _once(answered: Answered) -> Answered:
    """Take the first answer only: a request that is tried again on a connection has one."""
    told: list[int] = []

    def first(status: int, answer: Json) -> None:
        if not told:
            told.append(status)
            answered(status, answer)

    return first
