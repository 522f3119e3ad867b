"""The life of a run: accepted, seeded, closed; interrupted, cancelled, resumed, retried."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scalebox_hpc.daemon import allocating, firing, placing, recording, site_files
from scalebox_hpc.daemon.desk import Desk, Remove, SiteFacts
from scalebox_hpc.daemon.headers import inherited_by, read_headers
from scalebox_hpc.daemon.loading import Frozen, load_run, write_frozen
from scalebox_hpc.daemon.routing import SEED, Batch, route
from scalebox_hpc.daemon.sheets import sheet_of
from scalebox_hpc.daemon.state import ACTIVE, ENDED, ModuleState, PoolState, RunPhase, RunState
from scalebox_hpc.domain.pipeline import Inserted, Module, Pipeline
from scalebox_hpc.domain.task import HELD, Cause, TaskState
from scalebox_hpc.engine.closing import close
from scalebox_hpc.engine.launches import Streak
from scalebox_hpc.errors import ConflictError, UsageError

SEED_BYTES = 1 << 20  # of the spooled seeds, read in one turn
SLICE = 10_000  # rows that one turn changes at most
_NUMBER = re.compile(r"[0-9]{1,18}").fullmatch  # of a task; more digits the ledger cannot take


@dataclass(frozen=True, slots=True)
class Prepared:
    """A pipeline whose files are shipped and whose seeds are spooled."""

    name: str  # of the run
    pipeline: Pipeline
    sites: dict[str, SiteFacts]
    shared: dict[str, str]  # by site: the run's shared directory
    results: str
    seed_path: str
    notes: tuple[str, ...] = ()


def create(desk: Desk, prepared: Prepared, *, again: bool = False) -> RunState:
    """Accept a run: from now on it is in the ledger. Raises ConflictError where it cannot be.

    `again`: it was to be accepted by a commit of whose end we did not learn, and perhaps was.
    """
    if (row := desk.store.one("run_by_name", (prepared.name,))) is not None:
        if again and row[8] == prepared.seed_path and row[0] in desk.world.runs:
            return desk.world.runs[row[0]]
        raise ConflictError(f"there is a run {prepared.name} already", "submit it again")
    run_id = desk.ids.take("run")
    pipeline = prepared.pipeline
    sites = site_files.take_in(desk, prepared.sites)
    frozen = write_frozen(Frozen(pipeline, sites, prepared.shared))
    desk.store.run(
        "add_run",
        {
            "run_id": run_id,
            "name": prepared.name,
            "pipeline": frozen,
            "site": pipeline.site,
            "results": prepared.results,
            "seed_path": prepared.seed_path,
            "now": desk.now.wall_us,
        },
    )
    for pool in pipeline.pools.values():
        desk.store.run("add_pool", (desk.ids.take("pool"), run_id, pool.name, pool.site))
    for module in pipeline.modules.values():
        module_id = desk.ids.take("module")
        sheet = _sheet(desk, prepared, module, module_id)
        desk.store.run("add_module", (module_id, run_id, module.name, module.digest, json.dumps(sheet)))
    row = desk.store.one("run_by_name", (prepared.name,))
    assert row is not None
    run = load_run(desk, row)
    run.notes.extend(prepared.notes)
    desk.event("run", run_id, RunPhase.LOADING)
    return run


def _sheet(desk: Desk, prepared: Prepared, module: Module, module_id: int) -> dict[str, Any]:
    """What agents are told of a module of this run; with several sites, at each of them."""
    sites = prepared.pipeline.sites_of(module)
    sheets = {site: _sheet_at(desk, prepared, module, module_id, site) for site in sites}
    return sheets[sites[0]] if len(sites) == 1 else {**sheets[sites[0]], "sites": sheets}


def _sheet_at(desk: Desk, prepared: Prepared, module: Module, module_id: int, site: str) -> dict[str, Any]:
    facts, shared = prepared.sites[site], prepared.shared[site]
    sheet = {
        **sheet_of(prepared.pipeline, module, facts, desk.home_path),
        "module": module_id,
        "run": prepared.name,
        "results": results_at(facts, prepared.name) if facts.is_remote else prepared.results,
        "shared": shared,
    }
    if module.stage is not None:
        sheet["stage"]["results"] = prepared.results
    if module.inserted is not None:
        sheet["env"] |= _far(prepared, module.inserted)
    return sheet


def _far(prepared: Prepared, inserted: Inserted) -> dict[str, str]:
    """What a transfer is told of the other end: the run's shared directory, at each site that it may be."""
    served = prepared.pipeline.modules[inserted.of]
    first = next(iter(inserted.sites or prepared.pipeline.sites_of(served)))
    ends = {site: [files, prepared.shared[site]] for site, files in inserted.sites.items()}
    return {"SBX_FAR_SHARED": prepared.shared[first], "SBX_FAR_SITES": json.dumps(ends)}


