"""Look at the pipeline as a whole: what can start, what is reached, what waits for itself.

Pure: modules in, notes out.
"""

from __future__ import annotations

from collections.abc import Mapping

from scalebox_hpc.config.table import Table
from scalebox_hpc.domain.pipeline import Module


def check_graph(modules: Mapping[str, Module], tables: Mapping[str, Table]) -> None:
    """Note what is wrong between modules. `tables` holds where each was written."""
    for name, module in modules.items():
        _check_gather(name, modules, tables[name])
        if module.forward and not module.to:
            table = tables[name]
            table.notes.warn(
                table.at("forward"), "has no effect: `to` names no module", "add `to`, or take it out"
            )
    _check_seeds(modules, tables)


def reached(modules: Mapping[str, Module], start: str) -> frozenset[str]:
    """Return the modules that messages from `start` can come to, in one step or more."""
    found: set[str] = set()
    waiting = list(modules[start].to)
    while waiting:
        name = waiting.pop()
        if name in modules and name not in found:
            found.add(name)
            waiting.extend(modules[name].to)
    return frozenset(found)


def _check_gather(name: str, modules: Mapping[str, Module], table: Table) -> None:
    if "gather" not in table.data:
        return
    if "seed" in table.data:
        remedy = "take the seed out; another module's `to` must name this one"
        table.problem("seed", "a gather takes its messages from modules, not from a seed", remedy)
    sources = [other for other, module in modules.items() if name in module.to]
    if not sources:
        remedy = f'name it in a module, as in to = ["{name}"]'
        table.problem("gather", "nothing comes here: no module names this one in its `to`", remedy)
    if name in reached(modules, name):
        way = " -> ".join(_way(modules, name))
        remedy = "a gather fires when all before it are done, and this one would wait for itself"
        table.problem("gather", f"it can reach itself: {way}", remedy)


def _way(modules: Mapping[str, Module], name: str) -> list[str]:
    """Return a shortest way from a module back to itself, both ends included."""
    waiting = [[name]]
    seen: set[str] = set()
    while waiting:
        way = waiting.pop(0)
        for following in modules[way[-1]].to:
            if following == name:
                return [*way, name]
            if following not in seen:
                seen.add(following)
                waiting.append([*way, following])
    return [name, name]


def _check_seeds(modules: Mapping[str, Module], tables: Mapping[str, Table]) -> None:
    seeded = [name for name, table in tables.items() if "seed" in table.data and name in modules]
    if not modules:
        return
    notes = next(iter(tables.values())).notes
    if not seeded:
        first = next(iter(modules))
        remedy = f'give first messages to a module: [modules.{first}] seed = ["..."]'
        notes.problem(("modules",), "nothing can start: no module has a seed", remedy)
        return
    there = set(seeded).union(*(reached(modules, name) for name in seeded))
    for name in modules:
        if name not in there:
            remedy = "name it in the `to` of another module, or give it a seed"
            notes.warn(("modules", name), "is never reached from a module with a seed", remedy)
    from_stdin = [
        name for name in seeded if (seed := modules[name].seed) is not None and seed.kind == "stdin"
    ]
    for name in from_stdin[1:]:
        fact = f"standard input can seed one module, and already seeds {from_stdin[0]}"
        tables[name].problem("seed", fact, "use a file for one of them")
