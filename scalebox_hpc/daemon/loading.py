"""Memory read from the ledger: at a start of the daemon, after a failed commit, and for old runs.

What an agent holds is taken as offered and not yet confirmed, for the numbers of a conversation
live in memory only; the agent's next sync says what it really has.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from scalebox_hpc.daemon import removing
from scalebox_hpc.daemon.desk import Desk, Ids, SiteFacts
from scalebox_hpc.daemon.state import (
    STATES,
    AgentState,
    AllocationState,
    ModuleState,
    PoolState,
    RunPhase,
    RunState,
    TryState,
    World,
)
from scalebox_hpc.domain import pipeline as pipelines
from scalebox_hpc.domain.allocation import AllocationRequest, Launch
from scalebox_hpc.domain.container import containers
from scalebox_hpc.domain.plain import build
from scalebox_hpc.domain.site import Limits, Machine, Site, Ssh, Transfers
from scalebox_hpc.domain.task import Lease, TaskState
from scalebox_hpc.engine.dispatch import Room
from scalebox_hpc.engine.keys import Keys
from scalebox_hpc.engine.launches import Streak
from scalebox_hpc.engine.session import Offer

REMEMBERED_S = 30 * 86400  # how long ago a site may have been asked for something that turns up now


class Frozen(NamedTuple):
    """A run as it was at its submission."""

    pipeline: pipelines.Pipeline
    sites: dict[str, SiteFacts]
    shared: dict[str, str]  # by site: the run's shared directory
    keys: Keys = Keys.SHORT_AS_THEY_ARE


def write_frozen(frozen: Frozen) -> str:
    """The same, for the ledger."""
    from dataclasses import asdict

    sites = {name: asdict(facts) for name, facts in frozen.sites.items()}
    pipeline = pipelines.to_json(frozen.pipeline)
    return json.dumps({"pipeline": pipeline, "sites": sites, "shared": frozen.shared, "keys": frozen.keys})


def read_frozen(text: str) -> Frozen:
    """Read what `write_frozen` wrote."""
    data = json.loads(text)
    sites = {name: _site_facts(value) for name, value in data["sites"].items()}
    keys = Keys(data.get("keys", Keys.DIGESTS))  # runs older than the other way
    return Frozen(pipelines.from_json(data["pipeline"]), sites, data["shared"], keys)


def _site_facts(data: dict[str, Any]) -> SiteFacts:
    site = data["site"]
    machines = {
        name: Machine(**{**value, "sbatch": tuple(value["sbatch"])})
        for name, value in site["machines"].items()
    }
    launch = data["launch"]
    return SiteFacts(
        site=Site(
            **{
                **site,
                "prologue": tuple(site["prologue"]),
                "advertise": tuple(site["advertise"]),
                "ports": tuple(site["ports"]) if site["ports"] else None,
                "limits": Limits(**site["limits"]),
                "containers": containers(site.get("containers", {})),
                "ssh": None if site.get("ssh") is None else _ssh(site["ssh"]),
                "transfers": build(Transfers, site.get("transfers", {})),
                "machines": machines,
            }
        ),
        launch=Launch(**{**launch, "prologue": tuple(launch["prologue"])}),
        array_limit=data["array_limit"],
        cpus=data["cpus"],
        memory_mib=data["memory_mib"],
        read_us=data.get("read_us", 0),
    )


def _ssh(data: dict[str, Any]) -> Ssh:
    return build(Ssh, {**data, "jump": tuple(data["jump"])})


def next_ids(desk: Desk) -> Ids:
    """The highest numbers in use."""
    row = desk.store.one("last_ids")
    assert row is not None
    task, message, attempt, part, allocation, run, agent, try_, module, pool = row
    return Ids(task, message, attempt, part, allocation, run, agent, try_, module, pool)


def run_of_row(row: tuple[Any, ...], shared: dict[str, str], pipeline: pipelines.Pipeline) -> RunState:
    """A run as its row has it, without its modules."""
    return RunState(
        run_id=row[0],
        name=row[1],
        phase=RunPhase(row[2]),
        reason=row[3],
        open=bool(row[4]),
        pipeline=pipeline,
        results=row[7],
        shared=shared,
        seed_path=row[8],
        seed_offset=row[9],
        seed_count=row[10],
        created_us=row[11],
        started_us=row[12],
        ended_us=row[13],
    )


def load_run(desk: Desk, row: tuple[Any, ...]) -> RunState:
    """Read one run with its modules and pools into memory."""
    frozen = read_frozen(row[5])
    pipeline = frozen.pipeline
    desk.sites.update({name: facts for name, facts in frozen.sites.items() if _is_newer(desk, facts)})
    run = run_of_row(row, frozen.shared, pipeline)
    run.keys = frozen.keys
    waiting: dict[int, int] = {row[0]: row[1] for row in desk.store.rows("waiting_chunks")}
    for module_row in desk.store.rows("modules", (run.run_id,)):
        module = _module(desk, run, module_row)
        module.chunks = waiting.get(module.module_id, 0)
        if module.spec.places:
            module.done_at.update(dict(desk.store.rows("done_by_site", (module.module_id,))))
        run.modules[module.spec.name] = module
        desk.world.modules[module.module_id] = module
    run.link()
    for pool_id, name, _, state, reason, hello_less in desk.store.rows("pools", (run.run_id,)):
        members = [module for module in run.modules.values() if name in module.spec.pools]
        pool = PoolState(pool_id, run, pipeline.pools[name], members, state, reason, hello_less)
        desk.world.pools[pool_id] = pool
    desk.world.runs[run.run_id] = run
    return run


def _is_newer(desk: Desk, facts: SiteFacts) -> bool:
    """Whether it is news of a site, as its file was read last: that holds for all runs."""
    known = desk.sites.get(facts.site.name)
    return known is None or known.read_us < facts.read_us


def _module(desk: Desk, run: RunState, row: tuple[Any, ...]) -> ModuleState:
    module_id, name, _, sheet, next_n, *counts, ignored, launches, node, spread, broken = row
    spec = run.pipeline.modules[name]
    waiting = desk.store.one("count_waiting_parts", (module_id,))
    raised = (
        desk.store.one("raised_memory", (module_id,))
        if any(rule.memory_factor > 1 for rule in spec.retry)
        else None
    )
    return ModuleState(
        module_id=module_id,
        run=run,
        spec=spec,
        sheet=json.loads(sheet),
        depth=0,
        next_n=next_n,
        counts=dict(zip(STATES, counts, strict=True)),
        ignored=ignored,
        streak=Streak(launches, node, bool(spread)),
        broken=broken,
        waiting_parts=waiting[0] if waiting else 0,
        fired_once=desk.store.one("any_part", (module_id,)) is not None,
        restless=bool(broken),
        raised_mib=(raised[0] or 0) if raised is not None else 0,
    )


def load_world(desk: Desk) -> None:
    """Read everything that is not over."""
    desk.world = World()
    desk.ids.at_least(next_ids(desk))
    removing.load(desk)
    for row in desk.store.rows("active_runs"):
        load_run(desk, row)
    for row in desk.store.rows("open_allocations"):
        _load_allocation(desk, row)
    for row in desk.store.rows("live_agents"):
        _load_agent(desk, row)
    _load_leases(desk)
    _load_sites(desk)


def _load_sites(desk: Desk) -> None:
    """Know also the sites of which something was asked not long ago: what was given up may turn up there."""
    since_us = desk.now.wall_us - REMEMBERED_S * 1_000_000
    for site, frozen in desk.store.rows("sites_asked", (since_us,)):
        if site not in desk.sites:
            desk.sites[site] = read_frozen(frozen).sites[site]


def _pool(desk: Desk, pool_id: int) -> PoolState | None:
    """A pool by its number; its run is read too where it is over but something of it lives."""
    if pool_id not in desk.world.pools:
        row = desk.store.one("run_of_pool", (pool_id,))
        if row is not None:
            load_run(desk, row)
    return desk.world.pools.get(pool_id)


def _load_allocation(desk: Desk, row: tuple[Any, ...]) -> None:
    from scalebox_hpc.daemon.allocating import how_to_ask, request_for

    allocation_id, pool_id, asked, given_back = row
    pool = _pool(desk, pool_id)
    if pool is None:
        return
    facts = desk.sites[pool.spec.site]
    tries = {}
    for try_id, try_n, name, state, job_id, reason, heard, created in desk.store.rows(
        "tries_of", (allocation_id,)
    ):
        attempt = TryState(
            try_id, allocation_id, try_n, name, state, job_id, bool(heard), created, desk.now.mono_s, reason
        )
        attempt.hellos = {element for (element,) in desk.store.rows("hello_elements", (try_id,))}
        attempt.ended = {element: None for element, _ in desk.store.rows("ended_elements", (try_id,))}
        tries[try_n] = attempt
        desk.world.tries[name] = attempt
    newest, kept = tries[max(tries)], json.loads(asked)
    how = how_to_ask(pool, facts)
    request: AllocationRequest = request_for(
        newest.name, kept["elements"], tuple(kept["shape"]), kept["walltime_s"], how, pool.ranks
    )
    allocation = AllocationState(allocation_id, pool_id, request, tries, set(json.loads(given_back)))
    pool.allocations[allocation_id] = allocation
    pool.asked = request.elements
    desk.world.allocations[allocation_id] = allocation


def come_back(desk: Desk, incarnation: str, ending: str) -> AgentState | None:
    """Take up again an agent that was given up with this ending, unless its element is over or another's."""
    row = desk.store.one("silent_agent", (incarnation, ending))
    attempt = None
    if row is not None:
        attempt = next((each for each in desk.world.tries.values() if each.try_id == row[2]), None)
    if row is None or attempt is None or attempt.state != "ACTIVE" or row[3] in attempt.ended:
        return None
    if desk.world.agents_of(row[2], row[3]):
        return None
    desk.store.run("silent_agent_back", (row[0],))
    _load_agent(desk, row)
    desk.event("agent", row[0], "back")
    return desk.world.agents.get(incarnation)


