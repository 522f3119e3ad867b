"""Runs that are to go: what belongs to them goes in slices, files before what the ledger knows of them.

The intent is in the ledger first and every step may be done again, so what is cut short goes on at
the next start. A run whose last agents still live waits for them. `results/` stays unless asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from scalebox_hpc.daemon.desk import Clear, Desk, Sweep
from scalebox_hpc.daemon.state import ENDED, Removal
from scalebox_hpc.errors import ConflictError, NotFound, UsageError

ROWS: Final = 250  # of a table, in one slice
THINGS: Final = 1000  # agents or tries whose files go with one order
RUN, RESULTS = "run", "results"  # what is to go, as the ledger has it


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which runs are to go: by name, or all that are over and match."""

    runs: Sequence[str] = ()
    older_than_s: float | None = None
    state: str | None = None
    keep: int | None = None  # the newest of those that match stay


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that is over."""

    run_id: int
    name: str
    state: str
    ended_us: int


def choose(desk: Desk, wanted: Wanted) -> list[Ended]:
    """The runs that are wanted, the newest end first. Raises UsageError, NotFound, ConflictError."""
    filters = (wanted.older_than_s, wanted.state, wanted.keep)
    if bool(wanted.runs) == any(each is not None for each in filters):
        raise UsageError(
            "which runs are to go was not said" if not wanted.runs else "runs are named, or chosen; not both",
            "name them, or give `--older-than`, `--state` or `--keep`",
        )
    if wanted.runs:
        return [_named(desk, name) for name in dict.fromkeys(wanted.runs)]
    if wanted.state not in (None, *ENDED):
        raise UsageError(f"no run that is over is {wanted.state!r}", f"one of {', '.join(ENDED)}")
    found = [Ended(*row) for row in desk.store.rows("ended_runs")]
    matching = [each for each in found if wanted.state in (None, each.state)][max(0, wanted.keep or 0) :]
    return [each for each in matching if _age_s(desk, each) >= (wanted.older_than_s or 0.0)]


def _age_s(desk: Desk, run: Ended) -> float:
    return (desk.now.wall_us - run.ended_us) / 1e6


def _named(desk: Desk, name: str) -> Ended:
    row = desk.store.one("newest_run") if name == "newest" else desk.store.one("run_by_name", (name,))
    if row is None:
        raise NotFound(f"there is no run {name!r}", "`sbx status --all` lists them")
    if row[2] not in ENDED:
        raise ConflictError(f"run {row[1]} is {row[2]}", f"`sbx cancel {row[1]}` ends it; then it can go")
    return Ended(row[0], row[1], row[2], row[13])


def begin(desk: Desk, runs: Iterable[Ended], *, results: bool) -> None:
    """Write that runs are to go. From now on nobody sees them."""
    what = RESULTS if results else RUN
    for run in runs:
        desk.store.run("remove_run", (what, run.run_id))
        desk.tell("run.removing", run=run.name, what=what)
    load(desk)


def begin_old(desk: Desk, older_than_s: float) -> None:
    """Let go what is older than the age limit of this person's runs."""
    old = choose(desk, Wanted(older_than_s=older_than_s))
    if old:
        begin(desk, old, results=False)


def load(desk: Desk) -> None:
    """Read which runs are to go: at a start, and after it was said of some."""
    for run_id, name, results, what in desk.store.rows("removing_runs"):
        if run_id not in desk.world.removals:
            modules = [module_id for (module_id,) in desk.store.rows("module_ids", (run_id,))]
            gone = results if what == RESULTS else ""
            sites = tuple(site for (site,) in desk.store.rows("sites_of_run", (run_id,)))
            desk.world.removals[run_id] = Removal(run_id, name, modules, gone, sites)


def turn(desk: Desk) -> bool:
    """Remove a slice of a run that is to go; tell whether there was one."""
    for removal in desk.world.removals.values():
        if not removal.waits and not _lives(desk, removal.run_id):
            _step(desk, removal)
            return True
    return False


