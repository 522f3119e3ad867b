"""Read one module: all of its keys, its files, its program, its digest."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from scalebox_hpc.config import keys
from scalebox_hpc.config.binds import Sight, read_binds
from scalebox_hpc.config.burst import at_each_site
from scalebox_hpc.config.command import Run, read_run
from scalebox_hpc.config.container import read_container
from scalebox_hpc.config.files import FileLook, Shelf, mentions
from scalebox_hpc.config.image import read_image
from scalebox_hpc.config.params import Parameter, variable
from scalebox_hpc.config.pools import DeclaredPool, choose_places
from scalebox_hpc.config.program import check_program, surroundings
from scalebox_hpc.config.rules import (
    read_env,
    read_gather,
    read_kind,
    read_output_limit,
    read_resources,
    read_retry,
    read_to,
)
from scalebox_hpc.config.seed_table import read_seed_table
from scalebox_hpc.config.site_choice import SiteChoice
from scalebox_hpc.config.stage import is_staged, read_stage
from scalebox_hpc.config.standard import Standard, check_inputs, named_files, take
from scalebox_hpc.config.table import Table
from scalebox_hpc.config.templates import Filler
from scalebox_hpc.config.toml_lines import KeyPath
from scalebox_hpc.domain.container import Bind, Container
from scalebox_hpc.domain.pipeline import Module
from scalebox_hpc.domain.site import Site
from scalebox_hpc.domain.stage import KIND

_OF_THE_MESSAGE = ("SBX_BODY", "SBX_BODIES", "SBX_HEADER", "SBX_MEMBERS")


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading a module needs besides its own table."""

    directory: Path
    sites: SiteChoice
    params: Mapping[str, Parameter]
    names: tuple[str, ...]  # of all modules
    pools: dict[str, DeclaredPool]
    shelf: Shelf
    bin: tuple[FileLook, ...]
    standards: Mapping[str, Standard] = field(default_factory=dict)  # by module, for those that use one

    def base(self, table: Table, path: KeyPath) -> Path:
        """Return the directory of the file in which a key was really written."""
        notes, _ = table.notes.origin(path)
        return self.directory if notes is table.notes else Path(notes.file).parent

    def shelf_at(self, table: Table, path: KeyPath) -> Shelf:
        """Return the files beside the file in which a key was really written."""
        notes, _ = table.notes.origin(path)
        return self.shelf if notes is table.notes else Shelf(Path(notes.file).parent, table.notes)


def module_tables(top: Table, search: Sequence[Path]) -> tuple[dict[str, Table], dict[str, Standard]]:
    """Return the table of each module, and the standard modules that are used, both by module.

    In a table everything is filled in: what it says itself wins, then its standard module's
    value, then `[defaults]`. A value wins as a whole; in the tables of keys.MERGED key by key.
    """
    defaults = top.table("defaults")
    defaults.allow(keys.MODULE)
    for key in keys.NO_DEFAULT:
        if key in defaults.data:
            defaults.problem(key, "has no default", "write it in each module")
    usual = replace(defaults, data={key: defaults.data[key] for key in keys.DEFAULTS if key in defaults.data})
    tables: dict[str, Table] = {}
    standards: dict[str, Standard] = {}
    for table in top.tables("modules"):
        name = str(table.path[-1])
        if not re.fullmatch(keys.NAME, name):
            table.problem(
                "", f"{name!r} is no name for a module", "use a-z, 0-9 and -, and begin with a letter"
            )
        whole, standard = take(table, search)
        tables[name] = whole.over(usual)
        if standard is not None:
            standards[name] = standard
    return tables, standards


def read_module(table: Table, reading: Reading) -> Module:
    """Read a module; every problem is noted, and what could not be read has its default."""
    table.allow(keys.MODULE)
    at_sites = at_each_site(table)
    table = at_sites[0][1]
    name = str(table.path[-1])
    values = {param.name: param.value for param in reading.params.values() if param.value is not None}
    filler = Filler(values, reading.params.keys(), table.notes, set())
    run = read_run(table, filler, is_gather="gather" in table.data)
    kind, env, site = read_kind(table), read_env(table, filler), reading.sites.of(table)
    is_here = all(reading.sites.is_here(each) for _, each in at_sites)
    places = choose_places(at_sites, name, kind, reading.pools, reading.sites)
    looks = _files(table, filler, run, env, reading)
    module = Module(
        name=name,
        command=run.command,
        to=read_to(table, reading.names),
        pool=places[0].pool,
        places=places if len(places) > 1 else (),
        image=_image(table, filler, reading, kind, site),
        container=read_container(table, filler),
        binds=_binds(table, filler, reading, is_here),
        kind=kind,
        seed=read_seed_table(table, filler, reading.directory),
        resources=read_resources(table, kind),
        retry=read_retry(table),
        gather=read_gather(table, filler),
        env=env,
        files=tuple(look.shipped for look in looks),
        repeat=table.choice("repeat", ["refuse", "ignore", "again"], "refuse"),
        output_limit_bytes=read_output_limit(table),
        forward=table.flag("forward", False),
        stage=read_stage(table, filler, kind),
    )
    if name in reading.standards:
        check_inputs(table, reading.standards[name], env)
    _warn_of_no_image(table, module)
    _check_program(table, run, module, reading, is_here)
    said = _mentioned(run, looks, reading.bin)
    _warn_of_unused_message(table, run, module, said)
    return replace(module, digest=_digest(module, filler.used, said, reading))


