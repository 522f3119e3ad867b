"""What the daemon counts from its start on, in memory: for its metrics, which never ask the ledger."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

BOUNDS_S: Final = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


@dataclass(slots=True)
class Timing:
    """How long something took, each time: counted by bounds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    sum_s: float = 0.0

    def add(self, took_s: float) -> None:
        """Note one more."""
        self.counts[bisect_left(BOUNDS_S, took_s)] += 1
        self.sum_s += took_s

    def buckets(self) -> list[tuple[str, float]]:
        """How many took no longer than each bound, as Prometheus has it."""
        total, found = 0, []
        for bound, count in zip((*BOUNDS_S, float("inf")), self.counts, strict=True):
            total += count
            found.append(("+Inf" if bound == float("inf") else str(bound), float(total)))
        return found


@dataclass(slots=True)
class Acts:
    """Calls of batch systems, by site and kind (submit, observe, cancel). Written by many threads."""

    done: Counter[tuple[str, str]] = field(default_factory=Counter)
    failed: Counter[tuple[str, str]] = field(default_factory=Counter)
    took_s: dict[tuple[str, str], float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, site: str, kind: str, took_s: float, *, well: bool) -> None:
        """Note one more."""
        with self._lock:
            self.done[site, kind] += 1
            self.failed[site, kind] += not well
            self.took_s[site, kind] = self.took_s.get((site, kind), 0.0) + took_s

    def rows(self) -> list[tuple[str, str, int, int, float]]:
        """Site, kind, how often, how often it failed, how long it took in all."""
        with self._lock:
            return [(*key, self.done[key], self.failed[key], self.took_s[key]) for key in sorted(self.done)]


@dataclass(slots=True)
class Meters:
    """All counters."""

    requests: Counter[str] = field(default_factory=Counter)  # by verb
    attempts: Counter[str] = field(default_factory=Counter)  # by cause; "": they succeeded
    runs: Counter[str] = field(default_factory=Counter)  # that came into a state
    pauses: Counter[str] = field(default_factory=Counter)  # by what the daemon waited for
    turns: Timing = field(default_factory=Timing)
    commits: Timing = field(default_factory=Timing)
    acts: Acts = field(default_factory=Acts)
