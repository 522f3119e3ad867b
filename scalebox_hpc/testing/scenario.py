"""What a seed means: pipelines, their programs, when they are submitted and where they run.

All of it is drawn, never invented twice.

What goes wrong while it runs is drawn in `chaos`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random

from scalebox_hpc.domain.pipeline import Command, Gather, Module, Pipeline, Place, Pool, Resources, RetryRule
from scalebox_hpc.domain.site import Limits, Machine, Site
from scalebox_hpc.testing.programs import FIRST_DIGIT, GATHERS, RETRIES, SIZE, Message, Programs, Stage

FEWEST, MOST = 10, 200  # tasks
COMMAND = Command(words=(("true",),))
RANKED = 0.25  # of the runs have a module whose tasks have ranks
SPREAD = 0.5  # of the runs with several pools have modules that two pools serve
LONG_S, SHORT_S = 900.0, 60.0  # the time that a task may take
FOLLOWS = {  # what may come after a stage
    "work": ("work", "scatter", "merge", "all", "group", "size"),
    "scatter": ("work", "merge", "all", "group", "size"),
    "merge": ("all", "group"),
    "all": ("work",),
    "group": ("work", "all", "group"),
    "size": ("work", "all"),
}


RANKS = (
    Resources(1, 500, time_s=LONG_S, ntasks=2),
    Resources(1, 1000, time_s=LONG_S, nodes=2, ntasks=4),
)


@dataclass(frozen=True, slots=True)
class Order:
    """One run: what is submitted, and when."""

    name: str
    at_s: float  # from the beginning of the world
    pipeline: Pipeline
    programs: Programs

    def describe(self) -> str:
        """Say it in a line."""
        stages = " -> ".join(
            f"{each.name}[{each.kind}{f' x{each.width}' if each.kind == 'scatter' else ''}]"
            for each in self.programs.stages.values()
        )
        late = f" after {self.at_s:.0f} s" if self.at_s else ""
        return f"{stages}, {len(self.programs.seeds)} seeds, {len(self.pipeline.pools)} pools{late}"


@dataclass(frozen=True, slots=True)
class Scenario:
    """The runs of a world, in the order in which they are submitted, and where they work."""

    orders: Sequence[Order]
    sent: dict[str, list[Message]]  # by lease: what a task that ran sends
    site: Site

    def describe(self) -> str:
        """Say it in a line."""
        return "; ".join(order.describe() for order in self.orders)


def draw(seed: int) -> Scenario:
    """Draw the scenario of a seed: one run, or two or three beside each other."""
    rng = Random(f"{seed} scenario")
    count = rng.choice([1, 1, 2, 3])
    starts_s = sorted([0.0, *(rng.choice([0.0, 5.0, 60.0, 400.0]) for _ in range(count - 1))])
    most = MOST / count
    sent: dict[str, list[Message]] = {}
    orders = [_order(f"run-{n}", at_s, f"{seed}.{n}", most, sent) for n, at_s in enumerate(starts_s, 1)]
    return Scenario(orders, sent, _site(rng))


def _order(name: str, at_s: float, seed: str, most: float, sent: dict[str, list[Message]]) -> Order:
    rng = Random(f"{seed} order")
    stages = _stages(rng)
    size = round(FEWEST * (most / FEWEST) ** (rng.random() ** 2))
    each = sum(stage.width / 2 if stage.kind == "scatter" else 1.0 for stage in stages)
    first = stages[0].name
    seeds = [(first, str(number)) for number in range(max(2, round(size / each)))]
    programs = Programs(seed, {stage.name: stage for stage in stages}, seeds, sent)
    pools = [_pool(rng, f"pool{n}") for n in range(rng.choice([1, 1, 1, 2, 3]))]
    modules = {
        stage.name: _module(stage, pools[min(index, len(pools) - 1)].name, rng)
        for index, stage in enumerate(stages)
    }
    if rng.random() < RANKED:
        pools.append(_pool(rng, "ranks"))
        ranked = rng.choice(sorted(modules))
        modules[ranked] = replace(modules[ranked], kind="mpi", pool="ranks", resources=rng.choice(RANKS))
    ordinary = [pool.name for pool in pools if pool.name != "ranks"]
    if len(ordinary) > 1 and rng.random() < SPREAD:
        modules = {name: _spread(module, ordinary, rng) for name, module in modules.items()}
    used = {pool for module in modules.values() for pool in module.pools}
    pipeline = Pipeline(
        "drawn", "", "/nowhere", "sim", {}, modules, {pool.name: pool for pool in pools if pool.name in used}
    )
    return Order(name, at_s, pipeline, programs)


def _stages(rng: Random) -> list[Stage]:
    fails = rng.choice([0.0, 0.0, 0.05, 0.15])
    flaky = rng.choice([0.0, 0.1, 0.4])
    long = rng.choice([0.0, 0.0, 0.1, 0.4])
    kinds = [rng.choice(["work", "scatter"])]
    while len(kinds) < 5 and rng.random() < 0.75:
        kinds.append(rng.choice(FOLLOWS[kinds[-1]]))
    stages = [_stage(rng, index, kind, (fails, flaky, long)) for index, kind in enumerate(kinds)]
    grouped = next((index for index, kind in enumerate(kinds) if kind in GATHERS), len(kinds))
    stages = stages[: grouped + 1] + [replace(stage, by="header") for stage in stages[grouped + 1 :]]
    stages = [replace(one, to=(after.name,)) for one, after in pairwise(stages)] + stages[-1:]
    if rng.random() < 0.3:
        stages = _with_a_branch(rng, stages, (fails, flaky, long))
    return stages


def _stage(rng: Random, index: int, kind: str, shares: tuple[float, float, float]) -> Stage:
    bad, flaky, long = shares
    return Stage(
        f"{kind}{index}",
        kind,
        width=rng.randint(2, 12),
        by=rng.choice(["header", "regex"]),
        repeat=rng.choice(["refuse", "ignore", "again"]),
        same=rng.random() < 0.5,
        missing=rng.choice(["fail", "fail", "run"]),
        retries=rng.random() < 0.7,
        bad=0.0 if kind in GATHERS else bad,
        flaky=flaky,
        fresh=kind != "merge",
        long=0.0 if kind == "scatter" else long,
    )


def _with_a_branch(rng: Random, stages: list[Stage], shares: tuple[float, float, float]) -> list[Stage]:
    """Let the first stage send to a second one too, which joins the others in the last, if it gathers."""
    last = stages[-1]
    joins = len(stages) > 1 and last.kind in ("all", "size")
    side = replace(_stage(rng, 9, "work", shares), name="side", to=(last.name,) if joins else ())
    first = replace(stages[0], to=(*stages[0].to, side.name))
    return [first, side, *stages[1:]]


def _module(stage: Stage, pool: str, rng: Random) -> Module:
    gather = None
    if stage.kind in GATHERS:
        by = stage.by if stage.kind == "group" else "all"
        pattern = {"all": "", "header": "group", "regex": FIRST_DIGIT}[by]
        gather = Gather(by, pattern, (str(SIZE),) if stage.kind == "size" else None, stage.missing)
    rule = RetryRule(("exit", "timeout", "oom"), RETRIES, delay_s=rng.choice([0.0, 2.0, 20.0]), backoff=2.0)
    time_s = LONG_S if stage.long else SHORT_S
    resources = Resources(rng.choice([1, 1, 2]), rng.choice([500, 1000, 2000]), time_s=time_s)
    return Module(
        stage.name, COMMAND, stage.to, gather=gather, retry=(rule,) if stage.retries else (),
        resources=resources, repeat=stage.repeat, pool=pool, digest=f"digest of {stage.name}",
    )  # fmt: skip


def _spread(module: Module, pools: Sequence[str], rng: Random) -> Module:
    """Let a module have two pools, as if at two sites; one of them may stand by."""
    if module.kind == "mpi":
        return module
    other = rng.choice([pool for pool in pools if pool != module.pool])
    places = (
        Place(module.pool),
        Place(other, rng.choice([0.2, 1.0, 5.0]), rng.choice([0.0, 0.0, 5.0, 60.0])),
    )
    return replace(module, places=places)


def _pool(rng: Random, name: str) -> Pool:
    return Pool(
        name,
        "sim",
        machine=rng.choice([None, "cpu", "wide"]),
        slots=rng.choice([1, 2, 4, 8, 16]),
        walltime_s=rng.choice([1200.0, 3600.0, 7200.0]),
        idle_s=rng.choice([2.0, 5.0, 30.0]),
    )


def _site(rng: Random) -> Site:
    return Site(
        "sim",
        interval_s=rng.choice([1.0, 5.0, 30.0]),
        lost_after_s=rng.choice([60.0, 120.0, 300.0]),
        limits=Limits(elements=rng.choice([None, None, 4]), submissions_per_minute=10),
        machines={
            "cpu": Machine("cpu", cpus=2, memory_mib=4096, default=True),
            "wide": Machine("wide", cpus=6, memory_mib=12288),
        },
    )
