"""The life of a try, and what an element's ending means."""

from __future__ import annotations

import pytest

from scalebox_hpc.domain.allocation import Ending, Phase
from scalebox_hpc.domain.task import Cause
from scalebox_hpc.engine.elements import (
    CAUSES,
    SEEN,
    TryEvent,
    TryState,
    advance,
    cause_of,
    diagram,
    is_over_unseen,
    should_supersede,
)
from scalebox_hpc.errors import IllegalTransition

S, E = TryState, TryEvent

DIAGRAM = """\
stateDiagram-v2
    PLANNED --> SUBMITTING: asked
    PLANNED --> SUPERSEDED: superseded
    SUBMITTING --> QUEUED: accepted
    SUBMITTING --> REFUSED: refused
    SUBMITTING --> PLANNED: put off
    SUBMITTING --> QUEUED: seen pending
    SUBMITTING --> ACTIVE: seen active
    SUBMITTING --> ACTIVE: seen ended
    SUBMITTING --> ACTIVE: hello
    SUBMITTING --> ENDED: all elements ended
    SUBMITTING --> SUPERSEDED: superseded
    QUEUED --> ACTIVE: seen active
    QUEUED --> ACTIVE: seen ended
    QUEUED --> ACTIVE: hello
    QUEUED --> ENDED: all elements ended
    QUEUED --> SUPERSEDED: superseded
    ACTIVE --> ENDED: all elements ended
    ENDED --> ACTIVE: seen pending
    ENDED --> ACTIVE: seen active
    ENDED --> ACTIVE: hello
    REFUSED --> SUPERSEDED: seen pending
    REFUSED --> SUPERSEDED: seen active
    REFUSED --> SUPERSEDED: hello
"""


def test_the_table_is_the_diagram() -> None:
    assert diagram() == DIAGRAM


def life(*events: TryEvent) -> TryState:
    state = S.PLANNED
    for event in events:
        state = advance(state, event)
    return state


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ((E.ASKED, E.ACCEPTED, E.HELLO, E.ALL_ENDED), S.ENDED),
        ((E.ASKED, E.HELLO, E.ACCEPTED), S.ACTIVE),  # the answer came after the agent
        ((E.ASKED, E.PUT_OFF, E.ASKED, E.ACCEPTED), S.QUEUED),
        ((E.ASKED, E.SEEN_PENDING, E.ACCEPTED), S.QUEUED),
        ((E.ASKED, E.SUPERSEDED, E.ACCEPTED, E.HELLO, E.ALL_ENDED), S.SUPERSEDED),
        ((E.ASKED, E.REFUSED, E.HELLO), S.SUPERSEDED),
        ((E.ASKED, E.ACCEPTED, E.SEEN_ACTIVE, E.SEEN_PENDING), S.ACTIVE),  # requeued
        ((E.ASKED, E.ACCEPTED, E.ALL_ENDED, E.HELLO), S.ACTIVE),  # Slurm had forgotten it
    ],
)
def test_lives(events: tuple[TryEvent, ...], state: TryState) -> None:
    assert life(*events) is state


@pytest.mark.parametrize(
    ("state", "event"),
    [(S.PLANNED, E.HELLO), (S.ACTIVE, E.SUPERSEDED), (S.QUEUED, E.REFUSED), (S.ENDED, E.ASKED)],
)
def test_what_cannot_happen_is_an_error(state: TryState, event: TryEvent) -> None:
    with pytest.raises(IllegalTransition):
        advance(state, event)


def test_once_out_in_the_world_any_sign_of_life_is_taken() -> None:
    signs = (E.SEEN_PENDING, E.SEEN_ACTIVE, E.SEEN_ENDED, E.HELLO, E.ALL_ENDED)
    for state in set(S) - {S.PLANNED}:
        for sign in signs:
            advance(state, sign)


def test_every_phase_is_an_event_and_an_unknown_word_is_no_ending() -> None:
    assert set(SEEN) == set(Phase)
    assert SEEN[Phase.UNKNOWN] is E.SEEN_PENDING


@pytest.mark.parametrize(
    ("heard", "has_job_id", "unlisted_s", "interval_s", "expected"),
    [
        (False, False, 59.0, 1.0, False),
        (False, False, 60.0, 1.0, True),
        (False, False, 60.0, 40.0, False),
        (False, False, 80.0, 40.0, True),
        (False, True, 599.0, 1.0, False),
        (False, True, 600.0, 1.0, True),
        (True, False, 1e6, 1.0, False),
        (True, True, 1e6, 1.0, False),
    ],
)
def test_when_a_try_is_given_up(
    heard: bool, has_job_id: bool, unlisted_s: float, interval_s: float, expected: bool
) -> None:
    answer = should_supersede(
        heard=heard, has_job_id=has_job_id, unlisted_s=unlisted_s, interval_s=interval_s
    )
    assert answer is expected


def test_a_try_that_was_heard_from_is_over_when_nothing_lives_and_nothing_is_listed() -> None:
    assert is_over_unseen(living_agents=0, unlisted_s=600)
    assert not is_over_unseen(living_agents=1, unlisted_s=6000)
    assert not is_over_unseen(living_agents=0, unlisted_s=599)


def test_every_ending_has_a_cause() -> None:
    assert set(CAUSES) == set(Ending)


@pytest.mark.parametrize(
    ("ending", "held", "cause"),
    [
        (Ending.WALLTIME, 3, Cause.WALLTIME),
        (Ending.PREEMPTED, 3, Cause.PREEMPTED),
        (Ending.NODE_LOST, 3, Cause.NODE_LOST),
        (Ending.CANCELLED, 3, Cause.CANCELLED),
        (Ending.FAILED, 3, Cause.AGENT_LOST),
        (Ending.DONE, 1, Cause.AGENT_LOST),
        (Ending.OOM, 1, Cause.OOM),
        (Ending.OOM, 2, Cause.AGENT_LOST),  # whose memory it was, nobody knows
        (None, 1, Cause.AGENT_LOST),
    ],
)
def test_causes(ending: Ending | None, held: int, cause: Cause) -> None:
    assert cause_of(ending, held) is cause
