"""How many elements each pool should have, and what to ask for or give back to get there.

Pure: a snapshot and `now` in, decisions out. It names no tries, submits nothing and knows no
Slurm; times are seconds on one monotonic clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Final

from scalebox_hpc.domain.pipeline import Ranks, Resources
from scalebox_hpc.domain.site import Limits, Machine

TARGET_S: Final = 600.0
"""How long an element should have work for: elements are asked for until the backlog takes this long."""

FIRST_ELEMENTS: Final = 4
"""The most elements of a pool's first submission; each later one may be twice its predecessor."""

GROWN: Final = 1.5
"""By how much the backlog must have grown for a second unstarted allocation."""

CANCEL_INTERVAL_S: Final = 30.0
"""The least time between two cancellations for one pool: listings need it to show the first."""

SILENT_ELEMENTS: Final = 3
"""So many elements that ended without a hello, and none with between them, pause their pool."""

DISK_ENDINGS: Final = 3
"""So many agents that left for the sake of a disk, and no task that succeeded between, pause their pool.

Unless another node is at work for it: one bad node must not end what the others do.
"""


@dataclass(frozen=True, slots=True)
class ModuleWork:
    """What a module has to do in this pool."""

    module: str
    resources: Resources  # the most that an open task takes of an element, after `memory = "x2"`
    open: int  # tasks READY and due, LEASED or RUNNING
    median_s: float | None = None  # of its attempts' run time, where one has ended
    longest_s: float = 0.0  # how long the task that runs longest has run


@dataclass(frozen=True, slots=True)
class AllocationFacts:
    """One try that may have living elements: it is SUBMITTING, QUEUED or ACTIVE."""

    name: str
    pending: tuple[int, ...]  # array indices, also those not yet listed
    active: tuple[int, ...]
    started: bool  # an element of it was seen active or said hello
    cpus: int  # per element
    memory_mib: int
    gpus: int = 0

    @property
    def alive(self) -> int:
        return len(self.pending) + len(self.active)


@dataclass(frozen=True, slots=True)
class LostDisk:
    """What an agent said when it left because its node has no disk to work on."""

    node: str
    reason: str  # the path and the error, or what is missing


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """One pool of one run."""

    pool: str  # what the caller knows it by; decisions bear it
    slots: int  # most tasks at once
    walltime_s: float
    machine: Machine | None  # None: what one task needs, or this machine on `local`
    modules: tuple[ModuleWork, ...]
    allocations: tuple[AllocationFacts, ...] = ()  # oldest first
    asked_last: int = 0  # elements of its newest submission; 0: none yet
    open_at_last: int = 0  # its backlog then
    silent_endings: int = 0  # elements ended without a hello since the last hello; not those we cancelled
    disk_endings: int = 0  # agents that left for the sake of a disk since a task last succeeded
    lost_disk: LostDisk | None = None  # of the last of them
    busy_elsewhere: bool = False  # tasks of it are in hand on other nodes than that one
    cancelled_at_s: float | None = None  # when surplus elements were last given back
    retry_at_s: float | None = None  # after a submission that failed, or the loss of a disk: not before
    paused: bool = False
    serving: bool = True  # the run is LOADING or RUNNING and its daemon is not leaving
    ranks: Ranks | None = None  # of the one module, of kind "mpi", that has this pool for itself

    @property
    def open(self) -> int:
        return sum(module.open for module in self.modules)

    @property
    def alive(self) -> int:
        return sum(allocation.alive for allocation in self.allocations)


@dataclass(frozen=True, slots=True)
class LocalMachine:
    """This machine, where the site is `local`."""

    cpus: int
    memory_mib: int
    gpus: int = 0


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """One site, with all that is shared by its pools."""

    limits: Limits = field(default_factory=Limits)
    array_limit: int | None = None  # the batch system's own
    learnt_elements: int | None = None  # see `learnt_limit`
    submissions_last_minute: int = 0
    elements_elsewhere: int = 0  # of pools that are not in the snapshot
    local: LocalMachine | None = None  # set for `local` alone


@dataclass(frozen=True, slots=True)
class Shape:
    """What one element asks for, and how many tasks it holds at once."""

    cpus: int
    memory_mib: int  # with ranks: on each node
    gpus: int  # likewise
    slots: int  # of the module of which it holds most; 0: not even one task fits


