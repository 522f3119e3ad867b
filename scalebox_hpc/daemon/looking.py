"""Looks at the queue: when one is due, and what it says of what we asked for.

What the batch system says is compared with what the ledger holds. Absence alone ends nothing; and what
was given up may turn up again, so every site of which we asked something is looked at now and then,
also when nothing is expected there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from scalebox_hpc.daemon import cancelling, talking
from scalebox_hpc.daemon.desk import Desk, Observe
from scalebox_hpc.daemon.state import ACTIVE, AllocationState, PoolState, TryState
from scalebox_hpc.domain.allocation import ElementSeen, Listing, Phase, TrySeen
from scalebox_hpc.domain.site import Way
from scalebox_hpc.engine import elements
from scalebox_hpc.engine.cancelling import Asked
from scalebox_hpc.engine.elements import OPEN, TryEvent

UNASKED_S = 300.0  # between looks at a site where nothing of ours is known to be


@dataclass(slots=True)
class SiteBook:
    """What the daemon remembers of one site between turns."""

    looked_s: float = -1e9  # when it last asked for a listing, monotonic
    looking: bool = False
    duration_s: float = 0.0  # of the last look
    problem: str = ""  # why the last look was in vain
    heard_s: float = 0.0  # when the site last said anything
    submissions: list[float] = field(default_factory=list)
    learnt: int | None = None
    asked: dict[str, Asked] = field(default_factory=dict)  # orders to cancel, by try
    checked_s: float | None = None  # when the silence of its agents was last looked at
    linked: bool = False  # a hand was asked to keep up the link to it, where it is remote
    way: Way | None = None  # by this way
    link_up: bool = False  # and it is, as far as we know
    link_why: str = ""  # why it is not
    link_todo: str = ""  # the command that a person has to type first
    link_lost_s: float | None = None  # since when it is down, monotonic; None: it is up, or never was
    link_again_s: float = 0.0  # when a hand that could not begin is asked again, monotonic

    def is_lost_for(self, mono_s: float, least_s: float) -> bool:
        """Whether the link has been down for so long."""
        return self.link_lost_s is not None and mono_s - self.link_lost_s >= least_s


def look(desk: Desk, books: dict[str, SiteBook]) -> None:
    """Ask for a listing where one is due, also for agents alone: only what is heard can be silent."""
    for site in desk.sites:
        book = books.setdefault(site, SiteBook())
        if book.looking or desk.now.mono_s < _soonest_s(desk, site, book) or _is_away(desk, site, book):
            continue
        if desk.now.mono_s < _due_s(desk, site, book):
            continue
        book.looking, book.looked_s = True, desk.now.mono_s
        desk.commands.append(Observe(site, tuple(each.name for each in _open_tries(desk, site))))


def next_look_s(desk: Desk, books: dict[str, SiteBook]) -> float | None:
    """When the next listing is due, monotonic; None: none is."""
    known = [(site, book) for site, book in books.items() if site in desk.sites]
    seen = [(site, book) for site, book in known if not (book.looking or _is_away(desk, site, book))]
    times = [_due_s(desk, site, book) for site, book in seen]
    return min(times, default=None)


def is_awaited(desk: Desk, books: dict[str, SiteBook]) -> bool:
    """Whether an allocation is not known to be over, or an order to cancel one not to be obeyed."""
    return any(each.state in OPEN for each in desk.world.tries.values()) or any(
        book.asked for book in books.values()
    )


def _open_tries(desk: Desk, site: str) -> list[TryState]:
    return [each for each in desk.world.tries.values() if each.state in OPEN and _site_of(desk, each) == site]


def _is_away(desk: Desk, site: str, book: SiteBook) -> bool:
    """A remote site is looked at while its link is up: what is there to be seen is there later too."""
    return desk.sites[site].is_remote and not book.link_up


def _soonest_s(desk: Desk, site: str, book: SiteBook) -> float:
    return book.looked_s + max(desk.sites[site].site.interval_s, 5 * book.duration_s)


def _due_s(desk: Desk, site: str, book: SiteBook) -> float:
    """When to look: soon where something of ours is, else now and then for what turns up again."""
    is_busy = bool(book.asked or desk.world.has_agents(site) or _open_tries(desk, site))
    return max(_soonest_s(desk, site, book), 0.0 if is_busy else book.looked_s + UNASKED_S)


def _site_of(desk: Desk, attempt: TryState) -> str:
    return desk.world.pools[desk.world.allocations[attempt.allocation_id].pool_id].spec.site


def listed(desk: Desk, site: str, listing: Listing, books: dict[str, SiteBook]) -> None:
    """Compare what the batch system lists with what we hold."""
    if site not in desk.sites:  # asked before memory was read again, of a site that is of the past
        return
    book = books.setdefault(site, SiteBook())
    book.looking, book.duration_s = False, listing.duration_s
    if book.problem != listing.problem:
        book.problem = listing.problem
        touch(desk, site)
    if listing.complete:
        book.heard_s = desk.now.mono_s
    for name, seen in listing.tries.items():
        attempt = desk.world.tries.get(name)
        if attempt is None or attempt.state in ("SUPERSEDED", "REFUSED"):
            continue
        attempt.absent_since_s = None
        _take_sight(desk, attempt, seen, book.looked_s)
    if listing.complete:
        book.asked = cancelling.after_look(desk, site, listing, book.asked)
        for attempt in list(desk.world.tries.values()):
            if attempt.name not in listing.tries and _site_of(desk, attempt) == site:
                _absent(desk, attempt, desk.sites[site].site.interval_s)


def touch(desk: Desk, site: str) -> None:
    """Let those who follow a run at this site see what changed."""
    for pool in desk.world.pools.values():
        if pool.spec.site == site:
            pool.run.touched = True


def _take_sight(desk: Desk, attempt: TryState, seen: TrySeen, asked_s: float) -> None:
    """One try as the batch system lists it, asked at `asked_s`."""
    allocation = desk.world.allocations[attempt.allocation_id]
    pool = desk.world.pools[allocation.pool_id]
    if seen != attempt.seen:
        pool.run.touched = True
    attempt.seen = seen
    if seen.job_id and not attempt.job_id:  # its answer was lost; elements are cancelled by it
        attempt.job_id = seen.job_id
        talking.save_try(desk, attempt)
    for index, element in seen.elements.items():
        if element.phase is Phase.ENDED:
            _element_over(desk, pool, attempt, (index, element), asked_s)
        elif index in attempt.ended and element.phase is Phase.PENDING:  # requeued
            attempt.ended.pop(index)
    phases = {element.phase for element in seen.elements.values()}
    for phase in (Phase.ACTIVE, Phase.PENDING, Phase.UNKNOWN, Phase.ENDED):
        if phase in phases:
            state = elements.TryState(attempt.state)
            if elements.advance(state, elements.SEEN[phase], attempt.name) is not state:
                talking.move_try(desk, attempt, elements.SEEN[phase])
            break
    if len(attempt.ended) >= allocation.request.elements:
        _try_over(desk, allocation, attempt)


def _element_over(
    desk: Desk, pool: PoolState, attempt: TryState, seen: tuple[int, ElementSeen], asked_s: float
) -> None:
    """An element has ended: so has the incarnation that we hold for alive in it.

    Unless that is a later one: started again, and heard after we had asked. The next look tells.
    """
    index, element = seen
    known = attempt.ended.get(index)
    for agent in desk.world.agents_of(attempt.try_id, index):
        if agent.restart > element.restarts and agent.heard_s >= asked_s:
            return
        started = sum(each.started for each in agent.session.offers.values())
        why = elements.explained(element.native_state, element.reason)
        talking.end_agent(desk, agent, elements.cause_of(element.ending, started), why)
    attempt.ended[index] = element
    allocation = desk.world.allocations[attempt.allocation_id]
    silent = index not in attempt.hellos and index not in allocation.cancelled
    if silent and known is None and pool.run.phase in ACTIVE:
        pool.hello_less += 1
        pool.silent = (attempt.name, index)
        desk.store.run("save_pool", (pool.state, pool.reason, pool.hello_less, pool.pool_id))


def _absent(desk: Desk, attempt: TryState, interval_s: float) -> None:
    """A complete listing lacks a try. That alone is no news; for long enough it is.

    Nor are elements over that were given back: the order may have failed, and they are pending still.
    """
    if attempt.absent_since_s is None:
        attempt.absent_since_s = desk.now.mono_s
    unlisted_s = desk.now.mono_s - attempt.absent_since_s
    allocation = desk.world.allocations[attempt.allocation_id]
    living = len(desk.world.agents_of(attempt.try_id))
    all_over = len(attempt.ended) >= allocation.request.elements
    if attempt.state in ("SUBMITTING", "QUEUED") and elements.should_supersede(
        heard=attempt.heard, has_job_id=bool(attempt.job_id), unlisted_s=unlisted_s, interval_s=interval_s
    ):
        talking.move_try(desk, attempt, TryEvent.SUPERSEDED)
        end_allocation(desk, allocation)
    elif (attempt.heard or attempt.state == "ACTIVE") and (
        all_over or elements.is_over_unseen(living_agents=living, unlisted_s=unlisted_s)
    ):
        _try_over(desk, allocation, attempt)


def _try_over(desk: Desk, allocation: AllocationState, attempt: TryState) -> None:
    talking.move_try(desk, attempt, TryEvent.ALL_ENDED)
    end_allocation(desk, allocation)
    desk.world.tries.pop(attempt.name, None)


def end_allocation(desk: Desk, allocation: AllocationState) -> None:
    """Nothing of it is left, or nothing of it is counted on any more."""
    desk.store.run("end_allocation", (desk.now.wall_us, allocation.allocation_id))
    pool = desk.world.pools[allocation.pool_id]
    pool.allocations.pop(allocation.allocation_id, None)
    pool.run.touched = True
