"""What launch failures say of a module and of a node. Pure arithmetic.

Whether a task that would not start goes round again is decided in `retry`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

BEFORE_SUCCESS: Final = 3  # launch failures that fail a module which never worked
AFTER_SUCCESS: Final = 10
SHUN_S: Final = 2.0
SHUN_MOST_S: Final = 3600.0
SHUN_GROWTH: Final = 4.0  # per failed trial: ten trials, a task's budget, take hours
SHUN_TELL_S: Final = 100.0  # a node left alone for longer is worth a line to people


class Streak(NamedTuple):
    """Launch failures of a module with no success between; with no failure the rest means nothing."""

    launches: int = 0
    node: str = ""  # of the first
    spread: bool = False  # another node had one too


def one_more(streak: Streak, node: str) -> Streak:
    """Count a launch failure on a node."""
    if not streak.launches:
        return Streak(1, node)
    return Streak(streak.launches + 1, streak.node, streak.spread or node != streak.node)


def module_is_broken(streak: Streak, succeeded: int, *, elsewhere: bool) -> bool:
    """Tell whether a streak fails the module as a whole.

    One that has worked is not failed by one node while others serve it; `elsewhere`: an agent of
    another node than the streak's first serves it.
    """
    if not succeeded:
        return streak.launches >= BEFORE_SUCCESS
    return streak.launches >= AFTER_SUCCESS and (streak.spread or not elsewhere)


@dataclass(frozen=True, slots=True)
class Shun:
    """A node where a module would not start is left alone for a while, then gets one task on trial.

    It holds while other nodes serve the module, until a task of it succeeds on this one.
    """

    until_s: float  # monotonic
    for_s: float
    on_trial: bool = False  # a task was given since


def shun(before: Shun | None, now_s: float) -> Shun:
    """Leave a node alone, for longer after a trial; what was given before it has no say."""
    if before is None:
        return Shun(now_s + SHUN_S, SHUN_S)
    if not before.on_trial:
        return before
    for_s = min(before.for_s * SHUN_GROWTH, SHUN_MOST_S)
    return Shun(now_s + for_s, for_s)


def on_trial(before: Shun, now_s: float) -> Shun:
    """Note that a task was given to the node; it gets no other for as long again."""
    return Shun(now_s + before.for_s, before.for_s, on_trial=True)
