"""What each pool of a pipeline would ask for first. Pure: nothing is asked or submitted.

How many messages a file, a command or standard input will seed is not known before the run;
there, and where a module waits for others, as many tasks as the pool has slots are supposed.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

from scalebox_hpc.batch.slurm_script import script
from scalebox_hpc.cli.graphed import moves
from scalebox_hpc.config.pools import cpus_here, memory_here_mib
from scalebox_hpc.domain.allocation import AllocationRequest, Launch
from scalebox_hpc.domain.pipeline import Module, Pipeline, Pool
from scalebox_hpc.domain.site import Machine, Site
from scalebox_hpc.engine import pools
from scalebox_hpc.engine.burst import PlaceFacts, shares
from scalebox_hpc.units import show_duration


@dataclass(frozen=True, slots=True)
class PlannedPool:
    """The first submission of a pool. Memory and processors are of one element."""

    pool: str
    site: str
    machine: str
    modules: tuple[str, ...]
    when: str  # "at once" | "when messages reach MODULE, ..." | "when tasks of MODULE have been kept ..."
    elements: int  # the size of the array; 0: what it needs does not fit
    slots_per_element: int
    cpus: int
    memory_mib: int
    gpus: int
    walltime_s: float
    nodes: int  # of one element; with more than one, memory and gpus are those of each node
    ntasks: int  # ranks of the task that takes it whole; 0: it has ordinary tasks
    script: str  # for sbatch; "" where agents start as processes of this machine
    problem: str = ""
    containers: tuple[str, ...] = ()  # of its modules that have an image, a line each
    inserted: tuple[str, ...] = ()  # of its transfers that stand in no file, a line each


def first_submissions(
    pipeline: Pipeline, sites: Mapping[str, Site], home_id: str, shared: Mapping[str, str]
) -> list[PlannedPool]:
    """The first submission of each pool that a module uses, in the order of the pools.

    `sites` and the shared folders are by the name of the site.
    """
    planned = []
    for pool in pipeline.pools.values():
        members = pipeline.members(pool.name)
        if members:
            site = sites[pool.site]
            python = site.python or sys.executable
            launch = Launch(home_id, shared[pool.site], python, site.prologue, site.scratch)
            planned.append(_planned(pipeline, pool, members, site, launch))
    return planned


def _planned(
    pipeline: Pipeline, pool: Pool, members: list[Module], site: Site, launch: Launch
) -> PlannedPool:
    machine = site.machines.get(pool.machine) if pool.machine else site.default_machine()
    any_seeded = any(_is_seeded(pipeline, module) for module in members)
    local = pools.LocalMachine(cpus_here(), memory_here_mib()) if site.batch == "local" else None
    ranks = members[0].ranks
    work = [pools.ModuleWork(each.name, each.taken, _asked(each, pool, any_seeded)) for each in members]
    facts = pools.PoolFacts(pool.name, pool.slots, pool.walltime_s, machine, tuple(work), ranks=ranks)
    decisions = pools.decide([facts], pools.SiteFacts(limits=site.limits, local=local), now=0.0)
    asked = next((decision for decision in decisions if isinstance(decision, pools.Submit)), None)
    paused = next((decision.reason for decision in decisions if isinstance(decision, pools.PausePool)), "")
    shape = pools.element_shape(facts, local)
    return PlannedPool(
        pool=pool.name,
        site=site.name,
        machine=machine.name if machine else "",
        modules=tuple(module.name for module in members),
        when=_when(pipeline, pool, members, any_seeded),
        elements=asked.elements if asked else 0,
        slots_per_element=shape.slots,
        cpus=shape.cpus,
        memory_mib=shape.memory_mib,
        gpus=shape.gpus,
        walltime_s=pool.walltime_s,
        nodes=ranks.nodes if ranks else 1,
        ntasks=ranks.count if ranks else 0,
        script=script(_request(pipeline.name, facts, asked, launch)) if asked and not local else "",
        problem=paused,
        containers=tuple(_container(module, site) for module in members if module.image is not None),
        inserted=tuple(
            f"{each.name} {moves(each.inserted)}" for each in members if each.inserted is not None
        ),
    )


def _container(module: Module, site: Site) -> str:
    """What runs a module's image, and what its container sees beside the usual."""
    runtime = module.container.runtime or site.containers.runtime or "the node's runtime"
    each = ", a container a task" if module.container.reuse == "task" else ""
    own = {bind.target: bind for bind in (*site.containers.binds, *module.binds)}
    shown = ", ".join(f"{bind.target}{' (ro)' if bind.mode == 'ro' else ''}" for bind in own.values())
    return f"{module.name} in {module.image} by {runtime}{each}" + (f", with {shown}" if shown else "")


def _when(pipeline: Pipeline, pool: Pool, members: list[Module], any_seeded: bool) -> str:
    """When the pool first asks for elements."""
    waits = [_wait(pipeline, pool, module) for module in members]
    if all(waits):
        return f"when {' or '.join(waits)}"
    return "at once" if any_seeded else f"when messages reach {' or '.join(one.name for one in members)}"


def _wait(pipeline: Pipeline, pool: Pool, module: Module) -> str:
    """For what a module with several sites waits before its pool here is asked; "" for nothing."""
    index = module.pools.index(pool.name)
    wait_s = module.places[index].when_pending_s if module.places else 0.0
    before = ", ".join(pipeline.sites_of(module)[:index])
    return (
        f"tasks of {module.name} have been kept waiting for {show_duration(wait_s)} at {before}"
        if wait_s
        else ""
    )


def _is_seeded(pipeline: Pipeline, module: Module) -> bool:
    """Whether its pools have work at once: what waits for files counts where the tasks choose their site."""
    transfers = [each for each in pipeline.modules.values() if module.bound and module.name in each.to]
    return any(each.seed is not None for each in (module, *transfers))


def _asked(module: Module, pool: Pool, any_seeded: bool) -> int:
    """For how many tasks of the module its pool asks first; of those with several sites for its share."""
    asked = 1 if module.bound else _open(module, pool, any_seeded)  # it grows with what is brought
    if not module.places:
        return asked
    facts = [
        PlaceFacts(place.weight, 0.0, usable=True, delivers=False, waits_s=None) for place in module.places
    ]
    return shares(asked, facts)[module.pools.index(pool.name)]


def _open(module: Module, pool: Pool, any_seeded: bool) -> int:
    """How many tasks the module has when its pool first asks for elements."""
    seed = module.seed
    if seed is None:
        return 0 if any_seeded else pool.slots
    if seed.kind == "list":
        return len(seed.values)
    return prod(len(values) for _, values in seed.axes) if seed.kind == "product" else pool.slots


def _request(pipeline: str, pool: pools.PoolFacts, asked: pools.Submit, launch: Launch) -> AllocationRequest:
    """What the batch system would be asked for; XXXX and EPOCH stand for what the daemon draws."""
    if pool.ranks is not None and pool.ranks.nodes > 1:
        # It works where all its nodes see it, as the daemon has it.
        launch = replace(launch, scratch=f"{launch.shared}/runs/{pipeline}-XXXX/work")
    return AllocationRequest(
        name=f"sbx-{pipeline}-XXXX-{pool.pool}.{launch.home}.EPOCH.1.1",
        elements=asked.elements,
        cpus=asked.cpus,
        memory_mib=asked.memory_mib,
        gpus=asked.gpus,
        walltime_s=asked.walltime_s,
        machine=pool.machine or Machine("default"),
        launch=launch,
        ranks=pool.ranks,
    )
