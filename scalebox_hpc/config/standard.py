"""Standard modules: programs that pipelines take by `use = "name"`, each a directory with a module.toml.

A module.toml holds the keys of a `[modules.NAME]` table, and says what goes in and comes out.
What is read here is put under the table that uses it; nothing is run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from scalebox_hpc.config import keys
from scalebox_hpc.config.notes import did_you_mean, read_toml
from scalebox_hpc.config.places import folders
from scalebox_hpc.config.table import Table
from scalebox_hpc.errors import PipelineErrors, UsageError

FILE: Final = "module.toml"
_ADDED: Final = ("files", "binds")  # lists to which a pipeline adds
_OWN: Final = "the pipeline that uses the module says it"


@dataclass(frozen=True, slots=True)
class Input:
    """One thing that goes into a standard module or comes out of it."""

    name: str  # "body", "headers.NAME", "env.NAME", a file's name ...
    help: str
    required: bool = False  # of "env.NAME": must be set by the pipeline
    is_file: bool = False  # of "env.NAME": what stands before a `:` is a file beside the pipeline

    @property
    def meaning(self) -> str:
        """What it is, in a sentence."""
        return f"{self.help} (required)" if self.required else self.help

    @property
    def variable(self) -> str | None:
        """The environment variable that it is, None when it is none."""
        return self.name.removeprefix("env.") if self.name.startswith("env.") else None


@dataclass(frozen=True, slots=True)
class Standard:
    """A standard module as its directory has it."""

    name: str
    directory: Path
    description: str
    inputs: tuple[Input, ...]
    outputs: tuple[Input, ...]
    table: Table  # its keys; notes about them name its own file

    def as_data(self) -> dict[str, Any]:
        """Return what a person wants to know of it, as plain data."""
        return {
            "name": self.name,
            "description": self.description,
            "directory": str(self.directory),
            "inputs": [asdict(item) for item in self.inputs],
            "outputs": [{"name": item.name, "help": item.help} for item in self.outputs],
        }


def search_path(directory: Path | None) -> tuple[Path, ...]:
    """Return the folders that are searched for standard modules, first match wins."""
    return folders(directory, "modules", "modules")


def find_modules(search: Sequence[Path]) -> dict[str, Path]:
    """Return name and directory of every standard module that can be found, in order of name."""
    found: dict[str, Path] = {}
    for folder in search:
        for path in sorted(folder.glob(f"*/{FILE}")):
            found.setdefault(path.parent.name, path.parent)
    return dict(sorted(found.items()))


def load_standard(name: str, search: Sequence[Path]) -> Standard:
    """Read the standard module of that name.

    Raises UsageError for an unknown name, listing those there are; PipelineErrors with all
    problems of its file.
    """
    found = find_modules(search)
    if name not in found:
        raise UsageError(
            f"there is no standard module {name!r}", did_you_mean(name, found, "standard modules")
        )
    return read_standard(found[name])


def read_standard(directory: Path) -> Standard:
    """Read a directory with a module.toml. Raises PipelineErrors with all problems of the file."""
    data, notes = read_toml(directory / FILE)
    table = Table(data, (), notes)
    for key in keys.STANDARD_OWN:
        if key in data:
            table.problem(key, "has no place in a standard module", f"take it out; {_OWN}")
    table.allow((*keys.STANDARD, *keys.STANDARD_OWN))
    for key, example in (("description", "one line about it"), ("run", "./program {body}")):
        if key not in data:
            table.problem(key, "is missing", f'write {key} = "{example}"')
    standard = Standard(
        name=directory.name,
        directory=directory.absolute(),
        description=table.text("description") or "",
        inputs=_inputs(table, "inputs"),
        outputs=_inputs(table, "outputs"),
        table=replace(table, data={key: data[key] for key in data if key in keys.MODULE}),
    )
    notes.raise_problems()
    return standard


def _inputs(owner: Table, key: str) -> tuple[Input, ...]:
    table = owner.table(key)
    found = []
    for name, value in table.data.items():
        if not isinstance(value, Mapping):
            found.append(Input(name, table.text(name) or ""))
            continue
        rules = table.table(name)
        rules.allow(keys.INPUT)
        found.append(
            Input(name, rules.text("help") or "", rules.flag("required", False), rules.flag("file", False))
        )
    return tuple(found)


def take(table: Table, search: Sequence[Path]) -> tuple[Table, Standard | None]:
    """Put the standard module that a module's table names under it: what the table says itself wins.

    `files` and `binds` of the table are added to those of the standard module; in the tables
    of keys.MERGED it wins key by key.
    """
    name = table.text("use")
    if name is None:
        return table, None
    try:
        if not re.fullmatch(keys.NAME, name):
            raise UsageError(f"{name!r} is no name for a module", 'write a name, as in use = "shell"')
        standard = load_standard(name, search)
    except PipelineErrors as error:
        for problem in error.problems:
            table.notes.add(problem)
        return table, None
    except UsageError as error:
        table.problem("use", error.fact, error.hint)
        return table, None
    whole = table.over(standard.table)
    return replace(whole, data={**whole.data, **_added(table, standard.table)}), standard


def _added(table: Table, under: Table) -> dict[str, list[Any]]:
    """Join the lists to which the table adds, and remember where each item was really written."""
    joined: dict[str, list[Any]] = {}
    for key in _ADDED:
        if all(isinstance(part.data.get(key), list) for part in (under, table)):
            items = joined[key] = []
            for part in (under, table):
                for index, item in enumerate(part.data[key]):
                    table.notes.origins[table.at(key, len(items))] = (part.notes, part.at(key, index))
                    items.append(item)
    return joined


def check_inputs(table: Table, standard: Standard, env: Mapping[str, str]) -> None:
    """Note each variable that the standard module needs and nobody has set."""
    for item in standard.inputs:
        if item.required and item.variable and not env.get(item.variable):
            remedy = f'write env = {{ {item.variable} = "..." }}: {item.help}'
            table.problem("env", f"module {standard.name} needs {item.variable}", remedy)


def named_files(standard: Standard, env: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return variable and file of each variable that names a file beside the pipeline."""
    found = []
    for item in standard.inputs:
        value = env.get(item.variable or "", "").partition(":")[0]
        if item.is_file and item.variable and (value.endswith(".py") or "/" in value):
            found.append((item.variable, value))
    return found