def results_at(facts: SiteFacts, run: str) -> str:
    """Where results of a run are that were made at a remote site."""
    return f"{facts.launch.shared}/results/{run}"


def turn_seeds(desk: Desk, run: RunState) -> bool:
    """Turn a slice of the spooled seeds into messages; tell whether there is more."""
    with open(run.seed_path, "rb") as file:
        file.seek(run.seed_offset)
        lines = file.readlines(SEED_BYTES)[:SLICE]
    if lines:
        messages = json.loads(b"[" + b",".join(lines) + b"]")
        route(desk, Batch(run, SEED, run.seed_count, {}, messages))
        run.seed_offset += sum(map(len, lines))
        run.seed_count += len(lines)
    else:
        run.seed_offset = -1
        if run.phase is RunPhase.LOADING:
            run.phase = RunPhase.RUNNING
            desk.save_run(run)
    desk.store.run("save_seeding", (run.seed_offset, run.seed_count, run.run_id))
    run.touched = True
    return bool(lines)


def turn_chunk(desk: Desk) -> bool:
    """Turn one staged slice of a recorded success into tasks; tell whether there was one."""
    row = desk.store.one("waiting_chunk") if desk.world.has_chunks else None
    if row is None:
        desk.world.has_chunks = False
        return False
    task_id, epoch, number, seq, piece, module_id, text, first, attempt_id, *about = row
    headers, inherited, generation = about
    if module_id not in desk.world.modules:
        run_row = desk.store.one("run_of_module", (module_id,))
        assert run_row is not None, "a module has a run"
        load_run(desk, run_row)
    module = desk.world.modules[module_id]
    passed = inherited_by(read_headers(headers), read_headers(inherited))
    batch = Batch(module.run, attempt_id, first, passed, json.loads(text), replacing=generation > 1)
    route(desk, batch)
    desk.store.run("drop_chunk", (task_id, epoch, number, seq, piece))
    module.chunks -= 1
    module.run.touched = True
    return True


def fail_restless(desk: Desk, module: ModuleState) -> bool:
    """Fail a slice of the READY tasks of a module that failed as a whole."""
    count = desk.store.run("fail_ready", (module.module_id, SLICE))
    module.moved(TaskState.READY, TaskState.FAILED, count)
    module.restless = module.counts[TaskState.READY] > 0
    return module.restless


def settle(desk: Desk, run: RunState) -> None:
    """Close what is closed, fire what is left, end the run when all is closed."""
    if run.phase not in ACTIVE:
        return
    while True:
        standings = {name: module.standing() for name, module in run.modules.items()}
        closing = close(run.graph, standings, more_may_come=run.open or run.seeding)
        if closing.closed != run.closed:
            run.closed, run.touched = closing.closed, True
        if not sum([firing.fire_what_is_left(desk, run.modules[name]) for name in closing.fire]):
            break
    if closing.all_of(standings):
        _end(desk, run)
    else:
        _pause_if_stuck(desk, run)


def _pause_if_stuck(desk: Desk, run: RunState) -> None:
    """A run whose work waits for paused pools alone, with no agent left, waits for a person."""
    pools = [pool for pool in desk.world.pools.values() if pool.run is run]
    waiting = [pool for pool in pools if any(placing.waits_for(module) for module in pool.modules)]
    living = any(agent.pool.run is run for agent in desk.world.agents.values())
    paused = [pool for pool in waiting if pool.state == "paused"]
    stuck = bool(paused) and all(pool.state == "paused" or _is_given_up(pool) for pool in waiting)
    if stuck and not living and not run.seeding:
        run.phase, run.reason = RunPhase.PAUSED, paused[0].reason
        desk.save_run(run)


