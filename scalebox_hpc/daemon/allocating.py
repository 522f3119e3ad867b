"""Allocations: asked for, looked at, given back.

The intent is written before anything is asked, each try has a name of its own, and what the
batch system says is compared with what the ledger holds. Absence alone ends nothing.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Container
from pathlib import PurePosixPath

from scalebox_hpc.daemon import cancelling, disks, talking
from scalebox_hpc.daemon.desk import Cancel, Desk, Observe, SiteFacts, Submit
from scalebox_hpc.daemon.state import (
    ACTIVE,
    AllocationState,
    ModuleState,
    PoolState,
    TryState,
)
from scalebox_hpc.domain.allocation import (
    AllocationRequest,
    CancelTarget,
    ElementSeen,
    Launch,
    Listing,
    Phase,
    TrySeen,
)
from scalebox_hpc.domain.pipeline import Ranks
from scalebox_hpc.domain.site import Machine, Site
from scalebox_hpc.domain.task import TaskState
from scalebox_hpc.engine import elements, pools
from scalebox_hpc.engine.cancelling import Asked
from scalebox_hpc.engine.elements import OPEN, TryEvent

MINUTE_S = 60.0
SUBMIT_AGAIN_S = 30.0  # after a submission that failed for a passing reason


@dataclasses.dataclass(slots=True)
class SiteBook:
    """What the daemon remembers of one site between turns."""

    looked_s: float = -1e9  # when it last asked for a listing, monotonic
    looking: bool = False
    duration_s: float = 0.0  # of the last look
    heard_s: float = 0.0  # when the site last said anything
    submissions: list[float] = dataclasses.field(default_factory=list)
    learnt: int | None = None
    asked: dict[str, Asked] = dataclasses.field(default_factory=dict)  # orders to cancel, by try
    checked_s: float | None = None  # when the silence of its agents was last looked at


def decide(desk: Desk, books: dict[str, SiteBook], leaving: bool) -> None:
    """Ask for what the backlog is worth, give back what it is not, at every site."""
    by_site: dict[str, list[PoolState]] = {}
    for pool in desk.world.pools.values():
        by_site.setdefault(pool.spec.site, []).append(pool)
    for site, members in by_site.items():
        facts = desk.sites[site]
        if not any(_matters(pool) for pool in members):
            continue
        book = books.setdefault(site, SiteBook())
        book.submissions = [at for at in book.submissions if at > desk.now.mono_s - MINUTE_S]
        named = {str(pool.pool_id): pool for pool in members}
        snapshot = [_facts_of(desk, pool, facts, leaving=leaving) for pool in members]
        for decision in pools.decide(snapshot, _site_facts(facts, book), desk.now.mono_s):
            _apply(desk, decision, named, book, facts)


def _matters(pool: PoolState) -> bool:
    return bool(pool.allocations) or pool.run.phase in ACTIVE


def _site_facts(facts: SiteFacts, book: SiteBook) -> pools.SiteFacts:
    local = None
    if facts.cpus is not None and facts.memory_mib is not None:
        local = pools.LocalMachine(facts.cpus, facts.memory_mib)
    return pools.SiteFacts(
        limits=facts.site.limits,
        array_limit=facts.array_limit,
        learnt_elements=book.learnt,
        submissions_last_minute=len(book.submissions),
        local=local,
    )


def machine_of(pool: PoolState, facts: SiteFacts) -> Machine | None:
    """The machine that a pool names, else the site's default."""
    return machine_of_site(facts.site, pool.spec.machine)


def machine_of_site(site: Site, name: str | None) -> Machine | None:
    """A machine by name, else the site's default; None where the site has none."""
    return site.default_machine() if name is None else site.machines.get(name)


def _facts_of(desk: Desk, pool: PoolState, facts: SiteFacts, *, leaving: bool) -> pools.PoolFacts:
    greeted = _greeted(desk)
    return pools.PoolFacts(
        pool=str(pool.pool_id),
        slots=pool.spec.slots,
        walltime_s=pool.spec.walltime_s,
        machine=machine_of(pool, facts),
        modules=tuple(_work(desk, module) for module in pool.modules),
        allocations=tuple(
            _allocation_facts(allocation, greeted)
            for allocation in pool.allocations.values()
            if _lives(allocation)
        ),
        asked_last=pool.asked,
        open_at_last=pool.backlog_at_submit,
        silent_endings=pool.hello_less,
        disk_endings=pool.disk_endings,
        lost_disk=pool.lost_disk,
        busy_elsewhere=pool.disk_endings >= pools.DISK_ENDINGS and disks.busy_elsewhere(desk, pool),
        cancelled_at_s=pool.cancelled_at_s,
        retry_at_s=pool.pause_until_s,
        paused=pool.state == "paused",
        serving=pool.run.phase in ACTIVE and not leaving,
        ranks=pool.ranks,
    )


