"""Read typed values from one table of a file and note what is wrong with them.

Every reader returns its default after noting a problem, so that reading goes on to the next key.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from scalebox_hpc import units
from scalebox_hpc.config.keys import LATER, MERGED, MISPLACED
from scalebox_hpc.config.notes import Notes, did_you_mean
from scalebox_hpc.config.toml_lines import KeyPath

MOST: Final = 1_000_000_000
"""The largest count that makes sense anywhere."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Table:
    """One table: its keys, where it stands, and where to note what is wrong."""

    data: Mapping[str, Any]
    path: KeyPath
    notes: Notes

    def at(self, *key: str | int) -> KeyPath:
        """Return the path of a key of this table."""
        return (*self.path, *key)

    def problem(self, key: str, problem: str, remedy: str = "") -> None:
        """Note a problem with a key; the table as a whole when `key` is empty."""
        self.notes.problem(self.at(key) if key else self.path, problem, remedy)

    def allow(self, known: Collection[str], later: Collection[str] = LATER) -> None:
        """Refuse all keys but `known`; tables named `x-...` are passed over."""
        for key, value in self.data.items():
            if key in known or (key.startswith("x-") and isinstance(value, Mapping)):
                continue
            if key in later:
                self.problem(key, "not in this version", "take the key out; it will come later")
            else:
                remedy = MISPLACED.get(key) or did_you_mean(key, known, "keys here")
                self.problem(key, "unknown key", remedy)

    def over(self, under: Table) -> Table:
        """Return this table with what it does not say taken from `under`, and remember where that stands.

        A value wins as a whole; in the tables of MERGED key by key.
        """
        data = dict(self.data)
        for key, value in under.data.items():
            own = data.get(key)
            if own is None:
                data[key] = value
                self.notes.origins[self.at(key)] = (under.notes, under.at(key))
            elif key in MERGED and isinstance(value, dict) and isinstance(own, dict):
                data[key] = {**value, **own}
                for inner in value.keys() - own.keys():
                    self.notes.origins[self.at(key, inner)] = (under.notes, under.at(key, inner))
        return replace(self, data=data)

    def text(self, key: str, default: str | None = None) -> str | None:
        """Read a text without NUL."""
        value = self._typed(key, str, "a text in quotes")
        if value is not None and "\0" in value:
            self.problem(key, "holds a NUL character", "no program can be given one; take it out")
            return default
        return default if value is None else value

    def flag(self, key: str, default: bool) -> bool:
        """Read true or false."""
        value = self._typed(key, bool, "true or false, without quotes")
        return default if value is None else value

    def whole(self, key: str, default: int, least: int = 0, most: int = MOST) -> int:
        """Read a whole number within bounds, both inclusive."""
        value = self._typed(key, int, "a whole number, without quotes")
        if value is None:
            return default
        if not least <= value <= most:
            top = "" if value < least and most == MOST else f" and at most {most}"
            self.problem(key, f"{value} is out of range", f"write a whole number of at least {least}{top}")
            return default
        return value

    def number(self, key: str, default: float, least: float = 0.0) -> float:
        """Read a number of at least `least`."""
        value = self._typed(key, (int, float), "a number, without quotes")
        if value is None:
            return default
        if not least <= value < float("inf"):
            self.problem(key, f"{value} is out of range", f"write a number of at least {least:g}")
            return default
        return float(value)

    def duration_s(self, key: str, default: float, least: float = 0.0) -> float:
        """Read a duration such as "10m", in seconds."""
        value = self._unit(key, units.duration_s, "'30s', '10m', '2h'")
        if value is None:
            return default
        if value < least:
            fact = f"{self.data[key]} is too short"
            self.problem(key, fact, f"write at least {units.show_duration(least)}")
            return default
        return value

    def size_mib(self, key: str, default: int) -> int:
        """Read a size such as "500M", in MiB, rounded up."""
        value = self._unit(key, units.size_mib, "'500M', '16G'")
        return default if value is None else value

    def size_bytes(self, key: str, default: int) -> int:
        """Read a size such as "64K", in bytes."""
        value = self._unit(key, units.size_bytes, "'64K', '1M'")
        return default if value is None else value

    def choice(self, key: str, choices: Sequence[str], default: str) -> str:
        """Read one of some words."""
        value = self.text(key)
        if value is None:
            return default
        if value not in choices:
            self.problem(key, f"{value!r} is not a value it can have", did_you_mean(value, choices, "values"))
            return default
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Read a list of texts; empty when absent."""
        value = self.data.get(key, [])
        if not isinstance(value, list):
            example = f'["{value}"]' if isinstance(value, str) else '["...", "..."]'
            self.problem(key, f"must be a list of texts, not {kind_of(value)}", f"write {key} = {example}")
            return ()
        for index, item in enumerate(value):
            if not isinstance(item, str) or "\0" in item:
                fact = (
                    f"must be a text, not {kind_of(item)}"
                    if not isinstance(item, str)
                    else "holds a NUL character"
                )
                self.notes.problem(self.at(key, index), fact, "put it in quotes")
        return tuple(item for item in value if isinstance(item, str) and "\0" not in item)

    def table(self, key: str) -> Table:
        """Read a table; an empty one when absent."""
        value = self.data.get(key, {})
        if not isinstance(value, Mapping):
            self.problem(key, f"must be a table, not {kind_of(value)}", f"write {key} = {{ ... }}")
            value = {}
        return Table(value, self.at(key), self.notes)

    def tables(self, key: str) -> list[Table]:
        """Read a table of tables, such as `[modules]`; those that are none are noted and left out."""
        outer = self.table(key)
        for name, value in outer.data.items():
            if not isinstance(value, Mapping):
                fact = f"must be a table, not {kind_of(value)}"
                outer.problem(name, fact, f"begin it with a line [{'.'.join(map(str, outer.at(name)))}]")
        return [outer.table(name) for name, value in outer.data.items() if isinstance(value, Mapping)]

    def _typed(self, key: str, types: type[_T] | tuple[type[_T], ...], wanted: str) -> _T | None:
        value = self.data.get(key)
        if value is None:
            return None
        if not isinstance(value, types) or (isinstance(value, bool) and types is not bool):
            self.problem(key, f"must be {wanted.split(',')[0]}, not {kind_of(value)}", f"write {wanted}")
            return None
        return value

    def _unit(self, key: str, read: Callable[[str], _T], examples: str) -> _T | None:
        value = self.data.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            fact = f"{value} has no unit" if isinstance(value, (int, float)) else f"is {kind_of(value)}"
            self.problem(key, fact, f"write a text with a unit: {examples}")
            return None
        try:
            return read(value)
        except ValueError as error:
            fact, _, remedy = str(error).partition("; ")
            self.problem(key, fact, remedy)
            return None


def kind_of(value: object) -> str:
    """Name the TOML kind of a value, for a sentence.

    >>> kind_of(True), kind_of([1]), kind_of("x")
    ('true or false', 'a list', 'a text')
    """
    kinds: list[tuple[type, str]] = [
        (bool, "true or false"),
        (str, "a text"),
        (int, "a whole number"),
        (float, "a number"),
        (list, "a list"),
        (dict, "a table"),
    ]
    return next((name for kind, name in kinds if isinstance(value, kind)), "a date or time")