def _is_given_up(pool: PoolState) -> bool:
    """Whether nothing that is open would start at the pool's site, so that it waits for other pools."""
    return all(pool.spec.site in module.given_up for module in pool.modules if placing.waits_for(module))


def _end(desk: Desk, run: RunState) -> None:
    bad = sum(
        module.counts[TaskState.FAILED] + module.counts[TaskState.CANCELLED]
        for module in run.modules.values()
    )
    run.phase = RunPhase.FAILED if bad else RunPhase.SUCCEEDED
    run.ended_us = desk.now.wall_us
    desk.save_run(run)
    _give_pools_back(desk, run)
    if run.phase is RunPhase.SUCCEEDED:
        desk.commands.extend(Remove(site, str(Path(path).parent)) for site, path in run.shared.items())


def remove_folders(desk: Desk, site: str, folders: Iterable[str]) -> None:
    """Remove what there still is of runs that SUCCEEDED, and of no others: each bears its run's name."""
    for folder in folders:
        row = desk.store.one("run_by_name", (Path(folder).name,))
        if row is not None and row[2] == RunPhase.SUCCEEDED:
            desk.commands.append(Remove(site, folder))


def _give_pools_back(desk: Desk, run: RunState) -> None:
    """Give back what has not started; agents at work leave by themselves, told so."""
    for pool in desk.world.pools.values():
        if pool.run is run and not any(agent.pool is pool for agent in desk.world.agents.values()):
            allocating.cancel_all(desk, pool)


def cancel(desk: Desk, run: RunState) -> None:
    """Cancel everything of a run that is not finished."""
    if run.phase in ENDED:
        raise ConflictError(f"run {run.name} is {run.phase} already")
    _void_leases(desk, run)
    for module in run.modules.values():
        count = desk.store.run("cancel_ready", (module.module_id,))
        module.moved(TaskState.READY, TaskState.CANCELLED, count)
    run.phase, run.ended_us = RunPhase.CANCELLED, desk.now.wall_us
    desk.save_run(run)
    for pool in desk.world.pools.values():
        if pool.run is run:
            allocating.cancel_all(desk, pool, agents_may_end=pool.ranks is not None)


def _void_leases(desk: Desk, run: RunState) -> None:
    for agent in desk.world.agents.values():
        if agent.pool.run is not run:
            continue
        for lease_text in list(agent.session.offers):
            task = recording.load_task(desk, int(lease_text.split(".")[0]))
            if task is not None and task.state in HELD and task.lease.text() == lease_text:
                recording.cancel_held(desk, task)
            agent.session.drop(lease_text)
            agent.dead.add(lease_text)
        desk.world.stir(agent)


def interrupt(desk: Desk, reason: str) -> list[str]:
    """Stop all runs in an orderly way; they wait for `resume`. Returns their names."""
    names = []
    for run in desk.world.runs.values():
        if run.phase in ACTIVE:
            run.phase, run.reason = RunPhase.INTERRUPTED, reason
            desk.save_run(run)
            names.append(run.name)
    return names


def resume(desk: Desk, run: RunState) -> int:
    """Go on with a run, whatever stopped it; what succeeded stays. Returns the tasks sent round again."""
    requeued = 0
    for module in run.modules.values():
        _unbreak(module)
        for state in (TaskState.FAILED, TaskState.CANCELLED):
            count = desk.store.run("requeue_module", (desk.now.wall_us, module.module_id, state))
            module.moved(state, TaskState.READY, count)
            module.due_us = 0
            requeued += count
        if module.gather is not None:
            module.waiting_parts += desk.store.run("incomplete_parts", (module.module_id,))
    _go_on(desk, run)
    return requeued


def _unbreak(module: ModuleState) -> None:
    module.broken, module.restless, module.streak, module.dirty = "", False, Streak(), True
    module.given_up.clear()
    module.streaks.clear()


