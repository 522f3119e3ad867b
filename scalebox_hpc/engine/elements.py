"""The life of a try, and what the ending of an element means for the attempts it held.

The states of a try, what can happen to it, and the one table that joins them. Pure: it reads no
clock and stores nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from scalebox_hpc.domain.allocation import Ending, Phase
from scalebox_hpc.domain.task import Cause
from scalebox_hpc.errors import IllegalTransition

SUPERSEDE_S: Final = 60.0
"""A try that nothing was ever heard from, not even a job id, is given up after this, or two intervals."""

GONE_S: Final = 600.0
"""A try that has a job id is given up, or one that was heard from is over, after this long unlisted."""


class TryState(StrEnum):
    """Where one try at a submission stands."""

    PLANNED = "PLANNED"
    SUBMITTING = "SUBMITTING"  # asked for, not yet answered; resolved by looking, never by guessing
    QUEUED = "QUEUED"
    ACTIVE = "ACTIVE"  # an element has started
    ENDED = "ENDED"
    REFUSED = "REFUSED"
    SUPERSEDED = "SUPERSEDED"  # given up: what turns up of it is cancelled


class TryEvent(StrEnum):
    """What can happen to a try."""

    ASKED = "asked"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    PUT_OFF = "put off"  # surely not taken; it may be asked again under the same name
    SEEN_PENDING = "seen pending"  # an element, listed by the batch system
    SEEN_ACTIVE = "seen active"
    SEEN_ENDED = "seen ended"
    HELLO = "hello"
    SUPERSEDED = "superseded"
    ALL_ENDED = "all elements ended"


S, E = TryState, TryEvent
TRANSITIONS: Final[dict[tuple[TryState, TryEvent], TryState]] = {
    (S.PLANNED, E.ASKED): S.SUBMITTING,
    (S.PLANNED, E.SUPERSEDED): S.SUPERSEDED,
    (S.SUBMITTING, E.ACCEPTED): S.QUEUED,
    (S.SUBMITTING, E.REFUSED): S.REFUSED,
    (S.SUBMITTING, E.PUT_OFF): S.PLANNED,
    (S.SUBMITTING, E.SEEN_PENDING): S.QUEUED,  # the answer was lost, the request was not
    (S.SUBMITTING, E.SEEN_ACTIVE): S.ACTIVE,
    (S.SUBMITTING, E.SEEN_ENDED): S.ACTIVE,
    (S.SUBMITTING, E.HELLO): S.ACTIVE,
    (S.SUBMITTING, E.ALL_ENDED): S.ENDED,
    (S.SUBMITTING, E.SUPERSEDED): S.SUPERSEDED,
    (S.QUEUED, E.ACCEPTED): S.QUEUED,
    (S.QUEUED, E.SEEN_PENDING): S.QUEUED,
    (S.QUEUED, E.SEEN_ACTIVE): S.ACTIVE,
    (S.QUEUED, E.SEEN_ENDED): S.ACTIVE,
    (S.QUEUED, E.HELLO): S.ACTIVE,
    (S.QUEUED, E.ALL_ENDED): S.ENDED,
    (S.QUEUED, E.SUPERSEDED): S.SUPERSEDED,
    (S.ACTIVE, E.ACCEPTED): S.ACTIVE,
    (S.ACTIVE, E.SEEN_PENDING): S.ACTIVE,  # requeued elements
    (S.ACTIVE, E.SEEN_ACTIVE): S.ACTIVE,
    (S.ACTIVE, E.SEEN_ENDED): S.ACTIVE,
    (S.ACTIVE, E.HELLO): S.ACTIVE,
    (S.ACTIVE, E.ALL_ENDED): S.ENDED,
    (S.ENDED, E.ACCEPTED): S.ENDED,
    (S.ENDED, E.SEEN_ENDED): S.ENDED,
    (S.ENDED, E.ALL_ENDED): S.ENDED,
    (S.ENDED, E.SEEN_PENDING): S.ACTIVE,  # requeued by hand
    (S.ENDED, E.SEEN_ACTIVE): S.ACTIVE,
    (S.ENDED, E.HELLO): S.ACTIVE,  # the batch system had forgotten it, it lives
    (S.REFUSED, E.REFUSED): S.REFUSED,
    (S.REFUSED, E.SEEN_PENDING): S.SUPERSEDED,  # it is there all the same
    (S.REFUSED, E.SEEN_ACTIVE): S.SUPERSEDED,
    (S.REFUSED, E.SEEN_ENDED): S.REFUSED,
    (S.REFUSED, E.HELLO): S.SUPERSEDED,
    (S.REFUSED, E.ALL_ENDED): S.REFUSED,
    (S.SUPERSEDED, E.ACCEPTED): S.SUPERSEDED,
    (S.SUPERSEDED, E.REFUSED): S.SUPERSEDED,
    (S.SUPERSEDED, E.PUT_OFF): S.SUPERSEDED,
    (S.SUPERSEDED, E.SEEN_PENDING): S.SUPERSEDED,
    (S.SUPERSEDED, E.SEEN_ACTIVE): S.SUPERSEDED,
    (S.SUPERSEDED, E.SEEN_ENDED): S.SUPERSEDED,
    (S.SUPERSEDED, E.HELLO): S.SUPERSEDED,
    (S.SUPERSEDED, E.SUPERSEDED): S.SUPERSEDED,
    (S.SUPERSEDED, E.ALL_ENDED): S.SUPERSEDED,
}

OPEN: Final = (S.SUBMITTING, S.QUEUED, S.ACTIVE)
"""The states in which the batch system is expected to list a try."""

SEEN: Final = {
    Phase.PENDING: E.SEEN_PENDING,
    Phase.ACTIVE: E.SEEN_ACTIVE,
    Phase.ENDED: E.SEEN_ENDED,
    Phase.UNKNOWN: E.SEEN_PENDING,  # a word we do not know proves that it arrived, no more
}


def advance(state: TryState, event: TryEvent, name: str = "try") -> TryState:
    """Return the state after `event`. Raises IllegalTransition where the table has no such move."""
    target = TRANSITIONS.get((state, event))
    if target is None:
        raise IllegalTransition(name, state, event)
    return target


def diagram() -> str:
    """Draw the table in Mermaid, for the docs; a test keeps the two the same. Loops are left out."""
    edges = [f"    {a} --> {b}: {event}" for (a, event), b in TRANSITIONS.items() if a is not b]
    return "\n".join(["stateDiagram-v2", *edges, ""])


def should_supersede(*, heard: bool, has_job_id: bool, unlisted_s: float, interval_s: float) -> bool:
    """Say whether a try in SUBMITTING or QUEUED is to be given up (rule 5).

    `heard`: an agent said hello under its name. `unlisted_s`: for how long, counted from its
    submission or from when it was last listed, complete listings and nothing but complete
    listings lack it; a restart of the daemon counts from zero.
    """
    grace_s = GONE_S if has_job_id else max(SUPERSEDE_S, 2 * interval_s)
    return not heard and unlisted_s >= grace_s


def is_over_unseen(*, living_agents: int, unlisted_s: float) -> bool:
    """Say whether a try that was heard from is over though no listing says how it ended.

    The batch system forgets ended jobs within minutes and accounting may be down; so it is over
    when no incarnation of it is held for alive and complete listings lacked it for GONE_S.
    """
    return living_agents == 0 and unlisted_s >= GONE_S


CAUSES: Final = {
    Ending.WALLTIME: Cause.WALLTIME,
    Ending.PREEMPTED: Cause.PREEMPTED,
    Ending.NODE_LOST: Cause.NODE_LOST,
    Ending.CANCELLED: Cause.CANCELLED,
    Ending.DONE: Cause.AGENT_LOST,  # the script ended well without a word about these attempts
    Ending.FAILED: Cause.AGENT_LOST,
    Ending.OOM: Cause.AGENT_LOST,
}


def cause_of(ending: Ending | None, held: int = 0) -> Cause:
    """Return the cause of attempts whose element ended without a report of theirs.

    `held` is how many it had started. Memory run out of spends the user's budget only where it
    is certain whose it was: the element held that attempt alone.
    """
    if ending is Ending.OOM and held == 1:
        return Cause.OOM
    return Cause.AGENT_LOST if ending is None else CAUSES[ending]


def explained(native_state: str, reason: str) -> str:
    """Say how an element ended, in the batch system's words.

    >>> explained("TIMEOUT", "TimeLimit")
    'its element ended: the batch system says TIMEOUT, TimeLimit'
    """
    return f"its element ended: the batch system says {', '.join(filter(None, (native_state, reason)))}"


def last_word(status: int) -> str:
    """Say what an element's script told of its agent's end.

    >>> last_word(137), last_word(1)
    ('its agent ended: killed by signal 9', 'its agent ended: exit status 1')
    """
    ended = f"killed by signal {status - 128}" if status > 128 else f"exit status {status}"
    return f"its agent ended: {ended}"


RESTARTED: Final = Cause.NODE_LOST
"""The cause of attempts that a newer incarnation of the same element finds unreported.

Preemption announces itself by TERM, upon which an agent reports what it ran; one that was
started again without such a word most likely lost its node.
"""
