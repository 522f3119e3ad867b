"""What a task may do next.

The states a task can be in, the events that can move it, and the one table that joins them.
Nothing here reads a clock, a file or a socket, and nothing here knows how a task is stored.

An attempt is fenced by its lease: (epoch, number). The number grows with each grant and with
each cancel, the epoch is drawn at each daemon start; leases are compared for equality only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from scalebox_hpc.errors import IllegalTransition


class TaskState(StrEnum):
    """Where a task stands."""

    READY = "READY"  # for an agent to take it, perhaps not before a time
    LEASED = "LEASED"  # to an agent that has not said that it started
    RUNNING = "RUNNING"  # on a node, under a lease
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"  # until somebody sends it round again
    CANCELLED = "CANCELLED"  # by a person


class TaskEvent(StrEnum):
    """What can happen to a task."""

    LEASED = "leased"
    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # and no retry is left
    RETRIED = "retried"  # failed, and a rule sends it round again
    GIVEN_BACK = "given back"  # by an agent that never started it
    LAPSED = "lapsed"  # the lease ended without a report
    CANCELLED = "cancelled"
    REQUEUED = "requeued"  # by a person: `retry`, `resume`
    REFIRED = "refired"  # a gather task, with other members than before


class Cause(StrEnum):
    """Why an attempt, or a task without one, did not succeed."""

    EXIT = "exit"
    TIMEOUT = "timeout"
    OOM = "oom"
    LAUNCH = "launch"
    OUTPUT = "output"
    INCOMPLETE = "incomplete"
    WALLTIME = "walltime"
    PREEMPTED = "preempted"
    NODE_LOST = "node_lost"
    AGENT_LOST = "agent_lost"
    CANCELLED = "cancelled"
    REFUSED = "refused"  # a repeated key with other content


USER_CAUSES: Final = frozenset({Cause.EXIT, Cause.TIMEOUT, Cause.OOM, Cause.OUTPUT})
"""The causes that spend the user's retries; all others are the infrastructure's."""

S, E = TaskState, TaskEvent
TRANSITIONS: Final[dict[tuple[TaskState, TaskEvent], TaskState]] = {
    (S.READY, E.LEASED): S.LEASED,
    (S.LEASED, E.STARTED): S.RUNNING,
    (S.LEASED, E.SUCCEEDED): S.SUCCEEDED,
    (S.LEASED, E.FAILED): S.FAILED,
    (S.LEASED, E.RETRIED): S.READY,
    (S.LEASED, E.GIVEN_BACK): S.READY,
    (S.LEASED, E.LAPSED): S.READY,
    (S.RUNNING, E.SUCCEEDED): S.SUCCEEDED,
    (S.RUNNING, E.FAILED): S.FAILED,
    (S.RUNNING, E.RETRIED): S.READY,
    (S.RUNNING, E.GIVEN_BACK): S.READY,
    (S.RUNNING, E.LAPSED): S.READY,
    (S.READY, E.STARTED): S.RUNNING,  # the holder of a lapsed lease is back
    (S.READY, E.SUCCEEDED): S.SUCCEEDED,  # or its report is
    (S.READY, E.RETRIED): S.READY,
    (S.READY, E.FAILED): S.FAILED,  # likewise, or its module failed
    (S.READY, E.CANCELLED): S.CANCELLED,
    (S.LEASED, E.CANCELLED): S.CANCELLED,
    (S.RUNNING, E.CANCELLED): S.CANCELLED,
    (S.FAILED, E.REQUEUED): S.READY,
    (S.CANCELLED, E.REQUEUED): S.READY,
    (S.FAILED, E.REFIRED): S.READY,
    (S.CANCELLED, E.REFIRED): S.READY,
    (S.SUCCEEDED, E.REFIRED): S.READY,
}

OPEN: Final = (S.READY, S.LEASED, S.RUNNING)
HELD: Final = (S.LEASED, S.RUNNING)


def advance(state: TaskState, event: TaskEvent, task: str = "task") -> TaskState:
    """Return the state after `event`. Raises IllegalTransition where the table has no such move."""
    target = TRANSITIONS.get((state, event))
    if target is None:
        raise IllegalTransition(task, state, event)
    return target


def sources(event: TaskEvent) -> tuple[TaskState, ...]:
    """Return the states that `event` can move, for statements that move many tasks at once."""
    return tuple(state for state, moved_by in TRANSITIONS if moved_by is event)


class Lease(NamedTuple):
    """The right to make one attempt at one task. Compared for equality, never for order."""

    task_id: int  # the ledger's number of the task
    epoch: str  # 8 hex digits, of the daemon start that granted it
    number: int  # grows per task

    def text(self) -> str:
        """As it is written on the wire: ``17.00c0ffee.2``."""
        return f"{self.task_id}.{self.epoch}.{self.number}"


def parse_lease(text: str) -> Lease:
    """Read what `Lease.text` wrote. Raises ValueError.

    >>> parse_lease("17.00c0ffee.2")
    Lease(task_id=17, epoch='00c0ffee', number=2)
    """
    task_id, epoch, number = text.split(".")
    return Lease(int(task_id), epoch, int(number))


class Verdict(StrEnum):
    """What becomes of a report."""

    RECORD = "record"  # the first of its lease, and the lease is the task's last
    KNOWN = "known"  # the same report again: answered `recorded`
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Standing:
    """What the ledger knows of a task when a report or a held lease is judged."""

    state: TaskState
    lease: Lease
    lapsed: bool  # READY because the last lease lapsed
    reported: bool  # a report of the judged lease is already recorded


def judge_report(standing: Standing | None, lease: Lease) -> Verdict:
    """Decide whether a report under `lease` counts. `standing` is None for an unknown task."""
    if standing is None:
        return Verdict.REFUSE
    if standing.reported:
        return Verdict.KNOWN
    if standing.lease != lease:
        return Verdict.REFUSE
    if standing.state in HELD or (standing.state is S.READY and standing.lapsed):
        return Verdict.RECORD
    return Verdict.REFUSE


def revives(standing: Standing | None, lease: Lease) -> bool:
    """Tell whether an agent that still holds a lapsed lease may go on with it."""
    return (
        standing is not None
        and standing.lease == lease
        and standing.state is S.READY
        and standing.lapsed
        and not standing.reported
    )


def diagram() -> str:
    """Draw the table in Mermaid, for docs/state-machines.md. A test keeps the two the same."""
    edges = [f"    {state} --> {to}: {event}" for (state, event), to in TRANSITIONS.items()]
    return "\n".join(["stateDiagram-v2", *edges, ""])