def _go_on(desk: Desk, run: RunState) -> None:
    """Let a run be RUNNING again, with its pools free to ask."""
    run.phase = RunPhase.LOADING if run.seeding else RunPhase.RUNNING
    run.reason, run.ended_us, run.closed = "", None, frozenset()
    run.notes.clear()
    desk.save_run(run)
    for pool in desk.world.pools.values():
        if pool.run is run:
            pool.state, pool.reason, pool.hello_less = "ok", "", 0
            pool.went_well()
            pool.shuns.clear()
            pool.hold_until_s = 0.0
            pool.asked = pool.backlog_at_submit = 0
            desk.store.run("save_pool", ("ok", "", 0, pool.pool_id))
    for agent in desk.world.agents.values():
        if agent.pool.run is run and not agent.leaving:
            agent.told = "work"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which tasks `retry` is to send round again."""

    tasks: Sequence[str] = ()
    module: str | None = None
    exit_code: int | None = None
    cause: str | None = None


def retry(desk: Desk, run: RunState, wanted: Wanted, *, dry_run: bool) -> dict[str, Any]:
    """Send failed or cancelled tasks round again; name those that were passed over."""
    requeued: list[str] = []
    passed_over: list[list[str]] = []
    count = 0
    for name, task_id in _wanted_tasks(desk, run, wanted, passed_over):
        if not dry_run and not _requeue(desk, run, task_id):
            passed_over.append([name, "it is not FAILED or CANCELLED"])
            continue
        count += 1
        if len(requeued) < 20:
            requeued.append(name)
    if count and not dry_run and run.phase not in ACTIVE:
        _go_on(desk, run)
    return {"requeued": count, "tasks": requeued, "passed_over": passed_over[:100]}


def _wanted_tasks(
    desk: Desk, run: RunState, wanted: Wanted, passed_over: list[list[str]]
) -> Iterable[tuple[str, int]]:
    if wanted.tasks:
        for name in wanted.tasks:
            task_id, why = _failed_task(desk, run, name)
            if task_id is None:
                passed_over.append([name, why])
            else:
                yield name, task_id
        return
    if wanted.module is not None and wanted.module not in run.modules:
        raise UsageError(f"run {run.name} has no module {wanted.module}", f"it has {', '.join(run.modules)}")
    for module in run.modules.values():
        if wanted.module in (None, module.spec.name):
            yield from _bad_tasks(desk, module, wanted, passed_over)


def _bad_tasks(
    desk: Desk, module: ModuleState, wanted: Wanted, passed_over: list[list[str]]
) -> list[tuple[str, int]]:
    """Tasks of a module that match. What was refused stays so unless it is asked for, as with `resume`."""
    found, after = [], 0
    while rows := desk.store.rows("bad_tasks", (module.module_id, after, SLICE)):
        after = rows[-1][1]
        for task_id, n, _, cause, _, _, _, exit_code in rows:
            if wanted.cause not in (None, cause) or wanted.exit_code not in (None, exit_code):
                continue
            if cause == Cause.REFUSED and wanted.cause is None:
                passed_over.append([f"{module.spec.name}.{n}", "its message was refused as a repeat"])
                continue
            found.append((f"{module.spec.name}.{n}", task_id))
    return found


def find_task(desk: Desk, run: RunState, name: str) -> int | None:
    """The ledger's number of a task named as in `count.17`; None where there is none."""
    module_name, _, n = name.rpartition(".")
    module = run.modules.get(module_name)
    if module is None or _NUMBER(n) is None:
        return None
    row = desk.store.one("task_by_n", (module.module_id, int(n)))
    return row[0] if row is not None else None


def _failed_task(desk: Desk, run: RunState, name: str) -> tuple[int | None, str]:
    task_id = find_task(desk, run, name)
    if task_id is None:
        return None, f"{run.name} has no such task; --run names another run"
    row = desk.store.one("task_state", (task_id,))
    assert row is not None
    if row[0] not in (TaskState.FAILED, TaskState.CANCELLED):
        return None, f"it is {row[0]}"
    return task_id, ""


def _requeue(desk: Desk, run: RunState, task_id: int) -> bool:
    """Send one task round again; an incomplete gather waits for the next closing."""
    task = recording.load_task(desk, task_id)
    if task is None:
        return False
    _unbreak(task.module)
    row = desk.store.one("task_cause", (task_id,))
    if row is not None and row[0] == Cause.INCOMPLETE:
        part = desk.store.one("part_of_task", (task_id,))
        assert part is not None
        task.module.waiting_parts += desk.store.run("change_part", (part[0],))
        task.module.dirty = run.touched = True
        return True
    if not desk.store.run("requeue_task", (desk.now.wall_us, task_id)):
        return False
    task.module.moved(task.state, TaskState.READY)
    task.module.due_us = 0
    return True