@dataclass(frozen=True, slots=True)
class Submit:
    """Ask for an allocation."""

    pool: str
    elements: int
    cpus: int  # per element
    memory_mib: int
    gpus: int
    walltime_s: float


@dataclass(frozen=True, slots=True)
class CancelElements:
    """Give back elements that have not started."""

    allocation: str
    indices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PausePool:
    """Ask for no more elements until a person says so."""

    pool: str
    reason: str


Decision = Submit | CancelElements | PausePool


@dataclass(slots=True)
class _Budget:
    """What is left of a site while its pools are decided upon, one after the other."""

    submissions: int
    elements: int | None  # None: no limit known
    free: LocalMachine | None  # None: not `local`


def decide(pools: Sequence[PoolFacts], site: SiteFacts, now: float) -> list[Decision]:
    """Return what to do for the pools of one site, of all its runs; those without an element come first."""
    budget = _budget(pools, site)
    decisions: list[Decision] = []
    for pool in sorted(pools, key=lambda pool: pool.alive > 0):
        decisions.extend(_decide_one(pool, site, budget, now))
    return decisions


def element_shape(pool: PoolFacts, machine: LocalMachine | None = None) -> Shape:
    """Return what one element of the pool asks for.

    A machine of the site file is asked for as it stands there; what it leaves open is what the
    tasks in it need. Without one an element has room for one task of any module. `machine` is
    what is free of this machine: there one element takes as much as the pool's slots can use.
    For tasks with ranks an element is what one of them takes, whole, on any machine.
    """
    if pool.ranks is not None:
        return _shape_of_ranks(pool, pool.ranks, machine)
    needs = [module.resources for module in pool.modules] or [Resources()]
    if machine is not None:
        return _local_shape(pool, needs, machine)
    shape = pool.machine or Machine("")
    cpus = shape.cpus or max(need.cpus for need in needs)
    gpus = shape.gpus or max(need.gpus for need in needs)
    if shape.memory_mib is not None:
        memory_mib = shape.memory_mib
    elif shape.cpus is None:
        memory_mib = max(need.memory_mib for need in needs)
    else:
        memory_mib = max(max(1, _fit(need, cpus, None, gpus)) * need.memory_mib for need in needs)
    slots = max(_fit(need, cpus, memory_mib, gpus) for need in needs)
    return Shape(cpus, memory_mib, gpus, min(slots, pool.slots))


def wanted_elements(pool: PoolFacts, shape: Shape) -> int:
    """Return how many elements, pending and running, the pool's backlog is worth.

    Open work x median time / (slots per element x TARGET_S), rounded up; at least one while there
    is open work; never more than the open tasks or the pool's slots can fill. A module without a
    median counts with its longest running task, and as long as there is none a first handful is
    kept, for they are what a median will come from.
    """
    if not pool.serving or pool.open == 0 or shape.slots == 0:
        return 0
    by_time = by_count = 0.0
    for module in pool.modules:
        if not (fits := _fit(module.resources, shape.cpus, shape.memory_mib, shape.gpus)):
            continue
        each_s = module.longest_s if module.median_s is None else module.median_s
        by_count += module.open / fits
        by_time += module.open / fits * each_s / TARGET_S
    least = 1
    if any(module.open and module.median_s is None for module in pool.modules):
        least = FIRST_ELEMENTS
    most = min(ceil(by_count), ceil(pool.slots / shape.slots))
    return min(max(ceil(by_time), least), most)


def full(pools: Sequence[PoolFacts], site: SiteFacts) -> set[str]:
    """Return which pools of one site can have no more elements now, however much work there is."""
    budget = _budget(pools, site)
    return {pool.pool for pool in pools if not _has_room(pool, budget)}


