"""Modules with several sites: what each of these is to ask for. How work is split is the engine's affair."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import inf

from scalebox_hpc.daemon import links, placing
from scalebox_hpc.daemon.desk import Desk
from scalebox_hpc.daemon.living import allocation_facts, greeted, lives
from scalebox_hpc.daemon.looking import SiteBook
from scalebox_hpc.daemon.state import AllocationState, ModuleState, PoolState
from scalebox_hpc.domain.pipeline import Place
from scalebox_hpc.domain.task import TaskState
from scalebox_hpc.engine.burst import SLOW_S, PlaceFacts, shares
from scalebox_hpc.engine.dispatch import Room, fits
from scalebox_hpc.engine.placing import timely

WAITING = ("SUBMITTING", "QUEUED")  # allocations of which nothing has started


def ready(desk: Desk, module: ModuleState) -> int:
    """How many tasks of a module could be leased now; of a transfer, how many have a place to go to."""
    is_due = module.due_us <= desk.now.wall_us and not module.broken
    if not is_due:
        return 0
    return module.counts[TaskState.READY] if module.feeds is None else placing.room_of(desk, module)


def split(desk: Desk, books: Mapping[str, SiteBook]) -> dict[tuple[int, int], int]:
    """How many open tasks each pool asks for, by (module, pool); of modules with several sites."""
    found: dict[tuple[int, int], int] = {}
    for module in desk.world.modules.values():
        if not module.spec.places:
            continue
        at = pools_of(desk, module)
        facts = [_facts_of(desk, books, module, at[place.pool], place) for place in module.spec.places]
        module.places = tuple(timely(facts) if module.spec.bound else facts)
        for place, wanted in zip(module.spec.places, _wanted(desk, module, at), strict=True):
            found[module.module_id, at[place.pool].pool_id] = wanted
    return found


def _wanted(desk: Desk, module: ModuleState, at: Mapping[str, PoolState]) -> list[int]:
    """How many open tasks each of its pools asks for."""
    if module.spec.bound:
        return placing.wanted(desk, module)
    split_ready = shares(ready(desk, module), module.places)
    held = [_held(desk, module, at[place.pool]) for place in module.spec.places]
    return [each + share for each, share in zip(held, split_ready, strict=True)]


def note_full(desk: Desk, pool: PoolState, *, is_full: bool) -> None:
    """Keep in mind since when tasks wait for a pool that can have no more elements.

    That goes on while a queue has yet to start what it asked for, as in place of an element that has ended.
    """
    if not pool.has_work:
        pool.full_since_s = None
    elif is_full and pool.full_since_s is None:
        pool.full_since_s = desk.now.mono_s
    elif not is_full and not any(each.newest.state in WAITING for each in pool.allocations.values()):
        pool.full_since_s = None


def pools_of(desk: Desk, module: ModuleState) -> dict[str, PoolState]:
    """The pools that serve a module, by name."""
    return {pool.spec.name: pool for pool in desk.world.pools.values() if pool.serves(module)}


def _held(desk: Desk, module: ModuleState, pool: PoolState) -> int:
    """How many tasks of a module the agents of a pool have in hand."""
    agents = desk.world.agents.values()
    return sum(agent.session.held[module.module_id] for agent in agents if agent.pool is pool)


def _facts_of(
    desk: Desk, books: Mapping[str, SiteBook], module: ModuleState, pool: PoolState, place: Place
) -> PlaceFacts:
    site, known = pool.spec.site, greeted(desk)
    is_lost = links.is_away(desk, books, site) and bool(books[site].link_why if site in books else "")
    living = [each for each in pool.allocations.values() if lives(each)]
    facts = [allocation_facts(each, known) for each in living]
    pending = [each for each, fact in zip(living, facts, strict=True) if fact.pending]
    is_lost_for_long = is_lost and books[site].is_lost_for(desk.now.mono_s, SLOW_S)
    now = PlaceFacts(
        place.weight,
        place.when_pending_s,
        usable=pool.state == "ok"
        and not is_lost
        and not pool.holds(desk.now.mono_s)
        and site not in module.given_up,
        delivers=any(fact.active for fact in facts),
        waits_s=_waits_s(desk, pool, living, pending),
        gone=pool.state != "ok" or site in module.given_up or is_lost_for_long,
        at_once=desk.sites[site].is_here,
    )
    if not module.spec.bound:
        return now
    agents = [each for each in desk.world.agents.values() if each.pool is pool and not each.leaving]
    return replace(
        now,
        slots=sum(fits(agent.room, module.needs()) for agent in agents),
        next_slots=max((fits(each, module.needs()) for each in _next_rooms(desk, pool, pending)), default=0),
    )


def _waits_s(
    desk: Desk, pool: PoolState, living: Sequence[AllocationState], pending: Sequence[AllocationState]
) -> float | None:
    """For how long a pool keeps tasks waiting; infinity where it asked in vain, also while it asks again."""
    if pool.reason and all(each.newest.state == "SUBMITTING" for each in living):
        return inf
    waits = [(desk.now.wall_us - each.newest.created_us) / 1e6 for each in pending]
    full = [desk.now.mono_s - pool.full_since_s] if pool.full_since_s is not None else []
    return max([*waits, *full], default=None)


def _next_rooms(desk: Desk, pool: PoolState, pending: Iterable[AllocationState]) -> list[Room]:
    """What elements have that still wait in a queue; on this machine, what one could have."""
    facts = desk.sites[pool.spec.site]
    if not facts.is_here:
        asked = [each.request for each in pending]
        return [Room(each.cpus, each.memory_mib, each.gpus, sys.maxsize) for each in asked]
    machine = facts.site.machines.get(pool.spec.machine or "") or facts.site.default_machine()
    most = (machine.cpus if machine is not None else None, facts.cpus)
    cpus = min((each for each in most if each), default=0)
    return [Room(cpus, facts.most_memory_mib(pool.spec.machine) or 0, sys.maxsize, sys.maxsize)]
