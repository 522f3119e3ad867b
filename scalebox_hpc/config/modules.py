"""Read one module: all of its keys, its files, its program, its digest."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from scalebox_hpc.config import keys
from scalebox_hpc.config.command import Run, read_run
from scalebox_hpc.config.files import FileLook, Shelf, mentions
from scalebox_hpc.config.image import read_image
from scalebox_hpc.config.params import Parameter, variable
from scalebox_hpc.config.pools import DeclaredPool, choose_pool
from scalebox_hpc.config.program import check_program, surroundings
from scalebox_hpc.config.rules import (
    read_env,
    read_gather,
    read_output_limit,
    read_resources,
    read_retry,
    read_to,
)
from scalebox_hpc.config.seed_table import read_seed_table
from scalebox_hpc.config.table import Table
from scalebox_hpc.config.templates import Filler
from scalebox_hpc.domain.pipeline import Module
from scalebox_hpc.domain.site import Site

_OF_THE_MESSAGE = ("SBX_BODY", "SBX_BODIES", "SBX_HEADER", "SBX_MEMBERS")


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading a module needs besides its own table."""

    directory: Path
    site: Site | None
    params: Mapping[str, Parameter]
    names: tuple[str, ...]  # of all modules
    pools: dict[str, DeclaredPool]
    shelf: Shelf
    bin: tuple[FileLook, ...]


def module_tables(top: Table) -> dict[str, Table]:
    """Return the table of each module, with `[defaults]` filled in.

    A module's own value wins as a whole; in `resources` and `env` it wins key by key.
    """
    defaults = top.table("defaults")
    defaults.allow(keys.MODULE)
    for key in ("run", "seed", "to", "gather"):
        if key in defaults.data:
            defaults.problem(key, "has no default", "write it in each module")
    tables: dict[str, Table] = {}
    for table in top.tables("modules"):
        name = str(table.path[-1])
        if not re.fullmatch(keys.NAME, name):
            table.problem(
                "", f"{name!r} is no name for a module", "use a-z, 0-9 and -, and begin with a letter"
            )
        tables[name] = _with_defaults(table, defaults)
    return tables


def _with_defaults(table: Table, defaults: Table) -> Table:
    data: dict[str, Any] = dict(table.data)
    for key in keys.DEFAULTS:
        if key not in defaults.data:
            continue
        value = defaults.data[key]
        if key not in data:
            data[key] = value
            table.notes.inherited[table.at(key)] = defaults.at(key)
        elif key in ("resources", "env") and isinstance(value, dict) and isinstance(data[key], dict):
            for inner in value.keys() - data[key].keys():
                table.notes.inherited[table.at(key, inner)] = defaults.at(key, inner)
            data[key] = {**value, **data[key]}
    return replace(table, data=data)


def read_module(table: Table, reading: Reading) -> Module:
    """Read a module; every problem is noted, and what could not be read has its default."""
    table.allow(keys.MODULE)
    name = str(table.path[-1])
    values = {param.name: param.value for param in reading.params.values() if param.value is not None}
    filler = Filler(values, reading.params.keys(), table.notes, set())
    image = read_image(table, filler, reading.directory, reading.site)
    run = read_run(table, filler, is_gather="gather" in table.data)
    listed = [filler.text(item, table.at("files", index)) for index, item in enumerate(table.texts("files"))]
    looks = reading.shelf.of_module(table, run, listed)
    module = Module(
        name=name,
        command=run.command,
        to=read_to(table, reading.names),
        pool=choose_pool(table, name, reading.pools, reading.site),
        image=image,
        seed=read_seed_table(table, filler, reading.directory),
        resources=read_resources(table),
        retry=read_retry(table),
        gather=read_gather(table, filler),
        env=read_env(table, filler),
        files=tuple(look.shipped for look in looks),
        repeat=table.choice("repeat", ["refuse", "ignore", "again"], "refuse"),
        output_limit_bytes=read_output_limit(table),
        forward=table.flag("forward", False),
    )
    _check_program(table, run, module, reading)
    said = _mentioned(run, looks, reading.bin)
    _warn_of_unused_message(table, run, module, said)
    return replace(module, digest=_digest(module, filler.used, said, reading))


def _check_program(table: Table, run: Run, module: Module, reading: Reading) -> None:
    site = reading.site
    is_here = site is not None and site.batch == "local" and module.image is None and not site.prologue
    env = {**(site.env if site is not None else {}), **module.env}
    bin_names = frozenset(look.shipped.name for look in reading.bin)
    check_program(table, run, surroundings(reading.directory, bin_names, is_here=is_here, env=env))


def _mentioned(run: Run, looks: tuple[FileLook, ...], bin_looks: tuple[FileLook, ...]) -> frozenset[str]:
    """Return which of our variables the module's text and files mention."""
    return mentions(run.literals).union(*(look.mentions for look in (*looks, *bin_looks)))


def _warn_of_unused_message(table: Table, run: Run, module: Module, said: frozenset[str]) -> None:
    if run.uses_message or not run.words or said & set(_OF_THE_MESSAGE):
        return
    what = "{members} or {bodies}" if module.gather is not None else "{body} or {headers.NAME}"
    variables = "$SBX_MEMBERS" if module.gather is not None else "$SBX_BODY"
    remedy = f"put {what} into `run`, or read {variables}; every task does the same otherwise"
    table.notes.warn(table.at("run"), "the message is used nowhere", remedy)


def _digest(module: Module, used: set[str], said: frozenset[str], reading: Reading) -> str:
    """Return the sha256 of what makes a module's results what they are, as canonical JSON.

    Parameters used: those filled in, and those whose variable is mentioned in text or files. An
    image counts by its name. The pipeline's directory is taken out, so that it may be moved.
    """
    params = {
        name: param.value for name, param in reading.params.items() if name in used or variable(name) in said
    }
    content = {
        "image": module.image,
        "command": asdict(module.command),
        "files": [[file.name, file.digest, file.executable] for file in module.files],
        "bin": [[look.shipped.name, look.shipped.digest] for look in reading.bin],
        "env": dict(module.env),
        "params": params,
        "to": module.to,
        "gather": None if module.gather is None else asdict(module.gather),
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    directory = json.dumps(f"{reading.directory}/")[1:-1]
    return hashlib.sha256(text.replace(directory, "").encode()).hexdigest()
