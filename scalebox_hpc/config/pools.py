"""Read pools, and refuse work that could never run in them.

What a machine does not state is not judged, except on `local`, where it is this machine.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from scalebox_hpc.config import keys
from scalebox_hpc.config.burst import NamedSite
from scalebox_hpc.config.notes import did_you_mean
from scalebox_hpc.config.site_choice import SiteChoice
from scalebox_hpc.config.table import Table, kind_of
from scalebox_hpc.domain.pipeline import Module, Place, Pool, Ranks, Resources
from scalebox_hpc.domain.site import Machine, Site
from scalebox_hpc.domain.stage import KIND, POOL, WALLTIME_S
from scalebox_hpc.units import show_duration, show_size

DEFAULT: Final = "default"
_LEAST_WALLTIME_S: Final = 4 * 3600.0
_WALLTIME_PER_TIME: Final = 1.2


@dataclass(frozen=True, slots=True)
class DeclaredPool:
    """A pool as written; `walltime_s` is None when it follows from its modules."""

    pool: Pool
    walltime_s: float | None
    table: Table | None  # None: the default pool, of which nothing was written


def read_pools(top: Table, sites: SiteChoice) -> dict[str, DeclaredPool]:
    """Read `[pools]`; the default pool of the run's site is always there."""
    found = {DEFAULT: DeclaredPool(_bare(DEFAULT, sites.usual), None, None)}
    for table in top.tables("pools"):
        name = str(table.path[-1])
        if not re.fullmatch(keys.NAME, name):
            fact, remedy = "is no name for a pool", "use a-z, 0-9 and -, and begin with a letter"
            table.problem("", fact, remedy)
        found[name] = _read(table, name, sites.of(table))
    return found


def choose_places(
    at_sites: Sequence[tuple[NamedSite, Table]],
    name: str,
    kind: str,
    pools: dict[str, DeclaredPool],
    sites: SiteChoice,
) -> tuple[Place, ...]:
    """Return a pool of a module for each of its sites; those of its own are added to `pools`.

    It has one of its own where it writes a table, and always when its kind is mpi. Each site has a
    default pool of its own, and all transfers share one.
    """
    places = []
    for index, (named, module) in enumerate(at_sites):
        own = f"{name}-{named.name}" if index else name
        chosen = _choose_at(module, own, kind, pools, sites)
        places.append(Place(chosen, named.weight, named.when_pending_s))
    return tuple(places)


def _choose_at(module: Table, name: str, kind: str, pools: dict[str, DeclaredPool], sites: SiteChoice) -> str:
    """Return the name of a module's pool at a site; `name`: of one of its own."""
    site = sites.of(module)
    chosen = _choose(module, name, kind, pools, sites)
    at = pools[chosen].pool.site
    if site is not None and at and at != site.name:
        key = "pool" if "pool" in module.data else "site"
        fact = f"pool {chosen} is of site {at}, and the module runs at site {site.name}"
        module.problem(key, fact, f'write site = "{site.name}" in the pool, or name a pool of that site')
    return chosen


def _choose(module: Table, name: str, kind: str, pools: dict[str, DeclaredPool], sites: SiteChoice) -> str:
    site = sites.of(module)
    value = module.data.get("pool")
    if kind == "mpi" and (value is None or _is_shared_default(module, value)):
        value = {}  # a pool for itself
    if kind == KIND and (value is None or _is_shared_default(module, value)):
        pools.setdefault(POOL, DeclaredPool(_bare(POOL, site), None, None))
        return POOL
    if value is None:
        return _default_pool(pools, site, sites)
    if isinstance(value, str):
        if value not in pools:
            remedy = did_you_mean(value, pools, "pools") or f"add a table [pools.{value}]"
            module.problem("pool", f"there is no pool {value!r}", remedy)
            return _default_pool(pools, site, sites)
        return value
    if not isinstance(value, dict):
        fact = f"must be a pool's name or a table, not {kind_of(value)}"
        module.problem("pool", fact, 'write pool = "small" or pool = { walltime = "2h" }')
        return _default_pool(pools, site, sites)
    if name in pools:
        fact = f"a pool of its own is called after the module, and [pools.{name}] exists"
        module.problem("pool", fact, f'write pool = "{name}", or call one of them otherwise')
        return name
    own = replace(module, data={**module.data, "pool": value}).table("pool")
    pools[name] = _read(own, name, sites.of(own) if "site" in value else site)
    return name


def _default_pool(pools: dict[str, DeclaredPool], site: Site | None, sites: SiteChoice) -> str:
    """Return the default pool of a module's site; that of another site than the run's bears its name."""
    if site is None or site is sites.usual:
        return DEFAULT
    name = f"{DEFAULT}-{site.name}"
    pools.setdefault(name, DeclaredPool(_bare(name, site), None, None))
    return name


def _is_shared_default(module: Table, value: object) -> bool:
    """Tell whether `pool` is a name that `[defaults]` gives to all modules."""
    return isinstance(value, str) and module.notes.origin(module.at("pool"))[1] == ("defaults", "pool")


