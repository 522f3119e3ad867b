"""`GET /v1/runs/{run}`: how a run is doing; with `version` and `wait_s`, as soon as that is news."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scalebox_hpc.daemon import links
from scalebox_hpc.daemon.events import Call
from scalebox_hpc.daemon.handlers import progress
from scalebox_hpc.daemon.handlers.finding import run_of
from scalebox_hpc.daemon.runs import results_at
from scalebox_hpc.daemon.state import ACTIVE, ModuleState, PoolState, RunState
from scalebox_hpc.domain.allocation import Phase
from scalebox_hpc.domain.task import TaskState

if TYPE_CHECKING:
    from scalebox_hpc.daemon.core import Core

WAIT_MOST_S = 60.0
COUNT_EVERY_S, COUNT_ALWAYS = 2.0, 50_000


def handle(core: Core, call: Call) -> None:
    run = run_of(core, call.args["run"])
    version, wait_s = call.args.get("version"), min(float(call.args.get("wait_s") or 0), WAIT_MOST_S)
    if version is not None and wait_s > 0 and run.version <= version and run.phase in ACTIVE:
        run.watchers.append((call, version, core.desk.now.mono_s + wait_s))
        return
    core.desk.answer(call, status(core, run))


def status(core: Core, run: RunState) -> dict[str, Any]:
    """A run as people and programs see it."""
    counts: Counter[TaskState] = Counter()
    for module in run.modules.values():
        counts.update(module.counts)
    pools = [pool for pool in core.desk.world.pools.values() if pool.run is run]
    sites = {pool.spec.site: [each for each in pools if each.spec.site == pool.spec.site] for pool in pools}
    progresses = progress.of_modules(core.desk.world, run)
    return {
        "run": run.name,
        "pipeline": run.pipeline.name,
        "title": run.pipeline.title,
        "state": run.phase,
        "reason": run.reason,
        "site": run.pipeline.site,
        "created_us": run.created_us,
        "ended_us": run.ended_us,
        "tasks": counts.total(),
        "succeeded": counts[TaskState.SUCCEEDED],
        "failed": counts[TaskState.FAILED],
        "images": sorted({module.image.digest for module in run.modules.values() if module.image}),
        "version": run.version,
        "directory": run.pipeline.directory,
        "results": run.results,
        "report_hint": f"sbx export {run.name} --csv {run.name}.csv",
        "params": dict(run.pipeline.params),
        "modules": [_module(core, module, progresses) for module in run.modules.values()],
        "pools": [_pool(core, pool) for pool in pools],
        "sites": [_site(core, run, site, members) for site, members in sites.items()],
        "notes": list(run.notes),
    }


def _site(core: Core, run: RunState, site: str, pools: list[PoolState]) -> dict[str, Any]:
    """How the run is doing at one site."""
    facts, book = core.desk.sites[site], core.book(site)
    counts: Counter[TaskState] = Counter()
    for module in (module for pool in pools for module in pool.modules):
        counts.update(_counts_at(core, module, site) if module.spec.places else module.counts)
    away = links.is_away(core.desk, core.books, site) and book.linked
    return {
        "site": site,
        "remote": facts.is_remote,
        "state": "paused" if away and book.link_why else "ok",
        "reason": book.link_why if away else "",
        "todo": book.link_todo if away else "",
        "results": results_at(facts, run.name) if facts.is_remote else run.results,
        "agents": sum(agent.pool in pools for agent in core.desk.world.agents.values()),
        **{state.lower(): count for state, count in counts.items()},
        "tasks": counts.total(),
    }


def _counts_at(core: Core, module: ModuleState, site: str) -> dict[TaskState, int]:
    """Of a module with several sites: what waits, which each of them may take, and what is one's own."""
    here = [agent for agent in core.desk.world.agents.values() if agent.pool.spec.site == site]
    running = sum(
        offer.started and offer.module_id == module.module_id
        for agent in here
        for offer in agent.session.offers.values()
    )
    return {
        TaskState.READY: module.counts[TaskState.READY],
        TaskState.LEASED: sum(agent.session.held[module.module_id] for agent in here) - running,
        TaskState.RUNNING: running,
        TaskState.SUCCEEDED: module.done_at[site],
    }


def _module(core: Core, module: ModuleState, progresses: Mapping[int, Any]) -> dict[str, Any]:
    counts, now_s = module.counts, core.desk.now.mono_s
    rate = module.rate.per_s(now_s)
    left = module.open_tasks
    bad = counts[TaskState.FAILED] + counts[TaskState.CANCELLED]
    return {
        "module": module.spec.name,
        "site": ", ".join(module.run.pipeline.sites_of(module.spec)),
        **{state.lower(): count for state, count in counts.items()},
        "ignored": module.ignored,
        "total": sum(counts.values()),
        "rate_per_s": round(rate, 3),
        "eta_s": round(left / rate, 1) if rate > 0 and left else None,
        "median_s": module.durations.median(),
        "closed": module.spec.name in module.run.closed,
        "causes": _causes(core, module, bad),
        "depth": module.depth,
        "progress": progresses.get(module.module_id),
    }


def _causes(core: Core, module: ModuleState, bad: int) -> dict[str, int]:
    """Why tasks are bad. Counting a million takes a while, so a count serves until it is old."""
    now_s, (counted, at_s, causes) = core.desk.now.mono_s, module.causes
    if bad != counted and (bad <= COUNT_ALWAYS or now_s - at_s >= COUNT_EVERY_S):
        causes = dict(core.desk.store.rows("causes", (module.module_id,)))
        module.causes = (bad, now_s, causes)
    return causes if bad else {}


def elements_of(pool: PoolState) -> tuple[int, int, Counter[str]]:
    """How many elements of a pool are pending and running, and why those pend."""
    pending = running = 0
    reasons: Counter[str] = Counter()
    for allocation in pool.allocations.values():
        attempt = allocation.newest
        seen = attempt.seen.elements if attempt.seen is not None else {}
        for index in range(allocation.request.elements):
            element = seen.get(index)
            if index in attempt.ended or index in allocation.cancelled:
                continue
            if index in attempt.hellos or (element is not None and element.phase is Phase.ACTIVE):
                running += 1
            else:
                pending += 1
                reasons[element.reason if element is not None else ""] += 1
    return pending, running, reasons


def _pool(core: Core, pool: PoolState) -> dict[str, Any]:
    pending, running, reasons = elements_of(pool)
    agents = [agent for agent in core.desk.world.agents.values() if agent.pool is pool]
    problem = core.book(pool.spec.site).problem if pool.allocations else ""
    silent = f"the batch system does not answer: {problem}" if problem else ""
    away = links.reason(core.desk, core.books, pool.spec.site)
    reason = pool.reason or away or silent or next((text for text, _ in reasons.most_common() if text), "")
    return {
        "pool": pool.spec.name,
        "site": pool.spec.site,
        "machine": pool.spec.machine or "",
        "slots": pool.spec.slots,
        "elements_pending": pending,
        "elements_running": running,
        "agents": len(agents),
        "busy": sum(offer.started for agent in agents for offer in agent.session.offers.values()),
        "state": pool.state,
        "reason": reason,
    }
