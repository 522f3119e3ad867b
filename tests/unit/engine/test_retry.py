"""What becomes of a failed attempt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalebox_hpc.domain.pipeline import RetryRule
from scalebox_hpc.domain.task import USER_CAUSES, Cause
from scalebox_hpc.engine.retry import (
    INFRA,
    INFRA_BUDGET,
    INFRA_DELAY_MOST_S,
    JITTER,
    Again,
    Ended,
    GiveUp,
    decide,
    read_spent,
    write_spent,
)

RULES = (
    RetryRule(on=(1, 75), retries=3, delay_s=5.0, backoff=2.0),
    RetryRule(on=("oom",), retries=2, memory_factor=2.0),
    RetryRule(on=("exit",), retries=1),
)


def ended(cause: Cause, exit_code: int | None = None, share: float = 0.0, **spent: int) -> Ended:
    return Ended(
        cause, exit_code, {key.removeprefix("rule"): n for key, n in spent.items()}, 17, 2, 1000, share
    )


@pytest.mark.parametrize(
    ("attempt", "budget"),
    [
        (ended(Cause.EXIT, 1), "0"),
        (ended(Cause.EXIT, 75, rule0=2), "0"),
        (ended(Cause.EXIT, 75, rule0=3), None),  # the first rule that matches decides, spent or not
        (ended(Cause.EXIT, 2), "2"),
        (ended(Cause.EXIT, 2, rule2=1), None),
        (ended(Cause.EXIT, 2, rule0=3), "2"),  # each rule counts for itself
        (ended(Cause.OOM), "1"),
        (ended(Cause.OOM, 1), "1"),  # an exit code counts with cause exit alone
        (ended(Cause.TIMEOUT), None),
        (ended(Cause.OUTPUT), None),
        (
            ended(Cause.CANCELLED),
            INFRA,
        ),  # its element was, by hand; a task that is cancelled is not asked for here
        (ended(Cause.NODE_LOST), INFRA),
        (ended(Cause.AGENT_LOST, infra=INFRA_BUDGET - 1), INFRA),
        (ended(Cause.AGENT_LOST, infra=INFRA_BUDGET), None),
        (ended(Cause.PREEMPTED, infra=INFRA_BUDGET), ""),  # without a budget
        (ended(Cause.LAUNCH), INFRA),
        (ended(Cause.WALLTIME, share=0.5), INFRA),
        (ended(Cause.WALLTIME, share=0.9), None),
    ],
)
def test_which_budget_a_retry_draws_on(attempt: Ended, budget: str | None) -> None:
    decision = decide(attempt, RULES)
    assert (decision.budget if isinstance(decision, Again) else None) == budget


def test_a_task_that_had_a_whole_walltime_is_told_the_remedy() -> None:
    decision = decide(ended(Cause.WALLTIME, share=0.95), RULES)
    assert isinstance(decision, GiveUp)
    assert "walltime" in decision.note


def test_delays_grow_with_the_backoff_and_are_jittered_the_same_way_each_time() -> None:
    delays = []
    for used in range(3):
        decision = decide(ended(Cause.EXIT, 1, rule0=used), RULES)
        assert decision == decide(ended(Cause.EXIT, 1, rule0=used), RULES)
        assert isinstance(decision, Again)
        delays.append(decision.delay_s / (5.0 * 2**used))
    assert len(set(delays)) == 1
    assert abs(delays[0] - 1) <= JITTER


def test_memory_is_doubled_and_kept_in_mib() -> None:
    assert decide(ended(Cause.OOM), RULES) == Again(0.0, 2000, "1")


@given(
    st.sampled_from(sorted(set(Cause) - USER_CAUSES)),
    st.integers(0, INFRA_BUDGET - 1),
    st.integers(),
    st.integers(),
)
def test_the_infrastructure_backs_off_within_bounds(
    cause: Cause, used: int, task_id: int, attempt: int
) -> None:
    decision = decide(Ended(cause, None, {INFRA: used}, task_id, attempt, 1000), RULES)
    if isinstance(decision, Again):
        assert 0.0 <= decision.delay_s <= INFRA_DELAY_MOST_S * (1 + JITTER)


@given(st.dictionaries(st.sampled_from(["0", "1", INFRA]), st.integers(0, 100)))
def test_what_was_spent_is_read_as_it_was_written(spent: dict[str, int]) -> None:
    assert read_spent(write_spent(spent)) == spent
