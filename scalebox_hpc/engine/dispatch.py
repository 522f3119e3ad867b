"""Which tasks a free agent gets: the farthest downstream first, runs by turns. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Room:
    """Resources an agent has free, offers to it already deducted."""

    cpus: int
    memory_mib: int
    gpus: int = 0
    scratch_mib: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A module with ready tasks that this agent may serve."""

    module_id: int
    run_id: int
    depth: int
    ready: int
    needs: Room  # of one task
    time_s: float


@dataclass(frozen=True, slots=True)
class Share:
    """How many tasks of which module to lease to an agent."""

    module_id: int
    count: int


def fits(room: Room, needs: Room) -> int:
    """How many tasks with these needs have room at once."""
    counts = [
        have // need
        for have, need in (
            (room.cpus, needs.cpus),
            (room.memory_mib, needs.memory_mib),
            (room.gpus, needs.gpus),
            (room.scratch_mib, needs.scratch_mib),
        )
        if need > 0
    ]
    return min(counts, default=0)


def take(room: Room, needs: Room, count: int) -> Room:
    """Return the room that is left beside `count` tasks."""
    return Room(
        room.cpus - count * needs.cpus,
        room.memory_mib - count * needs.memory_mib,
        room.gpus - count * needs.gpus,
        room.scratch_mib - count * needs.scratch_mib,
    )


def shares(
    room: Room,
    prefetch: Mapping[int, int],
    walltime_left_s: float | None,
    candidates: Iterable[Candidate],
    turn: int,
) -> list[Share]:
    """Decide what one agent gets.

    `prefetch` says how many tasks of a module the agent would hold beside what fits. `turn` is a
    number that grows: it moves the run that comes first among equals.
    """
    served = [c for c in candidates if c.ready > 0 and _in_time(c, walltime_left_s)]
    runs = sorted({c.run_id for c in served})
    first = {run: (index - turn) % len(runs) for index, run in enumerate(runs)}
    result: dict[int, int] = {}
    for candidate in sorted(served, key=lambda c: (-c.depth, first[c.run_id], c.module_id)):
        count = min(fits(room, candidate.needs), candidate.ready)
        room = take(room, candidate.needs, count)
        count += min(prefetch.get(candidate.module_id, 0), candidate.ready - count)
        if count:
            result[candidate.module_id] = count
    return [Share(module_id, count) for module_id, count in result.items()]


def _in_time(candidate: Candidate, walltime_left_s: float | None) -> bool:
    return walltime_left_s is None or candidate.time_s <= walltime_left_s
