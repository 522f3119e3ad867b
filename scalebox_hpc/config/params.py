"""Read `[params]` and what `-p name=value` sets, against each parameter's rules.

All values end as text: that is how programs receive them.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scalebox_hpc.config import keys
from scalebox_hpc.config.notes import Notes, did_you_mean
from scalebox_hpc.config.table import Table, kind_of
from scalebox_hpc.errors import Problem

Scalar = str | int | float | bool

_WORDS: Final = {str: "text", bool: "true or false", int: "whole number", float: "number"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter as declared, with the value it has now."""

    name: str
    type: str  # "text" | "whole number" | "number" | "true or false"
    default: str | None
    least: float | None
    most: float | None
    choices: tuple[str, ...]
    help: str
    is_path: bool
    value: str | None  # None: required, and not given


def read_params(top: Table, given: Mapping[str, str], directory: Path, cwd: Path) -> dict[str, Parameter]:
    """Read all parameters.

    `given` holds the texts of `-p`. Paths are made absolute: defaults against `directory`, given
    ones against `cwd`.
    """
    table = top.table("params")
    params: dict[str, Parameter] = {}
    for name in table.data:
        if not re.fullmatch(keys.PARAM_NAME, name):
            table.problem(
                name, "is no name for a parameter", "use letters, digits, _ and -, and begin with a letter"
            )
            continue
        params[name] = _Reader(table, name, given.get(name), directory, cwd).read()
    _refuse_unknown(given, params, top.notes)
    _refuse_same_variable(table, params)
    return params


def variable(name: str) -> str:
    """Return the environment variable that holds a parameter.

    >>> variable("max-size")
    'SBX_PARAM_MAX_SIZE'
    """
    return "SBX_PARAM_" + re.sub(r"[^A-Z0-9]", "_", name.upper())


