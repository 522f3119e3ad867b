"""How the open work of a module with several sites is split among its pools. Pure.

Any agent may take any task, so a share binds nothing: it only says for how much work a pool asks for
elements. It follows the backlog, so what turns out too much is given back while it still waits in a queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from math import ceil
from typing import Final

SLOW_S: Final = 60.0
"""When the elements of a site wait for longer, other sites that are at work ask for its share, too."""


@dataclass(frozen=True, slots=True)
class PlaceFacts:
    """One site of a module, in the order of the module."""

    weight: float
    when_pending_s: float  # it is asked once all sites before have kept tasks waiting for so long; 0: at once
    usable: bool  # it can be reached, and its pool is not paused
    delivers: bool  # an element of its pool is at work
    waits_s: float | None  # for how long an element is pending, or it is full and tasks wait; None: neither
    slots: int = 0  # how many tasks its elements at work hold at once
    next_slots: int = 0  # how many one element will hold that has not started; 0: none is pending
    at_once: bool = False  # it has no queue: an element starts when it is asked for, if there is room for it
    gone: bool = False  # nothing will start there for long

    @property
    def is_slow(self) -> bool:
        """Whether nothing starts there for a while."""
        return not self.delivers and self.waits_for(SLOW_S)

    def waits_for(self, least_s: float) -> bool:
        """Whether it has kept tasks waiting for so long."""
        return self.waits_s is not None and self.waits_s >= least_s


def shares(ready: int, places: Sequence[PlaceFacts]) -> list[int]:
    """Return for how many of the tasks that wait each place asks.

    In proportion to the weights, rounded up: as long as work waits each place that is asked stays in its
    queue, so that the work goes where it starts first. Where nothing starts for a while those at work ask
    for its share, too.
    """
    asked = [place.usable and is_due(place, places[:index]) for index, place in enumerate(places)]
    prompt = [each and not place.is_slow for place, each in zip(places, asked, strict=True)]
    result = []
    for place, is_asked in zip(places, asked, strict=True):
        among = compress(places, prompt if place.delivers else asked)
        result.append(ceil(ready * (place.weight / sum(each.weight for each in among))) if is_asked else 0)
    return result


def is_due(place: PlaceFacts, before: Sequence[PlaceFacts]) -> bool:
    """Tell whether a place is to be asked; one before it that cannot be used waits for ever.

    What waits in its queue stays there while all before it keep tasks waiting, for however short a time.
    """
    least_s = place.when_pending_s if place.waits_s is None else 0.0
    return place.when_pending_s == 0 or all(not each.usable or each.waits_for(least_s) for each in before)
