"""Modules with several sites: what each of these is to ask for. How work is split is the engine's affair."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from scalebox_hpc.daemon import links
from scalebox_hpc.daemon.desk import Desk
from scalebox_hpc.daemon.living import allocation_facts, greeted, lives
from scalebox_hpc.daemon.looking import SiteBook
from scalebox_hpc.daemon.state import ModuleState, PoolState
from scalebox_hpc.domain.pipeline import Place
from scalebox_hpc.domain.task import TaskState
from scalebox_hpc.engine.burst import PlaceFacts, shares


def ready(desk: Desk, module: ModuleState) -> int:
    """How many tasks of a module could be leased now."""
    is_due = module.due_us <= desk.now.wall_us and not module.broken
    return module.counts[TaskState.READY] if is_due else 0


def split(desk: Desk, books: Mapping[str, SiteBook]) -> dict[tuple[int, int], int]:
    """How many open tasks each pool asks for, by (module, pool); of modules with several sites."""
    found: dict[tuple[int, int], int] = {}
    for module in desk.world.modules.values():
        if not module.spec.places:
            continue
        at = pools_of(desk, module)
        facts = [_facts_of(desk, books, module, at[place.pool], place) for place in module.spec.places]
        for place, share in zip(module.spec.places, shares(ready(desk, module), facts), strict=True):
            pool = at[place.pool]
            found[module.module_id, pool.pool_id] = held(desk, module, pool) + share
    return found


def pools_of(desk: Desk, module: ModuleState) -> dict[str, PoolState]:
    """The pools that serve a module, by name."""
    return {pool.spec.name: pool for pool in desk.world.pools.values() if pool.serves(module)}


def held(desk: Desk, module: ModuleState, pool: PoolState) -> int:
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
    since = [each.newest.created_us for each, fact in zip(living, facts, strict=True) if fact.pending]
    waits_s = (desk.now.wall_us - min(since)) / 1e6 if since else 0.0
    if not living and pool.reason:  # it asked in vain
        waits_s = inf
    return PlaceFacts(
        place.weight,
        place.when_pending_s,
        usable=pool.state == "ok"
        and not is_lost
        and not pool.holds(desk.now.mono_s)
        and site not in module.given_up,
        delivers=any(fact.active for fact in facts),
        waits_s=waits_s,
    )
