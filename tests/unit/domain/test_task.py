"""The table of a task's moves, and who may still report."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalebox_hpc.domain.task import (
    HELD,
    OPEN,
    TRANSITIONS,
    USER_CAUSES,
    Cause,
    Lease,
    Standing,
    TaskEvent,
    TaskState,
    Verdict,
    advance,
    diagram,
    judge_report,
    parse_lease,
    revives,
    sources,
)
from scalebox_hpc.errors import IllegalTransition

S, E, V = TaskState, TaskEvent, Verdict
NOW, OLD = Lease(17, "00c0ffee", 3), Lease(17, "00c0ffee", 2)
OTHER_EPOCH = Lease(17, "00000001", 3)
PAGE = Path(__file__).resolve().parents[3] / "docs" / "state-machines.md"


@pytest.mark.parametrize(("state", "event"), list(product(TaskState, TaskEvent)))
def test_every_pair_is_in_the_table_or_refused(state: TaskState, event: TaskEvent) -> None:
    if (state, event) in TRANSITIONS:
        assert advance(state, event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(IllegalTransition, match=rf"count.1 is {state}: {event} cannot happen to it"):
            advance(state, event, "count.1")


def test_the_diagram_in_the_docs_is_drawn_from_the_table() -> None:
    assert f"```mermaid\n{diagram()}```" in PAGE.read_text(encoding="utf-8")


def test_the_way_through_when_nothing_goes_wrong() -> None:
    state = S.READY
    for event in (E.LEASED, E.STARTED, E.SUCCEEDED):
        state = advance(state, event)
    assert state is S.SUCCEEDED


def test_only_a_new_generation_moves_a_success() -> None:
    assert {event for state, event in TRANSITIONS if state is S.SUCCEEDED} == {E.REFIRED}


def test_only_a_person_or_a_new_generation_moves_what_failed_or_was_cancelled() -> None:
    for ended in (S.FAILED, S.CANCELLED):
        assert {event for state, event in TRANSITIONS if state is ended} == {E.REQUEUED, E.REFIRED}


def test_what_is_open_can_be_cancelled() -> None:
    assert set(sources(E.CANCELLED)) == set(OPEN)


def test_what_is_held_can_lapse_and_be_given_back() -> None:
    assert set(sources(E.LAPSED)) == set(sources(E.GIVEN_BACK)) == set(HELD)


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**63 - 1))
def test_a_lease_is_read_as_it_was_written(task_id: int, epoch: int, number: int) -> None:
    lease = Lease(task_id, f"{epoch:08x}", number)
    assert parse_lease(lease.text()) == lease


@pytest.mark.parametrize(
    "text", ["", "17", "17.00c0ffee", "x.00c0ffee.2", "17.00c0ffee.2.3", "17.00c0ffee.x"]
)
def test_what_is_no_lease_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  its message is Python's own
        parse_lease(text)


@pytest.mark.parametrize(
    ("standing", "verdict"),
    [
        (Standing(S.LEASED, NOW, lapsed=False, reported=False), V.RECORD),
        (Standing(S.RUNNING, NOW, lapsed=False, reported=False), V.RECORD),
        (Standing(S.READY, NOW, lapsed=True, reported=False), V.RECORD),
        (Standing(S.READY, NOW, lapsed=False, reported=False), V.REFUSE),  # given back
        (Standing(S.READY, NOW, lapsed=False, reported=True), V.KNOWN),  # a retry of it is due
        (Standing(S.SUCCEEDED, NOW, lapsed=False, reported=True), V.KNOWN),
        (Standing(S.FAILED, NOW, lapsed=False, reported=True), V.KNOWN),
        (Standing(S.FAILED, NOW, lapsed=False, reported=False), V.REFUSE),  # lapsed once too often
        (Standing(S.CANCELLED, Lease(17, "00c0ffee", 4), lapsed=False, reported=False), V.REFUSE),
        (Standing(S.RUNNING, Lease(17, "00c0ffee", 4), lapsed=False, reported=False), V.REFUSE),
        (Standing(S.RUNNING, OTHER_EPOCH, lapsed=False, reported=False), V.REFUSE),
        (Standing(S.RUNNING, OLD, lapsed=False, reported=False), V.REFUSE),
        (Standing(S.RUNNING, Lease(17, "00c0ffee", 4), lapsed=False, reported=True), V.KNOWN),
        (None, V.REFUSE),
    ],
)
def test_the_verdict_on_a_report(standing: Standing | None, verdict: Verdict) -> None:
    assert judge_report(standing, NOW) is verdict


@given(
    st.builds(
        Standing,
        st.sampled_from(TaskState),
        st.sampled_from([NOW, OLD, OTHER_EPOCH]),
        lapsed=st.booleans(),
        reported=st.booleans(),
    )
)
def test_what_may_go_on_may_also_be_recorded(standing: Standing) -> None:
    if revives(standing, NOW):
        assert judge_report(standing, NOW) is V.RECORD
        assert advance(standing.state, E.STARTED) is S.RUNNING
    assert not revives(None, NOW)


def test_the_causes_that_spend_the_users_retries() -> None:
    assert {Cause.EXIT, Cause.TIMEOUT, Cause.OOM, Cause.OUTPUT} == USER_CAUSES
