"""Typical run times and rates."""

from __future__ import annotations

from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalebox_hpc.engine.rates import Durations, Rate


@given(st.lists(st.floats(0, 1e6), max_size=200))
def test_the_median_is_of_the_last_64(seconds: list[float]) -> None:
    durations = Durations()
    for each in seconds:
        durations.add(each)
    assert durations.median() == (median(seconds[-64:]) if seconds else None)


def test_a_rate_counts_the_last_half_minute() -> None:
    rate = Rate()
    for second in range(100):
        rate.add(3, float(second))
    assert rate.per_s(99.0) == pytest.approx(3.0, rel=0.1)
    assert rate.per_s(200.0) == 0.0


def test_a_rate_does_not_exaggerate_its_first_second() -> None:
    rate = Rate()
    rate.add(5, 10.0)
    assert rate.per_s(10.1) == 5.0
