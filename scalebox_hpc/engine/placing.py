"""To which of its sites the files of a task are brought, where a module with several stages files in. Pure.

A task is bound to a site only when its files are to be copied, and few are copied ahead: what the elements at
work hold and as much again, and what one element holds that still waits in a queue. So work goes where it
starts first and its files follow. Those of tasks that still wait elsewhere follow it, too, in the end.

A site without a queue, as this machine is, gets files before it is asked for elements: these would only
keep the room of the transfers.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from scalebox_hpc.engine.burst import PlaceFacts, is_due, shares

AHEAD: Final = 2
"""So many times the tasks that elements at work hold at once are bound to their site."""


@dataclass(frozen=True, slots=True)
class Stock:
    """What is bound to one site of a module, none of it over."""

    held: int = 0  # in the hands of agents
    lying: int = 0  # waits there with its files
    coming: int = 0  # its files are on their way

    @property
    def bound(self) -> int:
        return self.held + self.lying + self.coming


def timely(places: Sequence[PlaceFacts]) -> list[PlaceFacts]:
    """The places as they count for files: one without a queue has no room before it is to be asked."""
    return [
        replace(place, next_slots=0) if place.at_once and not is_due(place, places[:index]) else place
        for index, place in enumerate(places)
    ]


def room(place: PlaceFacts, stock: Stock) -> int:
    """For how many more tasks files are to be brought to a place."""
    next_slots = 0 if place.at_once else place.next_slots
    return max(0, AHEAD * _slots(place) + next_slots - stock.bound) if place.usable else 0


def _slots(place: PlaceFacts) -> int:
    """How many tasks could be at work there now; without a queue also those that start at once."""
    return max(place.slots, place.next_slots) if place.at_once and not place.is_slow else place.slots


def choose(
    places: Sequence[PlaceFacts],
    stocks: Sequence[Stock],
    near: Collection[int],
    barred: Collection[int] = (),
) -> int | None:
    """Return to which place the files of the next task go; None: to none now.

    First to one whose elements have nothing to do; among these to one that has the files already (`near`).
    What is to leave a place (`barred`) goes back there only where no other can be used.
    """
    rooms = [room(place, stock) for place, stock in zip(places, stocks, strict=True)]
    usable = [index for index, place in enumerate(places) if place.usable]
    free = [index for index in usable if index not in barred]
    able = [index for index in free if rooms[index]]
    if barred:
        able = able or free or usable
    return max(
        able,
        key=lambda index: (idle(places[index], stocks[index]) > 0, index in near, rooms[index]),
        default=None,
    )


def idle(place: PlaceFacts, stock: Stock) -> int:
    """How many tasks more the elements at work could start."""
    return max(0, _slots(place) - stock.bound) if place.usable else 0


def leaving(waiting: int, places: Sequence[PlaceFacts], stocks: Sequence[Stock]) -> list[int]:
    """Return how many of the tasks that lie at each place are to have their files brought elsewhere.

    All of a place that is gone, while another can be used; and of one where nothing starts for a while
    as many as others could start at once. `waiting`: tasks that are bound to no place yet.
    """
    spare = sum(map(idle, places, stocks)) if not waiting else 0
    result = []
    for place, stock in zip(places, stocks, strict=True):
        others = any(each.usable and each is not place for each in places)
        movable = stock.lying if place.gone and others else 0
        if not place.gone and place.is_slow:
            movable = min(stock.lying, spare)
            spare -= movable
        result.append(movable)
    return result


def wanted(waiting: int, places: Sequence[PlaceFacts], stocks: Sequence[Stock]) -> list[int]:
    """Return for how many tasks each place asks: for those bound to it, and for a part of the others.

    The others are what is bound to no place, or lies where nothing starts. That part is no more than its
    elements hold: a pool grows with what is brought, lest elements wait for files that are not there.
    """
    pairs = list(zip(places, stocks, strict=True))
    stuck = sum(stock.lying for place, stock in pairs if place.gone or place.is_slow)
    result = []
    for (place, stock), share in zip(pairs, shares(waiting + stuck, places), strict=True):
        own = stock.lying if place.is_slow else 0
        more = min(share, waiting + stuck - own, max(place.slots, place.next_slots, 1))
        if not place.usable:
            result.append(stock.held)
        else:
            result.append(stock.held + stock.lying if place.at_once else stock.bound + more)
    return result
