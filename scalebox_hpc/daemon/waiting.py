"""Agents that wait in their long polls: whom a turn looks at, and how long the next one may wait.

There may be thousands, most of them idle or full. A turn looks at one when it has just spoken, when its
pool has work for which it has not been found too full, when its pool is over, or when its time is up.
"""

from __future__ import annotations

from scalebox_hpc.daemon import leasing, talking
from scalebox_hpc.daemon.desk import Desk
from scalebox_hpc.daemon.state import ACTIVE, PoolState, World


def answer(desk: Desk, turn: int) -> None:
    """Answer each waiting sync for which there is news, or whose time is up."""
    world = desk.world
    while world.polls and world.polls[0].deadline_s <= desk.now.mono_s:
        poll = world.polls.popleft()
        if poll.is_open:
            world.stir(poll.agent)
    for pool in world.pools.values():
        _stir(desk, pool)
    stirred, world.stirred = world.stirred, {}
    for agent in stirred.values():
        talking.answer_parked(desk, agent, turn)


def _stir(desk: Desk, pool: PoolState) -> None:
    """Have the waiting agents of a pool looked at for whom there is something new."""
    is_over = talking.is_over(pool)
    ends, pool.over = is_over and not pool.over, is_over
    work = leasing.with_work(desk, pool) if pool.run.phase in ACTIVE else frozenset()
    if not (ends or work):
        return
    for agent in desk.world.agents.values():
        if agent.pool is pool and agent.parked is not None and (ends or not agent.full_for >= work):
            desk.world.stir(agent)


def next_due_s(world: World) -> float | None:
    """When the first of those who wait is to be answered at the latest, monotonic; None: nobody waits."""
    while world.polls and not world.polls[0].is_open:
        world.polls.popleft()
    return world.polls[0].deadline_s if world.polls else None