def _load_agent(desk: Desk, row: tuple[Any, ...]) -> None:
    agent_id, incarnation, try_id, element, restart, pool_id, node, facts = row
    pool = _pool(desk, pool_id)
    attempt = next((each for each in desk.world.tries.values() if each.try_id == try_id), None)
    if pool is None:
        return
    desk.world.agents[incarnation] = AgentState(
        agent_id=agent_id,
        incarnation=incarnation,
        pool=pool,
        try_id=try_id,
        allocation_id=attempt.allocation_id if attempt is not None else 0,
        element=element,
        restart=restart,
        node=node,
        room=Room(*json.loads(facts)["room"]),
        heard_s=desk.now.mono_s,
    )


def _load_leases(desk: Desk) -> None:
    agents = {agent.agent_id: agent for agent in desk.world.agents.values()}
    for task_id, epoch, number, state, module_id, agent_id, memory_mib in desk.store.rows("held_by_agents"):
        module, agent = desk.world.modules.get(module_id), agents.get(agent_id)
        if module is None or agent is None:
            continue
        needs = module.needs(memory_mib)
        agent.session.add(
            Offer(
                Lease(task_id, epoch, number).text(),
                *(needs.cpus, needs.memory_mib, needs.gpus, needs.scratch_mib, module_id),
                started=state == TaskState.RUNNING,
            )
        )
