"""Modules with several sites that stage files in: where the files of each task go, and what is bound where.

The site of a task is a column of its row. A transfer has one while an agent holds it, the task that comes of
it from its message on. What is best is the engine's affair; here it is counted, written and carried out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from scalebox_hpc.daemon.desk import Desk
from scalebox_hpc.daemon.state import ModuleState, PoolState
from scalebox_hpc.domain.task import Lease, TaskEvent, TaskState, advance
from scalebox_hpc.engine import placing
from scalebox_hpc.ledger.store import Row

MOST_MOVES: Final = 1000  # of one decision


def ready_at(desk: Desk, pool: PoolState, module: ModuleState) -> int:
    """How many tasks of a module an agent of a pool could lease now."""
    if module.feeds is not None:
        return room_of(desk, module)
    if module.spec.bound:
        lying: dict[str, int] = {site: due for site, due, _ in _lying(desk, module)}
        return lying.get(pool.spec.site, 0) + lying.get("", 0)
    return module.counts[TaskState.READY]


def room_of(desk: Desk, transfer: ModuleState) -> int:
    """How many more messages a transfer may bring files for."""
    assert transfer.feeds is not None
    waiting = transfer.counts[TaskState.READY]
    if not waiting:
        return 0
    served = transfer.feeds
    return min(waiting, sum(map(placing.room, served.places, stocks(desk, served))))


def wanted(desk: Desk, module: ModuleState) -> list[int]:
    """For how many tasks of a module each of its pools asks, in its order."""
    return placing.wanted(_waiting(module), module.places, stocks(desk, module))


def waits_for(module: ModuleState) -> bool:
    """Whether a module's pools are what its tasks, or the messages to it, wait for."""
    if module.feeds is None:
        return bool(module.open_tasks) or bool(_waiting(module))
    held = module.counts[TaskState.LEASED] + module.counts[TaskState.RUNNING]
    return bool(held) or (bool(module.open_tasks) and any(each.usable for each in module.feeds.places))


def stocks(desk: Desk, module: ModuleState) -> list[placing.Stock]:
    """What is bound to each site of a module, in its order; nothing before the first decision."""
    if not module.places:
        return []
    lying = {site: count for site, _, count in _lying(desk, module)}
    held, coming = Counter[str](), Counter[str]()
    for agent in desk.world.agents.values():
        if count := agent.session.held[module.module_id]:
            held[agent.pool.spec.site] += count
        for transfer in module.feeders:
            if agent.session.held[transfer.module_id]:
                coming.update(dict(desk.store.rows("coming", (agent.agent_id, transfer.module_id))))
    sites = module.run.pipeline.sites_of(module.spec)
    return [placing.Stock(held[site], lying.get(site, 0), coming[site]) for site in sites]


def _lying(desk: Desk, module: ModuleState) -> list[Row]:
    if not module.counts[TaskState.READY]:
        return []
    return desk.store.rows("lying", {"now": desk.now.wall_us, "module": module.module_id})


def _waiting(module: ModuleState) -> int:
    return sum(transfer.counts[TaskState.READY] for transfer in module.feeders)


# a transfer is leased


def bind(
    desk: Desk, transfer: ModuleState, rows: Sequence[Row], before: Sequence[placing.Stock]
) -> list[tuple[Row, str]]:
    """Choose to which site each of the tasks of a transfer brings files that were just leased.

    `before`: the stocks as they were without them. Gives back those for which no site can be used now.
    """
    served, inserted = transfer.feeds, transfer.spec.inserted
    assert served is not None
    assert inserted is not None
    sites = served.run.pipeline.sites_of(served.spec)
    near = {index for index, site in enumerate(sites) if inserted.sites[site] == inserted.source}
    now, found = list(before), []
    for row in rows:
        task_id, _, number, _, _, generation, *_ = row
        barred = _barred(desk, served, sites, task_id) if generation > 1 else ()
        index = placing.choose(served.places, now, near, barred)
        if index is None:
            desk.store.run("give_back_task", Lease(task_id, desk.epoch, number))
            transfer.moved(TaskState.LEASED, TaskState.READY)
            continue
        now[index] = replace(now[index], coming=now[index].coming + 1)
        desk.store.run("bind_task", (sites[index], task_id))
        found.append((row, sites[index]))
    return found


def _barred(desk: Desk, served: ModuleState, sites: Sequence[str], task_id: int) -> set[int]:
    """Where files that are brought once more are not to go: where they are, or where the task cannot be."""
    row = desk.store.one("brought_for", (task_id,))
    if row is None:
        return set()
    _, site, memory_mib = row
    most = _most_memory_mib(desk, served)
    return {
        index
        for index, each in enumerate(sites)
        if each == site or (most[each] is not None and (memory_mib or 0) > (most[each] or 0))
    }


def _most_memory_mib(desk: Desk, served: ModuleState) -> Mapping[str, int | None]:
    """The most memory that a task can have at each site of a module; None: unknown."""
    pools = [served.run.pipeline.pools[name] for name in served.spec.pools]
    return {pool.site: desk.sites[pool.site].most_memory_mib(pool.machine) for pool in pools}


# what lies where it cannot start is brought elsewhere


def move(desk: Desk) -> None:
    """Have files brought again, to other sites, for tasks that wait where they do not start."""
    for module in desk.world.modules.values():
        if module.spec.bound and module.counts[TaskState.READY] and module.places and not module.broken:
            _move_of(desk, module)


def _move_of(desk: Desk, module: ModuleState) -> None:
    sites, most = module.run.pipeline.sites_of(module.spec), _most_memory_mib(desk, module)
    now = stocks(desk, module)
    counts = placing.leaving(_waiting(module), module.places, now)
    for site, stock, count in zip(sites, now, counts, strict=True):
        if count:
            _bring_again(desk, module, site, -1, count, "where they lie they do not start")
        elif stock.lying and most[site] is not None and module.raised_mib > (most[site] or 0):
            _bring_again(desk, module, site, most[site] or 0, stock.lying, "they need more memory")


def _bring_again(desk: Desk, module: ModuleState, site: str, above_mib: int, count: int, why: str) -> None:
    asked = (module.module_id, site, above_mib, min(count, MOST_MOVES))
    rows = desk.store.rows("could_leave", asked)
    for _, transfer_task, transfer_id in rows:
        transfer = desk.world.modules[transfer_id]
        desk.store.run("bring_again", (desk.now.wall_us, transfer_task))
        transfer.moved(TaskState.SUCCEEDED, advance(TaskState.SUCCEEDED, TaskEvent.REFIRED))
        transfer.due_us = 0
    if rows:
        module.run.note(f"{module.spec.name}: files at site {site} are brought to other sites: {why}")


def brought_again(
    desk: Desk, module: ModuleState, attempt_id: int, message_id: int, site: str
) -> tuple[int, bool] | None:
    """Bind the task for which a transfer has brought files before to where they are now.

    Returns that task and whether it still waited for them; None where there is none.
    """
    sender = desk.store.one("task_of_attempt", (attempt_id,))
    assert sender is not None, "a message has a sender"
    row = desk.store.one("brought_for", sender)
    if row is None:
        return None
    module.due_us = 0
    return row[0], bool(desk.store.run("bind_again", (message_id, site, row[0])))


def failed(desk: Desk, served: ModuleState, transfer_task: int, cause: str) -> None:
    """Files could not be brought once more: the task that waits for them fails, for the same cause."""
    row = desk.store.one("brought_for", (transfer_task,))
    if row is not None:
        count = desk.store.run("fail_waiting", (cause, row[0]))
        served.moved(TaskState.READY, TaskState.FAILED, count)