def _work(desk: Desk, module: ModuleState) -> pools.ModuleWork:
    held = module.counts[TaskState.LEASED] + module.counts[TaskState.RUNNING]
    ready = module.counts[TaskState.READY] if module.due_us <= desk.now.wall_us and not module.broken else 0
    median_s = module.durations.median()
    longest_s = 0.0
    if median_s is None and module.counts[TaskState.RUNNING]:
        row = desk.store.one("oldest_running", (module.module_id,))
        longest_s = (desk.now.wall_us - row[0]) / 1e6 if row is not None and row[0] is not None else 0.0
    needs = module.spec.taken
    needs = dataclasses.replace(needs, memory_mib=max(needs.memory_mib, module.raised_mib))
    return pools.ModuleWork(module.spec.name, needs, held + ready, median_s, longest_s)


def _lives(allocation: AllocationState) -> bool:
    return allocation.newest.state in OPEN or allocation.newest.state == "PLANNED"


def _greeted(desk: Desk) -> set[tuple[int, int]]:
    """(try, element) of all living agents."""
    return {(agent.try_id, agent.element) for agent in desk.world.agents.values()}


def _allocation_facts(
    allocation: AllocationState, greeted: Container[tuple[int, int]]
) -> pools.AllocationFacts:
    """What of an allocation lives. An element whose agent was given up may come back; nobody counts on it."""
    attempt, request = allocation.newest, allocation.request
    pending, active = [], []
    for index in range(request.elements):
        if index in attempt.ended or index in allocation.cancelled:
            continue
        seen = attempt.seen.elements.get(index) if attempt.seen is not None else None
        if index in attempt.hellos and (attempt.try_id, index) not in greeted:
            if seen is not None and seen.phase is Phase.PENDING:
                pending.append(index)
        elif index in attempt.hellos or (seen is not None and seen.phase is Phase.ACTIVE):
            active.append(index)
        else:
            pending.append(index)
    return pools.AllocationFacts(
        attempt.name, tuple(pending), tuple(active), bool(active or attempt.ended),
        request.cpus, request.memory_mib, request.gpus,
    )  # fmt: skip


def _apply(
    desk: Desk, decision: pools.Decision, named: dict[str, PoolState], book: SiteBook, facts: SiteFacts
) -> None:
    match decision:
        case pools.Submit():
            _submit(desk, named[decision.pool], decision, book, facts)
        case pools.CancelElements():
            attempt = desk.world.tries[decision.allocation]
            indices = tuple(index for index in decision.indices if attempt.is_listed_pending(index))
            if indices:
                allocation = desk.world.allocations[attempt.allocation_id]
                cancelling.give_back(desk, allocation, indices)
                desk.world.pools[allocation.pool_id].cancelled_at_s = desk.now.mono_s
                target = CancelTarget(attempt.name, attempt.job_id, indices)
                desk.commands.append(Cancel(facts.site.name, (target,)))
        case pools.PausePool():
            pause(desk, named[decision.pool], decision.reason)


def pause(desk: Desk, pool: PoolState, reason: str) -> None:
    """Ask for no more elements until a person says so."""
    words = desk.last_words(*pool.silent) if pool.silent and "hello" in reason else ""
    pool.state, pool.reason = "paused", f"{reason}; the last one said: {words}" if words else reason
    desk.store.run("save_pool", (pool.state, pool.reason, pool.hello_less, pool.pool_id))
    pool.run.note(f"pool {pool.spec.name} is paused: {pool.reason}. Mend it, then `sbx resume`")


def request_for(
    name: str,
    count: int,
    shape: tuple[int, int, int],
    walltime_s: float,
    how: tuple[Machine | None, Launch],
    ranks: Ranks | None = None,
) -> AllocationRequest:
    """Write a request for so many elements; `shape` is cpus, MiB of memory and gpus of each."""
    machine, launch = how
    return AllocationRequest(name, count, *shape, walltime_s, machine or Machine("default"), launch, ranks)


def how_to_ask(pool: PoolState, facts: SiteFacts) -> tuple[Machine | None, Launch]:
    """Return a pool's machine, and how its agents start. What spans nodes works where all of them see it."""
    launch = facts.launch
    if pool.ranks is not None and pool.ranks.nodes > 1:
        work = PurePosixPath(pool.run.shared[pool.spec.site]).parent / "work"
        launch = dataclasses.replace(launch, scratch=str(work))
    return machine_of(pool, facts), launch


