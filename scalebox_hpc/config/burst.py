"""Read `site` of a module that may name several: a list of names, or of tables that say more of a site."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from scalebox_hpc.config import keys
from scalebox_hpc.config.table import Table, kind_of

EXAMPLE = 'site = ["a", "b"], or site = ["a", { name = "b", when_pending = "10m" }]'


@dataclass(frozen=True, slots=True)
class NamedSite:
    """A site as an entry of the list names it."""

    name: str
    pool: str | None = None
    weight: float = 1.0
    when_pending_s: float = 0.0


def at_each_site(module: Table) -> list[tuple[NamedSite, Table]]:
    """Return the module's table as it is for each of several sites, or once as it is without such a list."""
    if "site" not in module.data or isinstance(module.data["site"], str):
        return [(NamedSite(""), module)]
    rest = {key: value for key, value in module.data.items() if key != "site"}
    found = []
    for each in _read(module):
        own = {} if each.pool is None else {"pool": each.pool}
        found.append((each, replace(module, data={**rest, **own, "site": each.name})))
    return found or [(NamedSite(""), replace(module, data=rest))]


def _read(module: Table) -> tuple[NamedSite, ...]:
    """Return the sites of the list; none where it is no list, or all its entries are wrong."""
    if not isinstance(module.data["site"], list):
        fact = f"must be a site's name or a list of sites, not {kind_of(module.data['site'])}"
        module.problem("site", fact, f"write {EXAMPLE}")
        return ()
    if not module.data["site"]:
        module.problem("site", "names no site", f"write {EXAMPLE}, or take it out")
    found: dict[str, NamedSite] = {}
    for index, entry in _entries(module):
        if entry.name in found:
            module.notes.problem(module.at("site", index), f"names {entry.name} again", "name each site once")
        elif not found and entry.when_pending_s:
            path = module.at("site", index, "when_pending")
            module.notes.problem(path, "no site stands before it", "give it to a later one")
        found.setdefault(entry.name, entry)
    return tuple(found.values())


def _entries(module: Table) -> Iterator[tuple[int, NamedSite]]:
    for index, value in enumerate(module.data["site"]):
        path = module.at("site", index)
        if isinstance(value, str):
            yield index, NamedSite(value)
        elif isinstance(value, dict):
            yield from ((index, entry) for entry in _entry(Table(value, path, module.notes)))
        else:
            fact = f"must be a site's name or a table, not {kind_of(value)}"
            module.notes.problem(path, fact, f"write {EXAMPLE}")


def _entry(table: Table) -> Iterator[NamedSite]:
    table.allow(keys.PLACE)
    weight, name = table.number("weight", 1.0), table.text("name")
    if weight == 0:
        table.problem("weight", "0 is out of range", "write a number above 0, or leave the site out")
    if name is not None:
        yield NamedSite(name, table.text("pool"), weight, table.duration_s("when_pending", 0.0))
    elif "name" not in table.data:
        table.problem("name", "is missing", 'write { name = "b", ... }')
