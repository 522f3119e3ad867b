"""Disks of nodes without room: how long to wait, and what to say."""

from __future__ import annotations

import pytest

from scalebox_hpc.engine import disks


@pytest.mark.parametrize(
    ("endings", "wait_s"), [(1, 15.0), (2, 30.0), (3, 60.0), (7, 600.0), (10_000, 600.0)]
)
def test_the_wait_doubles_with_each_ending(endings: int, wait_s: float) -> None:
    assert disks.wait_s(endings) == wait_s


@pytest.mark.parametrize(
    ("free_mib", "needs", "why"),
    [
        (10, {}, ""),
        (10, {"count": 0}, ""),
        (10, {"count": 1024, "sum": 10}, ""),
        (
            10,
            {"big": 2048, "count": 1024},
            "its disk has 10 MiB free for work directories, a task of count needs 1024",
        ),
    ],
)
def test_a_disk_is_too_small_when_nothing_that_waits_fits(
    free_mib: int, needs: dict[str, int], why: str
) -> None:
    assert disks.short_of_scratch(free_mib, needs) == why
