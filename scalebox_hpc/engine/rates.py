"""How fast things go: typical run times and completions per second, in constant memory."""

from __future__ import annotations

from collections import deque
from statistics import median


class Durations:
    """The median of recent run times, in seconds."""

    __slots__ = ("_median", "_recent")

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=64)
        self._median: float | None = None

    def add(self, seconds: float) -> None:
        self._recent.append(seconds)
        self._median = None

    def median(self) -> float | None:
        """The median of the last 64, or None before the first."""
        if self._median is None and self._recent:
            self._median = median(self._recent)
        return self._median


class Rate:
    """Completions per second over the last half minute."""

    __slots__ = ("_buckets",)
    WINDOW_S = 30

    def __init__(self) -> None:
        self._buckets: deque[tuple[int, int]] = deque()  # (second, completions)

    def add(self, count: int, mono_s: float) -> None:
        second = int(mono_s)
        if self._buckets and self._buckets[-1][0] == second:
            second, before = self._buckets.pop()
            count += before
        self._buckets.append((second, count))
        self._trim(mono_s)

    def per_s(self, mono_s: float) -> float:
        self._trim(mono_s)
        if not self._buckets:
            return 0.0
        span_s = max(1.0, mono_s - self._buckets[0][0])
        return sum(count for _, count in self._buckets) / span_s

    def _trim(self, mono_s: float) -> None:
        while self._buckets and self._buckets[0][0] < mono_s - self.WINDOW_S:
            self._buckets.popleft()
