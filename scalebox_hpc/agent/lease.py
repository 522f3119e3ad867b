"""A lease in our hands, the terms we work on, and what an answer asks for: plain data.

Nothing is decided here; `session` does that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

Json = dict[str, Any]
Amounts = tuple[int, int, int, int]

AMOUNTS = ("cpus", "memory_mib", "gpus", "scratch_mib")

PREPARING, WAITING, RUNNING, ENDED, DONE, DOOMED, GONE = range(7)


class Terms(NamedTuple):
    """What the daemon granted at hello."""

    resources: Amounts
    idle_s: float = 30.0
    lost_after_s: float = 900.0
    spool_after_s: float = 60.0
    poll_s: float = 25.0
    prefetch_s: float = 2.0


def read_terms(answer: Json) -> Terms:
    """Read the answer to hello; what it leaves out has its default."""
    numbers = {key: float(answer[key]) for key in Terms._fields[1:] if key in answer}
    return Terms(read_amounts(answer["resources"]), **numbers)


def read_amounts(resources: Json) -> Amounts:
    """Return (cpus, memory_mib, gpus, scratch_mib)."""
    get = resources.get
    return (get("cpus", 0), get("memory_mib", 0), get("gpus", 0), get("scratch_mib", 0))


class Told(NamedTuple):
    """How far a task is by its own word, as syncs bear it."""

    done: float
    total: float  # 0: not known
    rate: float  # a second; 0: not known
    unit: str  # "": bytes


class Held:
    """One lease in our hands and what we know of it."""

    __slots__ = (
        "lease",
        "module",
        "need",
        "offer",
        "progress",
        "rank",
        "received_us",
        "result",
        "sending",
        "size",
        "spooled",
        "started_at",
        "state",
        "taken_at",
        "time_s",
    )

    def __init__(self, offer: Json, order: int, now: float) -> None:
        resources = offer["resources"]
        self.offer = offer
        self.lease: str = offer["lease"]
        self.module: int = offer["module"]
        self.need = read_amounts(resources)
        self.time_s: float = resources.get("time_s", 0.0)
        self.rank = (-int(offer.get("depth", 0)), order)  # the farthest downstream first, then the oldest
        self.state = PREPARING
        self.taken_at = self.started_at = now
        self.received_us = 0
        self.result: object = None
        self.progress: Told | None = None  # its own word, the newest
        self.size = 0  # of the result as JSON, in bytes, about
        self.spooled = False
        self.sending = False  # ENDED, and only its chunks are still to be sent


class Flight(NamedTuple):
    """A sync under way."""

    number: int
    parked: bool
    leaving: bool  # and holding nothing any more


class Effects:
    """What an answer asks the outside to do."""

    __slots__ = ("dropped", "kill", "recorded", "taken")

    def __init__(self) -> None:
        self.taken: list[Held] = []  # fetch what they need, then say `prepared`
        self.recorded: list[Held] = []  # delete what they asked to be removed
        self.dropped: list[Held] = []  # forget them; nothing of them runs
        self.kill: list[Held] = []  # kill their processes, then say `dropped`


def fits(need: Amounts, left: Sequence[int]) -> bool:
    """Tell whether there is room for it."""
    return need[0] <= left[0] and need[1] <= left[1] and need[2] <= left[2] and need[3] <= left[3]


def take(need: Amounts, left: list[int]) -> None:
    """Take its room away from what is left."""
    for index in range(4):
        left[index] -= need[index]


def width(need: Amounts, total: Sequence[int]) -> int:
    """Return how many tasks of this need run at once here."""
    return min((have // want for have, want in zip(total, need) if want), default=1)