def learnt_limit(known: int | None, alive: int, asked: int, *, taken: bool) -> int | None:
    """Return the most elements to have at this site, after a submission was taken or found too many.

    Halves what was asked when the batch system says that a limit of submitted elements is full,
    and grows by one with each that it takes at the limit; None as long as it never said so.
    """
    if not taken:
        return max(1, alive + asked // 2)
    return None if known is None else max(known, alive + asked + 1)


def _decide_one(pool: PoolFacts, site: SiteFacts, budget: _Budget, now: float) -> list[Decision]:
    if pool.paused or _waits_for_disks(pool, now):
        return _give_back(pool, 0, now)
    if why := _nuisance(pool, is_local=site.local is not None):
        return [PausePool(pool.pool, why), *_give_back(pool, 0, now)]
    if site.local is not None:
        return _decide_local(pool, site.local, budget, now)
    shape = element_shape(pool)
    if shape.slots == 0 and pool.open and pool.serving:
        return [PausePool(pool.pool, _no_fit(pool, f"an element of it has {_show(shape)}"))]
    wanted = wanted_elements(pool, shape)
    if wanted < pool.alive:
        return _give_back(pool, wanted, now)
    asked = min(wanted - pool.alive, _step(pool, site), _room(budget))
    if asked <= 0 or not _may_ask(pool, budget, now):
        return []
    return [_submit(pool, shape, asked, budget)]


def _waits_for_disks(pool: PoolFacts, now: float) -> bool:
    """Tell whether one bad node is to be left alone; what is pending would start there, too."""
    is_due = pool.retry_at_s is None or now >= pool.retry_at_s
    return pool.disk_endings >= DISK_ENDINGS and pool.busy_elsewhere and not is_due


def _nuisance(pool: PoolFacts, *, is_local: bool) -> str:
    """Say why asking for more elements would only be a nuisance; "" while it would not."""
    if pool.silent_endings >= SILENT_ELEMENTS:
        return f"{pool.silent_endings} elements in a row ended before their agent said hello"
    if pool.disk_endings >= DISK_ENDINGS and pool.lost_disk is not None and not pool.busy_elsewhere:
        return _no_disk(pool.disk_endings, pool.lost_disk, is_local=is_local)
    return ""


def _decide_local(pool: PoolFacts, machine: LocalMachine, budget: _Budget, now: float) -> list[Decision]:
    """Take what is free of this machine, in one element, up to what the pool's slots can use."""
    whole = element_shape(replace(pool, allocations=()), machine)
    if not pool.serving or not pool.open:
        return _give_back(pool, 0, now)
    if whole.slots == 0:
        return [PausePool(pool.pool, _no_fit(pool, f"this machine has {_show(machine)}"))]
    shape = element_shape(pool, budget.free)
    if shape.slots == 0 or _room(budget) < 1 or not _may_ask(pool, budget, now):
        return []
    held = sum(_slots_of(pool, allocation) for allocation in pool.allocations)
    if held >= min(pool.slots, pool.open, wanted_elements(pool, whole) * whole.slots):
        return []
    return [_submit(pool, shape, 1, budget)]


def _local_shape(pool: PoolFacts, needs: Sequence[Resources], free: LocalMachine) -> Shape:
    limit = pool.machine or Machine("")
    held = sum(_slots_of(pool, allocation) for allocation in pool.allocations)
    slots = max(0, pool.slots - held)
    most_cpus = min(free.cpus, limit.cpus or free.cpus)
    most_memory = min(free.memory_mib, limit.memory_mib or free.memory_mib)
    gpus = min(free.gpus, slots * max(need.gpus for need in needs))
    cpus = min(most_cpus, slots * max(need.cpus for need in needs))
    fits = [(min(slots, _fit(need, cpus, most_memory, gpus)), need) for need in needs]
    if min(count for count, _ in fits) <= 0:  # each module of a pool must find room in each element
        return Shape(most_cpus, most_memory, gpus, 0)
    return Shape(
        max(count * need.cpus for count, need in fits),
        max(count * need.memory_mib for count, need in fits),
        gpus,
        max(count for count, _ in fits),
    )


def _shape_of_ranks(pool: PoolFacts, ranks: Ranks, here: LocalMachine | None) -> Shape:
    need = max((module.resources for module in pool.modules), key=lambda need: need.memory_mib)
    machine = pool.machine or Machine("")
    rooms: list[tuple[int, int | None]] = [
        (need.cpus // ranks.count * ranks.per_node, machine.cpus),
        (need.memory_mib, machine.memory_mib),
        (need.gpus, machine.gpus or None),
    ]
    if here is not None:
        rooms += [(need.cpus, here.cpus), (need.memory_mib, here.memory_mib), (need.gpus, here.gpus)]
        rooms.append((ranks.nodes, 1))
    fits = all(there is None or wanted <= there for wanted, there in rooms)
    return Shape(need.cpus, need.memory_mib, need.gpus, int(fits))


def _slots_of(pool: PoolFacts, allocation: AllocationFacts) -> int:
    """Return how many tasks the living elements of an allocation hold at once."""
    each = [
        _fit(module.resources, allocation.cpus, allocation.memory_mib, allocation.gpus)
        for module in pool.modules
    ]
    return allocation.alive * max([1, *each])


def _fit(need: Resources, cpus: int, memory_mib: int | None, gpus: int) -> int:
    """Return how many tasks of such a need fit side by side; memory None: it does not bind."""
    counts = [cpus // need.cpus if need.cpus else 1_000_000]
    if memory_mib is not None and need.memory_mib:
        counts.append(memory_mib // need.memory_mib)
    if need.gpus:
        counts.append(gpus // need.gpus)
    return min(counts)


def _budget(pools: Iterable[PoolFacts], site: SiteFacts) -> _Budget:
    allocations = [allocation for pool in pools for allocation in pool.allocations]
    alive = sum(allocation.alive for allocation in allocations) + site.elements_elsewhere
    limits = [limit for limit in (site.limits.elements, site.learnt_elements) if limit is not None]
    free = site.local
    if free is not None:
        free = LocalMachine(
            free.cpus - sum(each.alive * each.cpus for each in allocations),
            free.memory_mib - sum(each.alive * each.memory_mib for each in allocations),
            free.gpus - sum(each.alive * each.gpus for each in allocations),
        )
    return _Budget(
        submissions=site.limits.submissions_per_minute - site.submissions_last_minute,
        elements=min(limits) - alive if limits else None,
        free=free,
    )


def _has_room(pool: PoolFacts, budget: _Budget) -> bool:
    held = sum(_slots_of(pool, allocation) for allocation in pool.allocations)
    return held < pool.slots and _room(budget) > 0 and element_shape(pool, budget.free).slots > 0


def _room(budget: _Budget) -> int:
    return 1_000_000_000 if budget.elements is None else budget.elements


def _step(pool: PoolFacts, site: SiteFacts) -> int:
    """Return the most elements of the next submission: few at first, then twice the last."""
    limits = (site.limits.array_size, site.array_limit)
    return min([max(FIRST_ELEMENTS, 2 * pool.asked_last), *(limit for limit in limits if limit)])


def _may_ask(pool: PoolFacts, budget: _Budget, now: float) -> bool:
    """Say whether the pool may submit at all now."""
    if budget.submissions <= 0 or (pool.retry_at_s is not None and now < pool.retry_at_s):
        return False
    waiting = any(not allocation.started and allocation.alive for allocation in pool.allocations)
    return not waiting or pool.open > GROWN * pool.open_at_last


def _give_back(pool: PoolFacts, wanted: int, now: float) -> list[Decision]:
    """Cancel pending elements above `wanted`, of the newest allocations first."""
    if pool.cancelled_at_s is not None and now - pool.cancelled_at_s < CANCEL_INTERVAL_S:
        return []
    surplus = pool.alive - wanted
    decisions: list[Decision] = []
    for allocation in reversed(pool.allocations):
        count = min(surplus, len(allocation.pending))
        if count > 0:
            surplus -= count
            decisions.append(CancelElements(allocation.name, tuple(sorted(allocation.pending)[-count:])))
    return decisions


def _submit(pool: PoolFacts, shape: Shape, elements: int, budget: _Budget) -> Submit:
    budget.submissions -= 1
    if budget.elements is not None:
        budget.elements -= elements
    if budget.free is not None:
        budget.free = LocalMachine(
            budget.free.cpus - elements * shape.cpus,
            budget.free.memory_mib - elements * shape.memory_mib,
            budget.free.gpus - elements * shape.gpus,
        )
    return Submit(pool.pool, elements, shape.cpus, shape.memory_mib, shape.gpus, pool.walltime_s)


def _no_fit(pool: PoolFacts, has: str) -> str:
    big = max(pool.modules, key=lambda module: (module.resources.memory_mib, module.resources.cpus))
    return f"a task of module {big.module} needs {_show(big.resources)}, and {has}"


def _no_disk(count: int, lost: LostDisk, *, is_local: bool) -> str:
    remedies = ["make room there", "set `paths.scratch` in the site file"]
    if not is_local:
        remedies.append(f'keep off that node by sbatch = ["--exclude={lost.node}"] in its machine')
    why = f"{count} agents in a row had no disk to work on; the last one, on {lost.node}: {lost.reason}"
    return f"{why}; {', or '.join(remedies)}"


def _show(shape: Shape | Resources | LocalMachine) -> str:
    return f"{shape.cpus} cpus, {shape.memory_mib} MiB and {shape.gpus} gpus"
