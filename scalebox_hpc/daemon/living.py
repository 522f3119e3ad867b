"""What lives of the allocations in memory, and what of them still waits in a queue."""

from __future__ import annotations

from collections.abc import Container

from scalebox_hpc.daemon.desk import Desk
from scalebox_hpc.daemon.state import AllocationState
from scalebox_hpc.domain.allocation import Phase
from scalebox_hpc.engine import pools
from scalebox_hpc.engine.elements import OPEN


def lives(allocation: AllocationState) -> bool:
    """Whether its newest try may have living elements."""
    return allocation.newest.state in OPEN or allocation.newest.state == "PLANNED"


def greeted(desk: Desk) -> set[tuple[int, int]]:
    """(try, element) of all living agents."""
    return {(agent.try_id, agent.element) for agent in desk.world.agents.values()}


def allocation_facts(
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


def alive(desk: Desk) -> int:
    """How many elements of all allocations live."""
    known = greeted(desk)
    return sum(allocation_facts(each, known).alive for each in desk.world.allocations.values() if lives(each))
