"""How far running tasks are, as answers say it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from scalebox_hpc.daemon.state import RunState, World
from scalebox_hpc.domain.progress import Progress, together


def progress_json(progress: Progress | None, **more: int) -> dict[str, Any] | None:
    """A progress, with the time left at its rate; `unit` is "" for bytes, what is not known is null."""
    if progress is None:
        return None
    left_s = progress.left_s
    return {
        "done": progress.done,
        "total": progress.total or None,
        "rate_per_s": round(progress.rate, 3) or None,
        "unit": progress.unit,
        "eta_s": None if left_s is None else round(left_s, 1),
        **more,
    }


def of_lease(world: World, incarnation: str | None, lease: str) -> dict[str, Any] | None:
    """That of one task, whose lease an agent holds."""
    agent = world.agents.get(incarnation or "")
    offer = agent.session.offers.get(lease) if agent is not None else None
    return progress_json(offer.progress) if offer is not None else None


def of_modules(world: World, run: RunState) -> dict[int, dict[str, Any] | None]:
    """That of each module of a run, by its id: all tasks of it that say how far they are, together."""
    found: dict[int, list[Progress]] = defaultdict(list)
    for agent in world.agents.values():
        if agent.pool.run is run:
            for offer in agent.session.offers.values():
                if offer.progress is not None:
                    found[offer.module_id].append(offer.progress)
    return {module: progress_json(together(parts), tasks=len(parts)) for module, parts in found.items()}