def _files(
    table: Table, filler: Filler, run: Run, env: Mapping[str, str], reading: Reading
) -> tuple[FileLook, ...]:
    """Return what the words of `run`, the key `files` and a standard module's variables name, by name."""
    looks = list(reading.shelf_at(table, table.at("run")).of_run(run, table.at("run")))
    for index, text in enumerate(table.texts("files")):
        path = table.at("files", index)
        looks += reading.shelf_at(table, path).of_key(filler.text(text, path), path)
    standard = reading.standards.get(str(table.path[-1]))
    for variable_name, name in named_files(standard, env) if standard is not None else ():
        looks += reading.shelf.of_key(name, table.at("env", variable_name))
    found: dict[str, FileLook] = {}
    for look in looks:
        other = found.setdefault(look.shipped.name, look)
        if other.shipped.digest != look.shipped.digest:
            remedy = f"call yours otherwise; the other is {other.shipped.source}"
            table.problem("files", f"two files would both be called {look.shipped.name}", remedy)
    return tuple(found[name] for name in sorted(found))


def _image(table: Table, filler: Filler, reading: Reading, kind: str, site: Site | None) -> str | None:
    """Return the image; what moves data is our own program, outside of those that `[defaults]` names."""
    path = table.at("image")
    if kind != KIND:
        return read_image(table, filler, reading.base(table, path), site)
    if "image" in table.data and table.notes.origin(path) == (table.notes, path):
        table.notes.problem(path, "what moves data runs in no image", "take it out")
    return None


def _binds(table: Table, filler: Filler, reading: Reading, is_here: bool) -> tuple[Bind, ...]:
    sight = Sight(reading.directory, is_here)
    return read_binds(table, filler.text, lambda path: reading.base(table, path), sight)


def _warn_of_no_image(table: Table, module: Module) -> None:
    for key in ("binds", "container"):
        written_here = table.notes.origin(table.at(key)) == (table.notes, table.at(key))
        if key in table.data and module.image is None and written_here:
            table.notes.warn(
                table.at(key), "has no effect: the module has no image", "add `image`, or take it out"
            )


def _check_program(table: Table, run: Run, module: Module, reading: Reading, is_here: bool) -> None:
    if module.kind == KIND:
        return  # ours, by the Python that we run in
    site = reading.sites.of(table)
    is_here = is_here and module.image is None and site is not None and not site.prologue
    env = {**(site.env if site is not None else {}), **module.env}
    bin_names = frozenset(look.shipped.name for look in reading.bin)
    directory = reading.base(table, table.at("run"))
    shipped = frozenset(file.name for file in module.files)
    check_program(table, run, surroundings(directory, bin_names, is_here=is_here, env=env, shipped=shipped))


def _mentioned(run: Run, looks: tuple[FileLook, ...], bin_looks: tuple[FileLook, ...]) -> frozenset[str]:
    """Return which of our variables the module's text and files mention."""
    return mentions(run.literals).union(*(look.mentions for look in (*looks, *bin_looks)))


def _warn_of_unused_message(table: Table, run: Run, module: Module, said: frozenset[str]) -> None:
    is_of_message = run.uses_message or is_staged(module) or bool(said & set(_OF_THE_MESSAGE))
    if module.kind == KIND or is_of_message or not run.words:
        return
    what = "{members} or {bodies}" if module.gather is not None else "{body} or {headers.NAME}"
    variables = "$SBX_MEMBERS" if module.gather is not None else "$SBX_BODY"
    remedy = f"put {what} into `run`, or read {variables}; every task does the same otherwise"
    table.notes.warn(table.at("run"), "the message is used nowhere", remedy)


def _digest(module: Module, used: set[str], said: frozenset[str], reading: Reading) -> str:
    """Return the sha256 of what makes a module's results what they are, as canonical JSON.

    Parameters used: those filled in, and those whose variable is mentioned in text or files. An
    image counts by its name. The directories of the pipeline and of standard modules are taken
    out, so that they may be moved.
    """
    params = {
        name: param.value for name, param in reading.params.items() if name in used or variable(name) in said
    }
    content: dict[str, Any] = {
        "image": module.image,
        "command": asdict(module.command),
        "files": [[file.name, file.digest, file.executable] for file in module.files],
        "bin": [[look.shipped.name, look.shipped.digest] for look in reading.bin],
        "env": dict(module.env),
        "params": params,
        "to": module.to,
        "gather": None if module.gather is None else asdict(module.gather),
        **_content_if_unusual(module),
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    beside = {f"{each.directory}/" for each in reading.standards.values()} | {f"{reading.directory}/"}
    for directory in sorted(beside, key=len, reverse=True):
        text = text.replace(json.dumps(directory)[1:-1], "")
    return hashlib.sha256(text.encode()).hexdigest()


def _content_if_unusual(module: Module) -> dict[str, Any]:
    """Return what is not as usual, so that modules without it keep the digest of earlier releases."""
    content = {
        "container": asdict(module.container),
        "binds": [asdict(bind) for bind in module.binds],
        "kind": module.kind,
        "stage": None if module.stage is None else asdict(module.stage),
    }
    usual: dict[str, Any] = {"container": asdict(Container()), "binds": [], "kind": "task", "stage": None}
    return {key: value for key, value in content.items() if value != usual[key]}
