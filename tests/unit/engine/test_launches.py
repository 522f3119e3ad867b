"""What launch failures say of a module and of a node."""

from __future__ import annotations

from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalebox_hpc.engine.launches import (
    SHUN_MOST_S,
    SHUN_S,
    Streak,
    module_is_broken,
    on_trial,
    one_more,
    shun,
)

NODES = st.lists(st.sampled_from(["a", "b", "c"]), max_size=30)


@pytest.mark.parametrize(
    ("launches", "succeeded", "spread", "elsewhere", "broken"),
    [
        (2, 0, True, False, False),
        (3, 0, False, False, True),
        (3, 0, False, True, True),  # it has never worked: no node need be looked at
        (3, 1, True, False, False),
        (9, 100, True, False, False),
        (10, 100, True, True, True),
        (10, 100, True, False, True),
        (10, 100, False, False, True),  # the only node there is
        (10, 100, False, True, False),
        (1000, 100, False, True, False),
    ],
)
def test_launch_failures_that_fail_a_module(
    launches: int, succeeded: int, spread: bool, elsewhere: bool, broken: bool
) -> None:
    streak = Streak(launches, "a", spread)
    assert module_is_broken(streak, succeeded, elsewhere=elsewhere) is broken


@given(NODES)
def test_a_streak_counts_all_and_knows_whether_one_node_had_them(nodes: list[str]) -> None:
    streak = reduce(one_more, nodes, Streak())
    assert streak == Streak(len(nodes), nodes[0] if nodes else "", len(set(nodes)) > 1)


def test_what_an_earlier_streak_left_behind_is_forgotten() -> None:
    assert one_more(Streak(0, "a", True), "b") == Streak(1, "b", False)


def test_a_node_is_left_alone_for_longer_after_each_trial_that_failed() -> None:
    first = shun(None, 100.0)
    assert (first.until_s, first.for_s) == (100.0 + SHUN_S, SHUN_S)
    tried = on_trial(first, 110.0)
    assert (tried.until_s, tried.for_s) == (110.0 + SHUN_S, SHUN_S)
    second = shun(tried, 111.0)
    assert second.until_s - 111.0 == second.for_s == 4 * SHUN_S
    for _ in range(20):
        second = shun(on_trial(second, 0.0), 0.0)
    assert second.for_s == SHUN_MOST_S


def test_what_was_given_before_does_not_make_it_longer() -> None:
    first = shun(None, 100.0)
    assert shun(first, 100.5) == first
