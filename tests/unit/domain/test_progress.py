"""What several tasks that say how far they are amount to."""

from __future__ import annotations

from scalebox_hpc.domain.progress import Progress, together


def test_bytes_rates_and_totals_add_up() -> None:
    whole = together([Progress(10, 100, 5), Progress(20, 50, 10)])
    assert whole == Progress(30, 150, 15)
    assert whole.left_s == 8


def test_a_total_that_one_does_not_know_is_not_known() -> None:
    whole = together([Progress(10, 100, 5), Progress(20, 0, 10)])
    assert whole == Progress(30, 0, 15)
    assert whole.left_s is None


def test_units_are_not_mixed() -> None:
    parts = [Progress(1, 2, unit="files"), Progress(900, 1000), Progress(3, 4, unit="files")]
    assert together(parts) == Progress(4, 6, 0, "files")


def test_none_say_nothing() -> None:
    assert together([]) is None


def test_more_than_all_leaves_no_time() -> None:
    assert Progress(11, 10, 1).left_s == 0