def _submit(desk: Desk, pool: PoolState, decision: pools.Submit, book: SiteBook, facts: SiteFacts) -> None:
    """Write the intent, then ask."""
    allocation_id, try_id = desk.ids.take("allocation"), desk.ids.take("try_")
    name = f"sbx-{pool.run.name}-{pool.spec.name}.{desk.home_id}.{desk.epoch}.{allocation_id}.1"
    shape = (decision.cpus, decision.memory_mib, decision.gpus)
    how = how_to_ask(pool, facts)
    request = request_for(name, decision.elements, shape, decision.walltime_s, how, pool.ranks)
    kept = {"elements": decision.elements, "shape": shape, "walltime_s": decision.walltime_s}
    desk.store.run(
        "add_allocation",
        (allocation_id, pool.pool_id, json.dumps(kept), decision.elements, desk.now.wall_us),
    )
    desk.store.run("add_try", (try_id, allocation_id, 1, name, desk.now.wall_us))
    desk.event("allocation", allocation_id, "SUBMITTING", name)
    attempt = TryState(
        try_id, allocation_id, 1, name, "SUBMITTING", "", heard=False,
        created_us=desk.now.wall_us, since_s=desk.now.mono_s,
    )  # fmt: skip
    allocation = AllocationState(allocation_id, pool.pool_id, request, {1: attempt})
    pool.allocations[allocation_id] = allocation
    desk.world.allocations[allocation_id] = allocation
    desk.world.tries[name] = attempt
    pool.asked, pool.backlog_at_submit = (
        decision.elements,
        sum(_work(desk, each).open for each in pool.modules),
    )
    book.submissions.append(desk.now.mono_s)
    most = None if facts.site.batch == "local" else facts.site.limits.submissions_per_minute
    desk.commands.append(Submit(facts.site.name, request, most))


def submitted(desk: Desk, name: str, job_id: str, book: SiteBook) -> None:
    """The batch system took it."""
    attempt = desk.world.tries.get(name)
    if attempt is None:
        return
    attempt.job_id = job_id
    talking.move_try(desk, attempt, TryEvent.ACCEPTED)
    allocation = desk.world.allocations[attempt.allocation_id]
    pool = desk.world.pools[allocation.pool_id]
    if pool.state == "ok" and pool.reason:  # of a submission before, which failed for a while
        pool.reason, pool.run.touched = "", True
    if book.learnt is not None:
        book.learnt = pools.learnt_limit(book.learnt, _alive(desk), allocation.request.elements, taken=True)


def _alive(desk: Desk) -> int:
    greeted = _greeted(desk)
    return sum(
        _allocation_facts(each, greeted).alive for each in desk.world.allocations.values() if _lives(each)
    )


def not_submitted(desk: Desk, name: str, why: str, kind: str, book: SiteBook) -> None:
    """It did not: for good, for too many, for now; or nobody knows."""
    attempt = desk.world.tries.get(name)
    if attempt is None or attempt.state != "SUBMITTING":
        return
    allocation = desk.world.allocations[attempt.allocation_id]
    pool = desk.world.pools[allocation.pool_id]
    attempt.reason = why
    if kind == "unconfirmed":
        return  # a later look, or a hello, shows whether it arrived
    talking.move_try(desk, attempt, TryEvent.REFUSED)
    _end_allocation(desk, allocation)
    if kind == "refused":
        pause(desk, pool, f"the batch system refused the allocation: {why}")
        return
    if kind == "limited":
        book.learnt = pools.learnt_limit(book.learnt, _alive(desk), allocation.request.elements, taken=False)
    pool.pause_until_s = desk.now.mono_s + SUBMIT_AGAIN_S
    pool.reason = why
    pool.run.touched = True


def look(desk: Desk, books: dict[str, SiteBook]) -> None:
    """Ask for a listing where one is due, also for agents alone: only what is heard can be silent."""
    for site in desk.sites:
        book = books.setdefault(site, SiteBook())
        if book.looking or desk.now.mono_s < _due_s(desk, site, book):
            continue
        expected = tuple(each.name for each in _open_tries(desk) if _site_of(desk, each) == site)
        if expected or desk.world.has_agents(site):
            book.looking, book.looked_s = True, desk.now.mono_s
            desk.commands.append(Observe(site, expected))


