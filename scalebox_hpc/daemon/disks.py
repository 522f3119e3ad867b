"""Agents that leave because a disk of their node is of no use: counted, told, and given some time.

Their tasks were given back and cost nothing. What so many endings mean is decided in `engine.pools`.
"""

from __future__ import annotations

from scalebox_hpc.daemon.desk import Desk
from scalebox_hpc.daemon.state import AgentState, PoolState
from scalebox_hpc.domain.task import TaskState
from scalebox_hpc.engine import disks
from scalebox_hpc.engine.pools import LostDisk
from scalebox_hpc.wire.messages import Leaving, Sync


def take_in(desk: Desk, agent: AgentState, said: Sync) -> None:
    """Note it when an agent says for the first time that it leaves, and a disk is why."""
    reason = "" if agent.leaving else _reason(desk, agent, said)
    if not reason:
        return
    pool = agent.pool
    pool.disk_endings += 1
    pool.lost_disk = LostDisk(agent.node, reason)
    pool.pause_until_s = desk.now.mono_s + disks.wait_s(pool.disk_endings)
    desk.event("agent", agent.agent_id, "disk", reason)
    if pool.state == "ok":
        pool.reason = f"an agent left {agent.node}: {reason}"
    pool.run.note(f"an agent left {agent.node}, where tasks find no disk to work on")


def busy_elsewhere(desk: Desk, pool: PoolState) -> bool:
    """Tell whether tasks of a pool are in hand on other nodes than the one whose disk was lost last.

    They may not have started: elements that start at once, most of them on a bad node, are no news of others.
    """
    return pool.lost_disk is not None and any(
        agent.pool is pool
        and agent.node != pool.lost_disk.node
        and agent.session.offers
        and not agent.leaving
        for agent in desk.world.agents.values()
    )


def _reason(desk: Desk, agent: AgentState, said: Sync) -> str:
    if said.leaving is Leaving.DISK:
        return said.reason or "a disk cannot be written"
    if said.leaving is not Leaving.IDLE:
        return ""
    waiting = [
        module
        for module in agent.pool.modules
        if module.counts[TaskState.READY] and module.due_us <= desk.now.wall_us and not module.broken
    ]
    needs = {module.spec.name: module.needs().scratch_mib for module in waiting}
    return disks.short_of_scratch(agent.room.scratch_mib, needs)
