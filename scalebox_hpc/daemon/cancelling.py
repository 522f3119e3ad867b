"""What the batch system lists and we do not want: cancelled, and cancelled again while it is there.

It does not decide what is given back; `engine.cancelling` says when an order is repeated.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from scalebox_hpc.daemon.desk import Cancel, Desk
from scalebox_hpc.daemon.state import AllocationState, TryState
from scalebox_hpc.domain.allocation import CancelTarget, Listing, Phase
from scalebox_hpc.engine import cancelling
from scalebox_hpc.engine.cancelling import Asked


def give_back(desk: Desk, allocation: AllocationState, indices: Iterable[int]) -> None:
    """Note that these elements are not wanted any more; a daemon that starts again still knows."""
    allocation.cancelled.update(indices)
    _save(desk, allocation)


def keep(desk: Desk, allocation: AllocationState, index: int) -> None:
    """Note that an element that was given back has started all the same, and may work."""
    allocation.cancelled.discard(index)
    _save(desk, allocation)


def _save(desk: Desk, allocation: AllocationState) -> None:
    desk.store.run("give_back_elements", (json.dumps(sorted(allocation.cancelled)), allocation.allocation_id))


def after_look(desk: Desk, site: str, listing: Listing, asked: Mapping[str, Asked]) -> dict[str, Asked]:
    """Order what is due after a complete listing, all in one command; return what to remember."""
    given_back, strays = {}, {}
    for name, seen in listing.tries.items():
        attempt = desk.world.tries.get(name)
        living = {index for index, element in seen.elements.items() if element.phase is not Phase.ENDED}
        if attempt is None or attempt.state in ("SUPERSEDED", "REFUSED"):
            if living:
                strays[name] = CancelTarget(name, seen.job_id)
        elif target := _given_back(desk.world.allocations[attempt.allocation_id], attempt, living):
            given_back[name] = target
    orders = cancelling.after_look(asked, given_back, strays, desk.now.mono_s)
    if orders.due:
        targets = {**given_back, **strays}
        desk.commands.append(Cancel(site, tuple(targets[name] for name in sorted(orders.due))))
    return orders.asked


def _given_back(allocation: AllocationState, attempt: TryState, living: set[int]) -> CancelTarget | None:
    """Elements that were cancelled and live, or the whole try where that is all that lives of it."""
    unwanted = living & allocation.cancelled
    if not unwanted:
        return None
    return CancelTarget(attempt.name, attempt.job_id, () if unwanted == living else tuple(sorted(unwanted)))


def failed(desk: Desk, names: tuple[str, ...], why: str) -> None:
    """Keep why an order was not carried out; a later look repeats it."""
    for name in names:
        attempt = desk.world.tries.get(name)
        if attempt is not None:
            desk.event("allocation", attempt.allocation_id, "cancel failed", why)