def next_look_s(desk: Desk, books: dict[str, SiteBook]) -> float | None:
    """When the next listing is due, monotonic; None: none is."""
    sites = {_site_of(desk, each) for each in _open_tries(desk)}
    times = [
        _due_s(desk, site, book)
        for site, book in books.items()
        if not book.looking and (site in sites or desk.world.has_agents(site))
    ]
    return min(times, default=None)


def _open_tries(desk: Desk) -> list[TryState]:
    return [each for each in desk.world.tries.values() if each.state in OPEN]


def _due_s(desk: Desk, site: str, book: SiteBook) -> float:
    return book.looked_s + max(desk.sites[site].site.interval_s, 5 * book.duration_s)


def _site_of(desk: Desk, attempt: TryState) -> str:
    return desk.world.pools[desk.world.allocations[attempt.allocation_id].pool_id].spec.site


def listed(desk: Desk, site: str, listing: Listing, books: dict[str, SiteBook]) -> None:
    """Compare what the batch system lists with what we hold."""
    book = books.setdefault(site, SiteBook())
    book.looking, book.duration_s = False, listing.duration_s
    if listing.complete:
        book.heard_s = desk.now.mono_s
    for name, seen in listing.tries.items():
        attempt = desk.world.tries.get(name)
        if attempt is None or attempt.state in ("SUPERSEDED", "REFUSED"):
            continue
        attempt.absent_since_s = None
        _take_sight(desk, attempt, seen)
    if listing.complete:
        book.asked = cancelling.after_look(desk, site, listing, book.asked)
        for attempt in list(desk.world.tries.values()):
            if attempt.name not in listing.tries and _site_of(desk, attempt) == site:
                _absent(desk, attempt, desk.sites[site].site.interval_s)


def _take_sight(desk: Desk, attempt: TryState, seen: TrySeen) -> None:
    """One try as the batch system lists it."""
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
            _element_over(desk, pool, attempt, index, element)
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


def _element_over(desk: Desk, pool: PoolState, attempt: TryState, index: int, element: ElementSeen) -> None:
    """An element has ended: so has the incarnation that we hold for alive in it."""
    known = attempt.ended.get(index)
    for agent in desk.world.agents_of(attempt.try_id, index):
        if agent.restart <= element.restarts:
            cause = elements.cause_of(
                element.ending, sum(1 for each in agent.session.offers.values() if each.started)
            )
            talking.end_agent(desk, agent, cause)
    attempt.ended[index] = element
    allocation = desk.world.allocations[attempt.allocation_id]
    silent = index not in attempt.hellos and index not in allocation.cancelled
    if silent and known is None and pool.run.phase in ACTIVE:
        pool.hello_less += 1
        pool.silent = (desk.sites[pool.spec.site].launch.shared, attempt.name, index)
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
        _end_allocation(desk, allocation)
    elif (attempt.heard or attempt.state == "ACTIVE") and (
        all_over or elements.is_over_unseen(living_agents=living, unlisted_s=unlisted_s)
    ):
        _try_over(desk, allocation, attempt)


def _try_over(desk: Desk, allocation: AllocationState, attempt: TryState) -> None:
    talking.move_try(desk, attempt, TryEvent.ALL_ENDED)
    _end_allocation(desk, allocation)
    desk.world.tries.pop(attempt.name, None)


def _end_allocation(desk: Desk, allocation: AllocationState) -> None:
    desk.store.run("end_allocation", (desk.now.wall_us, allocation.allocation_id))
    pool = desk.world.pools[allocation.pool_id]
    pool.allocations.pop(allocation.allocation_id, None)
    pool.run.touched = True


def cancel_all(desk: Desk, pool: PoolState, *, agents_may_end: bool = False) -> None:
    """Give back everything of a pool, started or not.

    `agents_may_end`: elements with a living agent, which is told to leave, are cancelled only when a later
    look still finds them. Ranks on other nodes need that: in a job under cancellation nobody can end them.
    """
    targets = []
    for allocation in pool.allocations.values():
        every = range(allocation.request.elements)
        for attempt in allocation.tries.values():
            if attempt.state not in OPEN:
                continue
            cancelling.give_back(desk, allocation, every)
            agents = desk.world.agents_of(attempt.try_id) if agents_may_end else []
            living = {agent.element for agent in agents}
            indices = tuple(index for index in every if index not in living) if living else ()
            if indices or not living:
                targets.append(CancelTarget(attempt.name, attempt.job_id, indices))
    if targets:
        desk.commands.append(Cancel(pool.spec.site, tuple(targets)))
