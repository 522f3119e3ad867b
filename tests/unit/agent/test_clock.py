"""The time of day as an agent knows it."""

from __future__ import annotations

import time

import pytest

from scalebox_hpc.agent.clock import clock_us


def test_a_step_of_the_nodes_clock_lets_nothing_end_before_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    began_us = clock_us()
    assert abs(began_us - time.time_ns() // 1000) < 60_000_000
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert clock_us() >= began_us
