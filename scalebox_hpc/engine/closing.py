"""When a module is quiet, when it is closed, and when a gather fires what it has left.

A module is *quiet* when nothing can come from it as it stands: its run takes no more messages
from outside, its seeding is complete, no chunk it sent waits, none of its tasks is open and, if a
gather, it has nothing left to fire. It is *closed* when it and all modules that can reach it are
quiet. A run ends by itself when all modules are closed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Standing:
    """What closing depends on, per module."""

    open_tasks: int  # READY, LEASED, RUNNING
    chunks: int  # recorded chunks that it sent and that wait to be turned
    to_fire: bool  # a gather that has something left to fire


@dataclass(frozen=True, slots=True)
class Closing:
    """What follows: modules closed, and gathers that fire now what they have left."""

    closed: frozenset[str]
    fire: tuple[str, ...]

    def all_of(self, modules: Mapping[str, Standing]) -> bool:
        """Tell whether the run is over."""
        return len(self.closed) == len(modules)


Graph = tuple[tuple[str, tuple[str, ...]], ...]
"""Module names with the names in their `to`, hashable."""


def graph_of(to: Mapping[str, Sequence[str]]) -> Graph:
    """Freeze a graph for the functions below, which remember their answers."""
    return tuple((name, tuple(targets)) for name, targets in to.items())


@lru_cache(maxsize=256)
def upstream(graph: Graph) -> Mapping[str, frozenset[str]]:
    """For each module, all modules that can reach it; itself only where it lies on a cycle."""
    sends = dict(graph)
    reaches: dict[str, set[str]] = {name: set() for name in sends}
    for name in sends:
        stack, seen = list(sends[name]), set[str]()
        while stack:
            target = stack.pop()
            if target not in seen:
                seen.add(target)
                stack.extend(sends[target])
        for target in seen:
            reaches[target].add(name)
    return {name: frozenset(sources) for name, sources in reaches.items()}


@lru_cache(maxsize=256)
def depths(graph: Graph) -> Mapping[str, int]:
    """How far downstream each module lies: the number of modules that can reach it."""
    return {name: len(sources - {name}) for name, sources in upstream(graph).items()}


def close(graph: Graph, modules: Mapping[str, Standing], *, more_may_come: bool) -> Closing:
    """Decide what is closed and what fires. `more_may_come`: the run is open or still seeding."""
    if more_may_come:
        return Closing(frozenset(), ())
    sources = upstream(graph)
    still = {name for name, module in modules.items() if not (module.open_tasks or module.chunks)}
    quiet = {name for name in still if not modules[name].to_fire}
    closed = frozenset(name for name in quiet if sources[name] <= quiet)
    fire = tuple(name for name, module in modules.items() if module.to_fire and sources[name] <= quiet)
    return Closing(closed, fire)
