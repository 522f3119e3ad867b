"""The time of day as an agent tells it."""

from __future__ import annotations

import time

BEGAN_NS = time.time_ns() - time.monotonic_ns()


def clock_us() -> int:
    """Return the time of day in microseconds UTC; no step of it since our start lets a task end early."""
    return (BEGAN_NS + time.monotonic_ns()) // 1000