def _lives(desk: Desk, run_id: int) -> bool:
    """Whether an agent or an allocation of the run is there still; both need what the ledger has of it."""
    world = desk.world
    return any(agent.pool.run.run_id == run_id for agent in world.agents.values()) or any(
        pool.allocations for pool in world.pools.values() if pool.run.run_id == run_id
    )


def _step(desk: Desk, removal: Removal) -> None:
    store, run_id = desk.store, removal.run_id
    if _attempts(desk, run_id) or any(_module(desk, module_id) for module_id in removal.modules):
        return
    if agents := store.rows("some_agents", (run_id, THINGS)):
        _clear(desk, removal, Clear(run_id, agents=tuple(agents)))
    elif tries := store.rows("some_tries", (run_id, THINGS)):
        _clear(desk, removal, Clear(run_id, tries=tuple(tries)))
    elif allocations := store.rows("some_allocations", (run_id, THINGS)):
        store.many("remove_events", [("allocation", allocation_id) for (allocation_id,) in allocations])
        store.many("remove_allocation", allocations)
    else:
        _clear(desk, removal, Clear(run_id, run=removal.name, results=removal.results))


def _attempts(desk: Desk, run_id: int) -> bool:
    """Remove a slice of attempts with what they printed and sent; that may be many slices by itself."""
    what = {"run": run_id, "attempts": ROWS}
    if desk.store.run("remove_messages", {**what, "most": 2 * ROWS}) == 2 * ROWS:
        return True
    desk.store.run("remove_outputs", what)
    return desk.store.run("remove_attempts", what) > 0


def _module(desk: Desk, module_id: int) -> bool:
    """Remove a slice of a module's tasks, or of what is left of it."""
    what = (module_id, ROWS)
    desk.store.run("remove_chunks", what)
    return any(desk.store.run(name, what) for name in ("remove_tasks", "remove_made", "remove_parts"))


def _clear(desk: Desk, removal: Removal, order: Clear) -> None:
    removal.waits = True
    desk.commands.append(replace(order, sites=removal.sites))


def cleared(desk: Desk, order: Clear) -> None:
    """Files are gone: so is what the ledger knew of them."""
    removal = desk.world.removals.get(order.run_id)
    if removal is None:
        return
    removal.waits = False
    for kind, gone in (("agent", order.agents), ("try", order.tries)):
        if gone:
            desk.store.many("remove_events", [(kind, number) for number, _ in gone])
            desk.store.many(f"remove_{kind}", [(number,) for number, _ in gone])
    if order.run:
        _forget(desk, removal)


def _forget(desk: Desk, removal: Removal) -> None:
    """The last of a run."""
    store, world, run_id = desk.store, desk.world, removal.run_id
    store.run("remove_events", ("run", run_id))
    for name in ("remove_modules", "remove_pools", "forget_run"):
        store.run(name, (run_id,))
    del world.removals[run_id]
    world.runs.pop(run_id, None)
    for module_id in [each.module_id for each in world.modules.values() if each.run.run_id == run_id]:
        del world.modules[module_id]
    for pool_id in [each.pool_id for each in world.pools.values() if each.run.run_id == run_id]:
        del world.pools[pool_id]
    desk.tell("run.removed", run=removal.name)


def sweep(desk: Desk, older_than_s: float) -> None:
    """Have logs deleted that nobody has written to for so long; of what still lives none."""
    agents, tries = frozenset(desk.world.agents), frozenset(desk.world.tries)
    desk.commands.append(Sweep(desk.now.wall_us / 1e6 - older_than_s, agents | tries))


def summary(desk: Desk, run: Ended) -> dict[str, Any]:
    """A run that goes, as people and programs see it."""
    row = desk.store.one("count_tasks", (run.run_id,))
    return {"run": run.name, "state": run.state, "ended_us": run.ended_us, "tasks": row[0] if row else 0}
