"""Allocations: asked for, and given back.

The intent is written before anything is asked, and each try has a name of its own. What became of
it `looking` finds out.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import PurePosixPath

from scalebox_hpc.daemon import bursting, cancelling, disks, links, placing, talking
from scalebox_hpc.daemon.desk import AskWords, Cancel, Desk, SiteFacts, Submit
from scalebox_hpc.daemon.living import alive, allocation_facts, greeted, lives
from scalebox_hpc.daemon.looking import SiteBook, end_allocation
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
    Launch,
)
from scalebox_hpc.domain.pipeline import Ranks
from scalebox_hpc.domain.site import Machine, Site
from scalebox_hpc.domain.task import TaskState
from scalebox_hpc.engine import pools
from scalebox_hpc.engine.elements import OPEN, TryEvent

MINUTE_S = 60.0
SUBMIT_AGAIN_S = 30.0  # after a submission that failed for a passing reason


def decide(desk: Desk, books: dict[str, SiteBook], leaving: bool) -> None:
    """Ask for what the backlog is worth, give back what it is not, at every site."""
    by_site: dict[str, list[PoolState]] = {}
    for pool in desk.world.pools.values():
        by_site.setdefault(pool.spec.site, []).append(pool)
    split = bursting.split(desk, books)
    placing.move(desk)
    for site, members in by_site.items():
        facts = desk.sites[site]
        if not any(_matters(pool) for pool in members) or links.is_away(desk, books, site):
            continue
        book = books.setdefault(site, SiteBook())
        book.submissions = [at for at in book.submissions if at > desk.now.mono_s - MINUTE_S]
        named = {str(pool.pool_id): pool for pool in members}
        snapshot = [_facts_of(desk, pool, facts, split, leaving=leaving) for pool in members]
        backlog = {each.pool: each.open for each in snapshot}
        site_facts = _site_facts(facts, book)
        for decision in pools.decide(snapshot, site_facts, desk.now.mono_s):
            if isinstance(decision, pools.Submit):
                named[decision.pool].backlog_at_submit = backlog[decision.pool]
            _apply(desk, decision, named, book, facts)
        full = pools.full(snapshot, site_facts)
        for name, pool in named.items():
            bursting.note_full(desk, pool, is_full=name in full)


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


def _facts_of(
    desk: Desk, pool: PoolState, facts: SiteFacts, split: Mapping[tuple[int, int], int], *, leaving: bool
) -> pools.PoolFacts:
    known = greeted(desk)
    return pools.PoolFacts(
        pool=str(pool.pool_id),
        slots=pool.spec.slots,
        walltime_s=pool.spec.walltime_s,
        machine=machine_of(pool, facts),
        modules=tuple(_work(desk, pool, module, _open(desk, pool, module, split)) for module in pool.modules),
        allocations=tuple(
            allocation_facts(allocation, known)
            for allocation in pool.allocations.values()
            if lives(allocation)
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


def _open(desk: Desk, pool: PoolState, module: ModuleState, split: Mapping[tuple[int, int], int]) -> int:
    """How many open tasks of a module a pool asks for: all, or what is its part among several sites."""
    if module.spec.places:
        return split[module.module_id, pool.pool_id]
    return module.counts[TaskState.LEASED] + module.counts[TaskState.RUNNING] + bursting.ready(desk, module)


def _work(desk: Desk, pool: PoolState, module: ModuleState, open_tasks: int) -> pools.ModuleWork:
    median_s = module.durations.median()
    longest_s = 0.0
    if median_s is None and module.counts[TaskState.RUNNING]:
        row = desk.store.one("oldest_running", (module.module_id,))
        longest_s = (desk.now.wall_us - row[0]) / 1e6 if row is not None and row[0] is not None else 0.0
    needs = module.spec.taken
    raised_mib = module.raised_mib
    most_mib = desk.sites[pool.spec.site].most_memory_mib(pool.spec.machine)
    if most_mib is not None:  # more than that another of its sites has
        raised_mib = min(raised_mib, most_mib)
    needs = dataclasses.replace(needs, memory_mib=max(needs.memory_mib, raised_mib))
    return pools.ModuleWork(module.spec.name, needs, open_tasks, median_s, longest_s)


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
                target = CancelTarget(attempt.name, attempt.job_id, indices, only_pending=True)
                desk.commands.append(Cancel(facts.site.name, (target,)))
        case pools.PausePool():
            pause(desk, named[decision.pool], decision.reason)


def pause(desk: Desk, pool: PoolState, reason: str) -> None:
    """Ask for no more elements until a person says so."""
    words = _last_words(desk, pool) if pool.silent and "hello" in reason else ""
    _pause(desk, pool, reason, words)


def _last_words(desk: Desk, pool: PoolState) -> str:
    """What the last silent element printed; of a remote one a hand tells later. See `last_words`."""
    assert pool.silent is not None
    facts = desk.sites[pool.spec.site]
    if facts.is_remote:
        desk.commands.append(AskWords(pool.spec.site, pool.pool_id, *pool.silent))
        return ""
    return desk.depot_of(facts.launch.shared).last_words(*pool.silent)


def last_words(desk: Desk, pool_id: int, words: str) -> None:
    """A silent element of a remote site printed this, for which its pool was paused."""
    pool = desk.world.pools.get(pool_id)
    if pool is not None and pool.state == "paused" and words and words not in pool.reason:
        _pause(desk, pool, pool.reason, words)


def _pause(desk: Desk, pool: PoolState, reason: str, words: str) -> None:
    pool.state, pool.reason = "paused", f"{reason}; the last one said: {words}" if words else reason
    desk.store.run("save_pool", (pool.state, pool.reason, pool.hello_less, pool.pool_id))
    desk.tell("pool.paused", pool=pool.spec.name, run=pool.run.name, note=reason)
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
    pool.asked = decision.elements
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
        book.learnt = pools.learnt_limit(book.learnt, alive(desk), allocation.request.elements, taken=True)


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
    end_allocation(desk, allocation)
    if kind == "refused":
        pause(desk, pool, f"the batch system refused the allocation: {why}")
        return
    asked = allocation.request.elements
    if kind == "limited":
        book.learnt = pools.learnt_limit(book.learnt, alive(desk), asked, taken=False)
    if kind != "limited" or asked == 1:  # else half of it is asked for at once
        pool.pause_until_s = desk.now.mono_s + SUBMIT_AGAIN_S
    pool.reason = why
    pool.run.touched = True


def cancel_all(desk: Desk, pool: PoolState, *, agents_may_end: bool = False) -> None:
    """Give back everything of a pool, started or not.

    `agents_may_end`: elements with a living agent, which is told to leave, are cancelled only when a later
    look still finds them. Ranks on other nodes need that: in a job under cancellation nobody can end them.
    """
    targets, given_back = [], []
    for allocation in pool.allocations.values():
        every = range(allocation.request.elements)
        for attempt in allocation.tries.values():
            if attempt.state not in OPEN:
                continue
            given_back.append(allocation)
            agents = desk.world.agents_of(attempt.try_id) if agents_may_end else []
            living = {agent.element for agent in agents}
            indices = tuple(index for index in every if index not in living) if living else ()
            if indices or not living:
                targets.append(CancelTarget(attempt.name, attempt.job_id, indices))
    if targets:
        desk.commands.append(Cancel(pool.spec.site, tuple(targets)))
    for allocation in given_back:
        cancelling.give_back(desk, allocation, range(allocation.request.elements))
