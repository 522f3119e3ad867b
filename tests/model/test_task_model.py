"""However events and reports arrive at a task, and under whichever leases, these hold."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from scalebox_hpc.domain.task import (
    HELD,
    OPEN,
    Lease,
    Standing,
    TaskEvent,
    TaskState,
    Verdict,
    advance,
    judge_report,
    revives,
)
from scalebox_hpc.errors import IllegalTransition

S, E = TaskState, TaskEvent
EPOCHS = ("00000001", "00000002")


@dataclass(frozen=True)
class Task:
    """What the ledger keeps of a task."""

    state: TaskState = S.READY
    epoch: str = ""
    number: int = 0
    lapsed: bool = False

    @property
    def lease(self) -> Lease:
        return Lease(1, self.epoch, self.number)


class TaskUnderFire(RuleBasedStateMachine):
    """A task, agents that hold its leases, reports that come at any time, more than once."""

    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.task = Task()
        self.reported: dict[Lease, str] = {}  # first report recorded
        self.granted: list[Lease] = []
        self.since_requeue: list[Lease] = []  # recorded successes since the task last began anew

    def move(self, event: TaskEvent, **changes: object) -> bool:
        before = self.task
        try:
            state = advance(before.state, event)
        except IllegalTransition:
            return False
        self.task = replace(before, **{"lapsed": False, **changes, "state": state})  # type: ignore[arg-type]
        return True

    def standing(self, lease: Lease) -> Standing:
        return Standing(self.task.state, self.task.lease, self.task.lapsed, lease in self.reported)

    @rule(target=leases, epoch=st.sampled_from(EPOCHS))
    @precondition(lambda self: self.task.state is S.READY)
    def granted_to_an_agent(self, epoch: str) -> Lease:
        assert self.move(E.LEASED, epoch=epoch, number=self.task.number + 1)
        self.granted.append(self.task.lease)
        return self.task.lease

    @rule(lease=leases)
    def its_holder_says_that_it_started(self, lease: Lease) -> None:
        fresh = self.task.lease == lease and self.task.state is S.LEASED
        if fresh or revives(self.standing(lease), lease):
            assert self.move(E.STARTED)

    @rule(lease=leases, event=st.sampled_from([E.SUCCEEDED, E.FAILED, E.RETRIED]))
    def a_report_comes(self, lease: Lease, event: TaskEvent) -> None:
        match judge_report(self.standing(lease), lease):
            case Verdict.RECORD:
                assert lease not in self.reported
                assert self.task.lease == lease
                assert self.move(event)
                self.reported[lease] = event
                if event is E.SUCCEEDED:
                    self.since_requeue.append(lease)
            case Verdict.KNOWN:
                assert lease in self.reported
            case Verdict.REFUSE:
                assert lease != self.task.lease or self.task.state not in HELD

    @rule()
    @precondition(lambda self: self.task.state in HELD)
    def it_lapses(self) -> None:
        assert self.move(E.LAPSED, lapsed=True)

    @rule()
    @precondition(lambda self: self.task.state in HELD)
    def it_is_given_back(self) -> None:
        assert self.move(E.GIVEN_BACK)

    @rule()
    def a_person_cancels(self) -> None:
        unfinished = self.task.state in OPEN
        assert self.move(E.CANCELLED, number=self.task.number + 1) is unfinished

    @rule(event=st.sampled_from([E.REQUEUED, E.REFIRED]))
    def it_goes_round_again(self, event: TaskEvent) -> None:
        if self.task.state in (S.FAILED, S.CANCELLED, S.SUCCEEDED) and self.move(event):
            self.since_requeue.clear()

    @invariant()
    def at_most_one_success_counts(self) -> None:
        assert len(self.since_requeue) <= 1
        if self.task.state is S.SUCCEEDED:
            assert self.since_requeue == [self.task.lease]

    @invariant()
    def no_lease_is_granted_twice(self) -> None:
        assert len(set(self.granted)) == len(self.granted)
        numbers = [lease.number for lease in self.granted]
        assert numbers == sorted(numbers)

    @invariant()
    def only_the_last_lease_can_still_be_recorded(self) -> None:
        for lease in self.granted[:-1]:
            assert judge_report(self.standing(lease), lease) is not Verdict.RECORD

    @invariant()
    def only_a_ready_task_is_lapsed(self) -> None:
        assert not self.task.lapsed or self.task.state is S.READY


TestTaskUnderFire = TaskUnderFire.TestCase
TestTaskUnderFire.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