def finish_pools(
    pools: Mapping[str, DeclaredPool],
    modules: Mapping[str, Module],
    tables: Mapping[str, Table],
    sites: SiteChoice,
) -> dict[str, Pool]:
    """Return the pools that modules use, whole; note tasks that never fit, and pools without use."""
    finished: dict[str, Pool] = {}
    for name, declared in pools.items():
        members = [module for module in modules.values() if name in module.pools]
        may_be_inserted = name == POOL and any(module.stage is not None for module in modules.values())
        if not members and not may_be_inserted:
            if declared.table is not None:
                remedy = f'name it in a module: pool = "{name}", or take it out'
                declared.table.notes.warn(declared.table.path, "no module uses this pool", remedy)
            continue
        _refuse_company(name, members, tables)
        least_s = WALLTIME_S if may_be_inserted else _LEAST_WALLTIME_S
        pool = replace(declared.pool, walltime_s=declared.walltime_s or _walltime_s(members, least_s))
        finished[name] = pool
        site = sites.of_pool(pool.site)
        for module in members:
            _check_time(tables[module.name], module, pool, declared)
            if site is not None:
                _check_machine(tables[module.name], module.resources, _machine(pool, site), site)
    return finished


def _refuse_company(pool: str, members: list[Module], tables: Mapping[str, Table]) -> None:
    for module in members:
        if module.kind == "mpi" and len(members) > 1:
            others = ", ".join(other.name for other in members if other is not module)
            remedy = "leave `pool` out, or write a table: pool = { machine = ... }"
            fact = f'a module of kind = "mpi" has a pool for itself, and {pool} also serves {others}'
            tables[module.name].problem("pool", fact, remedy)


def _bare(name: str, site: Site | None) -> Pool:
    is_local = site is not None and site.batch == "local"
    return Pool(name, site.name if site else "", idle_s=2.0 if is_local else 30.0)


def _read(table: Table, name: str, site: Site | None) -> DeclaredPool:
    table.allow(keys.POOL)
    bare = _bare(name, site)
    machine = table.text("machine")
    if machine is not None and site is not None and machine not in site.machines:
        remedy = did_you_mean(machine, site.machines, f"machines of {site.name}")
        remedy = remedy or f"site {site.name} names no machines; leave the key out"
        table.problem("machine", f"site {site.name} has no machine {machine!r}", remedy)
        machine = None
    pool = replace(
        bare,
        machine=machine,
        slots=table.whole("slots", bare.slots, least=1),
        idle_s=table.duration_s("idle", bare.idle_s),
    )
    return DeclaredPool(pool, table.duration_s("walltime", 0.0, least=1.0) or None, table)


def _walltime_s(members: Iterable[Module], least_s: float) -> float:
    return max(least_s, *(_WALLTIME_PER_TIME * module.resources.time_s for module in members), 0.0)


def _check_time(table: Table, module: Module, pool: Pool, declared: DeclaredPool) -> None:
    time_s = module.resources.time_s
    if time_s < pool.walltime_s or declared.table is None:
        return
    said = "time" if "time" in table.table("resources").data else "time (1h where nothing is said)"
    walltime = f"the walltime {show_duration(pool.walltime_s)} of pool {pool.name}"
    fact = f"{said} {show_duration(time_s)} never fits {walltime}"
    where = ".".join(map(str, declared.table.at("walltime")))
    remedy = f"set {where} to at least {show_duration(time_s * _WALLTIME_PER_TIME)}, or a shorter time"
    table.notes.problem(table.at("resources", "time"), fact, remedy)


def _machine(pool: Pool, site: Site) -> Machine:
    machine = site.machines.get(pool.machine) if pool.machine else site.default_machine()
    machine = machine or Machine(name="")
    if site.batch == "local":
        return replace(
            machine, cpus=machine.cpus or cpus_here(), memory_mib=machine.memory_mib or memory_here_mib()
        )
    return machine


def _check_machine(table: Table, needs: Resources, machine: Machine, site: Site) -> None:
    what = f"machine {machine.name} of site {site.name}" if machine.name else f"site {site.name}"
    remedy = f"ask for less, or name another machine: pool = {{ machine = ... }}; site {site.name} has "
    remedy += ", ".join(site.machines) or "none"
    if site.batch == "local":
        remedy = "ask for less, or run it on another site: sbx run --site NAME"
    cpus = needs.cpus * Ranks(needs.nodes, needs.ntasks).per_node
    if site.batch == "local" and needs.nodes > 1:
        fact = f"nodes {needs.nodes} never fits: site {site.name} is one machine"
        table.notes.problem(
            table.at("resources", "nodes"), fact, "run it on another site: sbx run --site NAME"
        )
    facts = {
        "cpus": (cpus, machine.cpus, str(machine.cpus)),
        "memory": (needs.memory_mib, machine.memory_mib, show_size((machine.memory_mib or 0) << 20)),
        "gpus": (needs.gpus, machine.gpus, str(machine.gpus)),
    }
    for key, (wanted, there, shown) in facts.items():
        if there is not None and wanted > there:
            written = show_size(wanted << 20) if key == "memory" else wanted
            ranks = (
                f" ({needs.ntasks} ranks of {needs.cpus} on {needs.nodes} nodes)" if needs.ntasks > 1 else ""
            )
            fact = f"{key} {written}{ranks if key == 'cpus' else ''} never fits: {what} has {shown}"
            table.notes.problem(table.at("resources", key), fact, remedy)


def cpus_here() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))


def memory_here_mib() -> int:
    """Return the memory of this machine, in MiB."""
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) >> 20
