"""Agents that wait in their long polls: whom a turn looks at, and how long the next one may wait.

There may be thousands, most of them idle or full. A turn looks at one when it has just spoken, when its
pool has work for which it has not been found too full, when its pool is over, or when its time is up.
"""

from __future__ import annotations

from typing import Final

from scalebox_hpc.daemon import leasing, talking
from scalebox_hpc.daemon.desk import Desk
from scalebox_hpc.daemon.state import PoolState, World

NOTHING: Final[frozenset[int]] = frozenset()
OVER: Final = frozenset({0})  # no module has this number, so no agent was ever too full for it


def answer(desk: Desk, turn: int) -> None:
    """Answer each waiting sync for which there is news, or whose time is up."""
    world = desk.world
    while world.polls and world.polls[0].deadline_s <= desk.now.mono_s:
        poll = world.polls.popleft()
        if poll.is_open:
            world.stir(poll.agent)
    if news := {pool.pool_id: work for pool in world.pools.values() if (work := _news(desk, pool))}:
        for agent in world.agents.values():
            work = news.get(agent.pool.pool_id, NOTHING)
            if agent.parked is not None and not agent.full_for >= work:
                world.stir(agent)
    stirred, world.stirred = world.stirred, {}
    for agent in stirred.values():
        talking.answer_parked(desk, agent, turn)


def _news(desk: Desk, pool: PoolState) -> frozenset[int]:
    """What is new for the waiting agents of a pool: modules with work, or that it is over since this turn."""
    was_over, pool.over = pool.over, talking.is_over(pool)
    if pool.over:
        return NOTHING if was_over else OVER
    return leasing.with_work(desk, pool)


def next_due_s(world: World) -> float | None:
    """When the first of those who wait is to be answered at the latest, monotonic; None: nobody waits."""
    while world.polls and not world.polls[0].is_open:
        world.polls.popleft()
    return world.polls[0].deadline_s if world.polls else None
