"""When what we gave back and the batch system still lists is cancelled again. Pure.

An order to cancel may fail, get lost, or take its time; looking at the queue shows which.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

AGAIN_S: Final = 30.0
"""From an order to the next one; Slurm gives what it cancels so long to end by itself (KillWait)."""

AGAIN_MOST_S: Final = 600.0
"""The wait doubles with each order, up to this."""


class Asked(NamedTuple):
    """The last order to cancel something of a try."""

    at_s: float  # monotonic
    wait_s: float  # until the next


class Orders(NamedTuple):
    """What comes of one look."""

    due: frozenset[str]  # names of tries to be cancelled now
    asked: dict[str, Asked]  # what to remember of this look


def after_look(
    asked: Mapping[str, Asked], given_back: Iterable[str], strays: Iterable[str], now_s: float
) -> Orders:
    """Judge what a complete listing shows and we do not want, by the names of the tries.

    `given_back`: an order went out, and this is the first that is known of it where `asked` does
    not have it. `strays`: nobody has asked for their cancelling yet. What is listed no more is
    forgotten.
    """
    later = {name: asked.get(name, Asked(now_s, AGAIN_S)) for name in given_back}
    later |= {name: asked.get(name, Asked(now_s, 0.0)) for name in strays}
    due = frozenset(name for name, order in later.items() if now_s - order.at_s >= order.wait_s)
    for name in due:
        wait_s = min(AGAIN_MOST_S, 2 * later[name].wait_s) or AGAIN_S
        later[name] = Asked(now_s, wait_s)
    return Orders(due, later)
