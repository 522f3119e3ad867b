"""Read `pipeline.toml` strictly: every problem at once, before anything is submitted.

Nothing is run, written or sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scalebox_hpc.config import keys, standard
from scalebox_hpc.config.burst import at_each_site
from scalebox_hpc.config.files import Shelf
from scalebox_hpc.config.graph import check_graph
from scalebox_hpc.config.modules import Reading, module_tables, read_module
from scalebox_hpc.config.notes import did_you_mean, read_toml
from scalebox_hpc.config.params import Parameter, read_params, require_values
from scalebox_hpc.config.pools import finish_pools, read_pools
from scalebox_hpc.config.site import load_site, search_path
from scalebox_hpc.config.site_choice import SiteChoice
from scalebox_hpc.config.stage import insert_transfers
from scalebox_hpc.config.standard import Standard, take
from scalebox_hpc.config.table import Table
from scalebox_hpc.domain.pipeline import Pipeline
from scalebox_hpc.domain.site import Site
from scalebox_hpc.errors import Problem, UsageError

Sites = Mapping[str, Site] | Callable[[str], Site]
"""Where sites come from: by name, or a function that raises UsageError for a name it does not know."""

VERSION = 1


@dataclass(frozen=True, slots=True)
class Checked:
    """A pipeline found right, what is doubtful about it, and what it was checked against."""

    pipeline: Pipeline
    warnings: tuple[Problem, ...]
    parameters: tuple[Parameter, ...] = ()
    site: Site | None = None  # the run's own
    sites: Mapping[str, Site] = field(default_factory=dict)  # all that it names, by name


def load(
    path: Path,
    *,
    params: Mapping[str, str] | None = None,
    site: str | None = None,
    sites: Sites | None = None,
    cwd: Path | None = None,
) -> Checked:
    """Read and check a pipeline.

    `params` are the texts of `-p`, `site` that of `--site`; `sites` finds sites (default: beside
    the pipeline, the user's, the installed ones); `cwd` is what given paths are relative to.
    Raises PipelineErrors with all problems.
    """
    data, notes = read_toml(path)
    directory = Path.cwd() / path.parent if not path.is_absolute() else path.parent
    directory = directory.resolve()
    top = Table(data, (), notes)
    _check_version(top)
    top.allow(keys.TOP)
    about = top.table("pipeline")
    about.allow(keys.PIPELINE)
    name = _name(about)
    chosen = SiteChoice.of_run(_finder(sites, directory), about, site)
    parameters = read_params(top, params or {}, directory, cwd or Path.cwd())
    require_values(parameters, top)
    pipeline = _read_modules(top, directory, chosen, parameters, name, about.text("title") or "")
    notes.raise_problems()
    return Checked(pipeline, notes.warnings, tuple(parameters.values()), chosen.usual, chosen.used())


def load_parameters(path: Path) -> tuple[Parameter, ...]:
    """Read only what `[params]` declares: enough to describe a pipeline that needs values."""
    data, notes = read_toml(path)
    parameters = read_params(Table(data, (), notes), {}, path.parent.resolve(), Path.cwd())
    notes.raise_problems()
    return tuple(parameters.values())


def load_standards(path: Path) -> dict[str, Standard]:
    """Read only which standard modules a pipeline uses, by module. Raises PipelineErrors."""
    data, notes = read_toml(path)
    search = standard.search_path(path.parent.resolve())
    taken = {table.path[-1]: take(table, search)[1] for table in Table(data, (), notes).tables("modules")}
    notes.raise_problems()
    return {str(name): found for name, found in taken.items() if found is not None}


def load_module_sites(path: Path) -> dict[str, str]:
    """Read only which sites each module names itself, by module; not those that run at the run's site."""
    data, notes = read_toml(path)
    top = Table(data, (), notes)
    usual = top.table("defaults")
    named = {}
    for table in top.tables("modules"):
        said = table if "site" in table.data else usual
        sites = [each.text("site") or "" for _, each in at_each_site(said)]
        named[str(table.path[-1])] = ", ".join(filter(None, sites))
    notes.raise_problems()
    return {name: sites for name, sites in named.items() if sites}


def _read_modules(
    top: Table, directory: Path, sites: SiteChoice, parameters: Mapping[str, Parameter], name: str, title: str
) -> Pipeline:
    tables, standards = module_tables(top, standard.search_path(directory))
    if not top.data.get("modules"):
        remedy = 'add a table [modules.NAME] with run = "..." and seed = ["..."]'
        top.notes.problem(("modules",), "there is no module", remedy)
    pools = read_pools(top, sites)
    shelf = Shelf(directory, top.notes)
    bin_looks = shelf.bin()
    reading = Reading(directory, sites, parameters, tuple(tables), pools, shelf, bin_looks, standards)
    modules = {key: read_module(table, reading) for key, table in tables.items()}
    check_graph(modules, tables)
    pipeline = Pipeline(
        name=name,
        title=title,
        directory=str(directory),
        site=sites.usual.name if sites.usual is not None else "",
        params={param.name: param.value for param in parameters.values() if param.value is not None},
        modules=modules,
        pools=finish_pools(pools, modules, tables, sites),
        bin=tuple(look.shipped for look in bin_looks),
        file=str(directory / Path(top.notes.file).name),
    )
    if top.notes.problems:
        return pipeline
    return insert_transfers(pipeline, sites, tables)


def _check_version(top: Table) -> None:
    version = top.data.get("sbx")
    if version is None:
        top.problem("sbx", "the version of the format is missing", f"write sbx = {VERSION} as the first line")
    elif isinstance(version, bool) or version != VERSION:
        newer = isinstance(version, (int, float)) and version > VERSION
        remedy = "install a newer sbx" if newer else f"write sbx = {VERSION}"
        top.problem("sbx", f"{version!r} is no version of the format", remedy)
        top.notes.raise_problems()  # the rest may mean anything


def _name(about: Table) -> str:
    name = about.text("name")
    if name is None:
        if "name" not in about.data:
            about.problem("name", "is missing", 'write name = "..."; runs are called after it')
        return ""
    if not re.fullmatch(keys.NAME, name):
        guess = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-0123456789")
        remedy = "use a-z, 0-9 and -, and begin with a letter" + (f', as in "{guess}"' if guess else "")
        about.problem("name", f"{name!r} is no name for a pipeline", remedy)
    return name


def _finder(sites: Sites | None, directory: Path) -> Callable[[str], Site]:
    if sites is None:
        return lambda name: load_site(name, search_path(directory))
    if callable(sites):
        return sites
    return lambda name: _look_up(name, sites)


def _look_up(name: str, sites: Mapping[str, Site]) -> Site:
    if name not in sites:
        raise UsageError(f"there is no site {name!r}", did_you_mean(name, sites, "sites"))
    return sites[name]