def show(value: Scalar) -> str:
    """Write a value as programs receive it.

    >>> show(True), show(10_000), show(1e-3)
    ('true', '10000', '0.001')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)


class _Reader:
    def __init__(self, table: Table, name: str, given: str | None, directory: Path, cwd: Path) -> None:
        self._name, self._given = name, given
        self._directory, self._cwd = directory, cwd
        value = table.data[name]
        rules: dict[str, Any] = value if isinstance(value, dict) else {"default": value}
        self._rules = Table(rules, table.at(name), table.notes)
        self._has_rules = isinstance(value, dict)

    def read(self) -> Parameter:
        if self._has_rules:
            self._rules.allow(keys.PARAM)
        is_path = self._rules.flag("path", False)
        default = self._scalar("default")
        least, most = self._bound("min"), self._bound("max")
        choices = self._choices()
        kind = self._kind(default, choices)
        if kind not in (int, float):
            self._refuse_bounds()
        shown = None if default is None else self._path(show(default), self._directory, is_path)
        if default is None and "default" in self._rules.data:
            shown = ""  # a bad one, noted by now
        value = self._value(kind, default, shown, is_path)
        if value is not None:
            self._check(value, kind, least, most, choices)
        help_ = self._rules.text("help") or ""
        return Parameter(
            self._name, _WORDS[kind], shown, least, most, tuple(map(show, choices)), help_, is_path, value
        )

    def _scalar(self, key: str) -> Scalar | None:
        value = self._rules.data.get(key)
        if value is None or (isinstance(value, (str, int, float, bool)) and not _is_odd(value)):
            return value
        at = self._rules.at(key) if self._has_rules else self._rules.path
        fact = f"{value!r} cannot be a value" if isinstance(value, (str, float)) else f"is {kind_of(value)}"
        self._rules.notes.problem(at, fact, "a parameter is a text, a number, or true or false")
        return None

    def _bound(self, key: str) -> float | None:
        value = self._rules.data.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self._rules.problem(
                key, f"must be a number, not {kind_of(value)}", "write a number, without quotes"
            )
            return None
        return value

    def _choices(self) -> tuple[Scalar, ...]:
        value = self._rules.data.get("choices", [])
        if not isinstance(value, list) or not all(
            isinstance(item, (str, int, float, bool)) for item in value
        ):
            self._rules.problem("choices", "must be a list of values", 'write choices = ["a", "b"]')
            return ()
        return tuple(value)

    def _kind(self, default: Scalar | None, choices: tuple[Scalar, ...]) -> type:
        bounds = [self._rules.data[key] for key in ("min", "max") if key in self._rules.data]
        for sample in ([] if default is None else [default]) + list(choices[:1]) + bounds:
            if type(sample) in _WORDS:
                return type(sample)
        return str

    def _refuse_bounds(self) -> None:
        for key in ("min", "max"):
            if key in self._rules.data:
                self._rules.problem(
                    key, "is for numbers, and the default is none", "take it out, or use choices"
                )

    def _value(self, kind: type, default: Scalar | None, shown: str | None, is_path: bool) -> str | None:
        if self._given is None:
            return shown
        value = convert(self._given, kind)
        if value is None:
            self._note(
                f"{self._given!r} is not a {_WORDS[kind]}",
                f"give one, as in -p {self._name}={_EXAMPLES[kind]}",
            )
            return shown or ""
        return self._path(show(value), self._cwd, is_path)

    def _check(
        self, value: str, kind: type, least: float | None, most: float | None, choices: tuple[Scalar, ...]
    ) -> None:
        if choices and value not in map(show, choices):
            remedy = did_you_mean(value, list(map(show, choices)), "choices")
            self._note(f"{value!r} is none of its choices", remedy)
        number = convert(value, kind) if kind in (int, float) else None
        if isinstance(number, (int, float)):
            if least is not None and number < least:
                self._note(f"{value} is below its min", f"give at least {least:g}")
            if most is not None and number > most:
                self._note(f"{value} is above its max", f"give at most {most:g}")

    def _path(self, text: str, base: Path, is_path: bool) -> str:
        return os.path.normpath(base / Path(text).expanduser()) if is_path and text else text

    def _note(self, problem: str, remedy: str) -> None:
        if self._given is None:
            at = self._rules.at("default") if self._has_rules else self._rules.path
            self._rules.notes.problem(at, problem, remedy)
        else:
            self._rules.notes.add(Problem(f"-p {self._name}={self._given}", "", None, problem, remedy))


_EXAMPLES: Final = {str: "text", bool: "true", int: "10", float: "0.5"}


def convert(text: str, kind: type) -> Scalar | None:
    """Read the text of a `-p` as the type of the parameter, None when it is not of that type.

    >>> convert("1_000", int), convert("1e-3", float), convert("yes", bool), convert("1.5", int)
    (1000, 0.001, None, None)
    """
    if kind is bool:
        return {"true": True, "false": False}.get(text.strip().lower())
    if kind is str:
        return None if _is_odd(text) else text
    try:
        value: int | float = int(text) if kind is int else float(text)
    except ValueError:
        return None
    return None if _is_odd(value) else value


def _is_odd(value: Scalar) -> bool:
    """Tell what no program can be given in a portable way: NUL, infinity, not a number."""
    return (isinstance(value, str) and "\0" in value) or (
        isinstance(value, float) and not math.isfinite(value)
    )


def require_values(params: Mapping[str, Parameter], top: Table) -> None:
    """Note every parameter that has no default and was not given."""
    for param in params.values():
        if param.value is None:
            remedy = f"give it: -p {param.name}={_example(param)}"
            top.notes.problem(("params", param.name), "has no default and was not given", remedy)


def _example(param: Parameter) -> str:
    return "FILE" if param.is_path else param.choices[0] if param.choices else "VALUE"


def _refuse_unknown(given: Mapping[str, str], params: Mapping[str, Parameter], notes: Notes) -> None:
    for name, value in given.items():
        if name not in params:
            remedy = did_you_mean(name, params, "parameters") or "this pipeline has no [params]"
            notes.add(Problem(f"-p {name}={value}", "", None, f"there is no parameter {name!r}", remedy))


def _refuse_same_variable(table: Table, params: Mapping[str, Parameter]) -> None:
    seen: dict[str, str] = {}
    for name in params:
        other = seen.setdefault(variable(name), name)
        if other != name:
            table.problem(name, f"and {other} would both be ${variable(name)}", "call one of them otherwise")
