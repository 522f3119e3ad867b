"""What becomes of the messages between agents and the daemon. It carries none; the world does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

LATENCY_S = 0.01


@dataclass(slots=True)
class Network:
    """Each message arrives after LATENCY_S, but for those that something else is foreseen for."""

    mischief: list[Sequence[float]] = field(default_factory=list)  # per message: a delay for each copy
    deaf: set[str] = field(default_factory=set)  # incarnations whose messages are lost, both ways
    weather: Callable[[], Sequence[float]] | None = None  # the same as one of `mischief`, for every message

    def copies(self, incarnation: str) -> Sequence[float]:
        """Return the delay of each copy of the next message; none where it is lost."""
        if incarnation in self.deaf:
            return ()
        if self.mischief:
            return self.mischief.pop(0)
        return self.weather() if self.weather is not None else (LATENCY_S,)
