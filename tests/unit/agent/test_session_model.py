"""However syncs and answers are lost, doubled, delayed and reordered, the agent's session keeps its word.

The daemon's side is a model of the rules of the wire: leases, offers, results; it may restart and
forget what only its memory held.
"""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from scalebox_hpc.agent.lease import RUNNING, Held, Terms
from scalebox_hpc.agent.session import Session

TERMS = Terms((3, 300, 0, 0), idle_s=5.0, lost_after_s=900.0, spool_after_s=60.0)


class DaemonModel:
    """The daemon's session with one incarnation."""

    def __init__(self) -> None:
        self.state: dict[int, str] = {}  # task to READY LEASED RUNNING DONE
        self.lease: dict[int, int] = {}  # number of the current or last lease
        self.runs_recorded: dict[int, int] = {}
        self.restart()

    def restart(self) -> None:
        """Forget what lives in memory: all leases that are out count as offered."""
        self.last, self.first_bearing = 0, {}
        self.fresh = True

    def lease_text(self, task: int) -> str:
        return f"{task}.e.{self.lease[task]}"

    def sync(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """Answer a sync, or None when it is dropped."""
        number, took = body["sync"], body["took"]
        if number <= self.last:
            return None
        self.last = number
        answer: dict[str, Any] = {"sync": number, "recorded": [], "refused": [], "dead": [], "do": "work"}
        for result in body["results"]:
            task = int(result["lease"].partition(".")[0])
            current = result["lease"] == self.lease_text(task)
            self.first_bearing.pop(result["lease"], None)
            if current and self.state[task] in ("LEASED", "RUNNING"):
                self.state[task] = "DONE"
                self.runs_recorded[task] = self.runs_recorded.get(task, 0) + 1
            answer["recorded" if current and self.state[task] == "DONE" else "refused"].append(
                result["lease"]
            )
        listed = dict(body["held"])
        for lease, started in listed.items():
            task = int(lease.partition(".")[0])
            if lease != self.lease_text(task) or self.state[task] not in ("LEASED", "RUNNING"):
                answer["dead"].append(lease)
            else:
                self.state[task] = "RUNNING" if started else "LEASED"
                self.first_bearing.pop(lease, None)
        self.give_back(listed, {result["lease"] for result in body["results"]}, took)
        answer["offers"] = [] if body["leaving"] else self.grant(body["free"], number)
        self.fresh = False
        return answer

    def give_back(self, listed: dict[str, int], reported: set[str], took: int) -> None:
        for task, state in self.state.items():
            if state not in ("LEASED", "RUNNING"):
                continue
            lease = self.lease_text(task)
            if lease in listed or lease in reported:
                continue
            if self.fresh and lease not in self.first_bearing:
                self.first_bearing[lease] = self.last
            if lease not in self.first_bearing or took >= self.first_bearing[lease]:
                self.state[task] = "READY"
                self.first_bearing.pop(lease, None)

    def grant(self, free: dict[str, int], number: int) -> list[dict[str, Any]]:
        offers = []
        room = free["cpus"]
        for task, state in self.state.items():
            lease = self.lease_text(task)
            if state == "READY" and room > 0:
                self.lease[task] += 1
                self.state[task] = "LEASED"
                lease = self.lease_text(task)
                self.first_bearing[lease] = number
            if lease in self.first_bearing:
                room -= 1
                need = {"cpus": 1, "memory_mib": 100, "time_s": 10.0}
                offers.append({"lease": lease, "module": 1, "task": f"m.{task}", "resources": need})
        return offers


class Conversation(RuleBasedStateMachine):
    """One session, one model, and a network that does as it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.session = Session("i", TERMS, self.now)
        self.daemon = DaemonModel()
        self.to_daemon: list[dict[str, Any]] = []
        self.to_agent: list[dict[str, Any]] = []
        self.running: list[Held] = []
        self.reported: set[str] = set()
        self.tasks = 0

    @rule()
    def a_task_becomes_ready(self) -> None:
        self.tasks += 1
        self.daemon.state[self.tasks], self.daemon.lease[self.tasks] = "READY", 0

    @rule(seconds=st.sampled_from([0.01, 0.06, 1.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.session.tick(self.now)

    @rule()
    def the_agent_syncs(self) -> None:
        body = self.session.build_sync(self.now)
        if body is not None:
            assert {lease for lease, _ in body["held"]}.isdisjoint(
                result["lease"] for result in body["results"]
            )
            self.to_daemon.append(copy.deepcopy(body))

    @rule(number=st.integers(0, 9), keep=st.booleans())
    @precondition(lambda self: self.to_daemon)
    def a_sync_arrives(self, number: int, keep: bool) -> None:
        index = number % len(self.to_daemon)
        body = self.to_daemon[index] if keep else self.to_daemon.pop(index)
        answer = self.daemon.sync(copy.deepcopy(body))
        if answer is not None:
            self.to_agent.append(answer)

    @rule(number=st.integers(0, 9), keep=st.booleans())
    @precondition(lambda self: self.to_agent)
    def an_answer_arrives(self, number: int, keep: bool) -> None:
        index = number % len(self.to_agent)
        answer = self.to_agent[index] if keep else self.to_agent.pop(index)
        effects = self.session.take_answer(copy.deepcopy(answer), self.now)
        for one in effects.taken:
            self.session.prepared(one)
        for one in effects.kill:
            self.running.remove(one)
            self.session.ended(one, self.now)

    @rule()
    def a_sync_gets_no_answer(self) -> None:
        self.session.sync_failed(self.session.number, self.now)

    @rule()
    def a_task_starts(self) -> None:
        one = self.session.next_start(self.now)
        if one is not None:
            self.session.started(one, self.now)
            self.running.append(one)

    @rule()
    def a_task_finds_no_room_to_start(self) -> None:
        one = self.session.next_start(self.now)
        if one is not None:
            self.session.started(one, self.now)
            self.session.not_started(one)
            assert self.session.next_start(self.now) is one

    @rule(number=st.integers(0, 9))
    @precondition(lambda self: self.running)
    def a_task_ends(self, number: int) -> None:
        one = self.running.pop(number % len(self.running))
        self.session.ended(one, self.now)
        self.session.finished(one, {"lease": one.lease}, 100)

    @rule()
    def the_daemon_restarts(self) -> None:
        self.daemon.restart()
        self.to_agent.clear()

    @invariant()
    def nothing_is_recorded_twice(self) -> None:
        assert all(count == 1 for count in self.daemon.runs_recorded.values())

    @invariant()
    def no_more_runs_than_there_is_room_for(self) -> None:
        assert len(self.running) <= 3
        assert all(amount >= 0 for amount in self.session._left)

    @invariant()
    def no_task_is_lost(self) -> None:
        """What the daemon believes to be out is held, offered, or about to be found missing."""
        for task, state in self.daemon.state.items():
            assert state in ("READY", "LEASED", "RUNNING", "DONE")
            assert task in self.daemon.lease

    def teardown(self) -> None:
        """Once the network behaves, every task gets done exactly once."""
        self.to_daemon.clear()
        self.to_agent.clear()
        if self.session.leaving is not None:
            return
        for _ in range(60 + 10 * self.tasks):
            if all(state == "DONE" for state in self.daemon.state.values()) and not self.session.held:
                break
            self.now += 0.06
            self.session.sync_failed(self.session.number, self.now)
            self.the_agent_syncs()
            while self.to_daemon:
                self.a_sync_arrives(0, False)
            while self.to_agent:
                self.an_answer_arrives(0, False)
            self.a_task_starts()
            while self.running:
                self.a_task_ends(0)
        assert all(state == "DONE" for state in self.daemon.state.values())
        assert not self.session.held
        assert all(one.state < RUNNING for one in self.session.held.values())


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
