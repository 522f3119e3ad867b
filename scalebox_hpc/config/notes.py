"""Collect everything that is wrong or doubtful in one file, so that it can be said at once.

It knows where keys stand; it does not know what they mean.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from scalebox_hpc.config.toml_lines import KeyPath, find_lines, line_of
from scalebox_hpc.errors import PipelineErrors, Problem

MOST_BYTES: Final = 16 << 20  # of a file that a person wrote
# tomllib takes a minute for a key of ten thousand parts.
_ENDLESS_KEY: Final = re.compile(r"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){100}""")


class Notes:
    """Problems and warnings about one file, each with its key and line.

    `origins` says of a key that it was really written elsewhere (in `[defaults]`, or in another
    file): the notes of that file, and the place in it. Notes about a key name the real place,
    and the same note is kept only once.
    """

    def __init__(self, file: str, lines: Mapping[KeyPath, int]) -> None:
        self.file = file
        self.origins: dict[KeyPath, tuple[Notes, KeyPath]] = {}
        self._lines = lines
        self._problems: dict[Problem, None] = {}
        self._warnings: dict[Problem, None] = {}

    def problem(self, path: KeyPath, problem: str, remedy: str = "") -> None:
        """Note what makes the file unusable."""
        self._problems[self._make(path, problem, remedy)] = None

    def warn(self, path: KeyPath, problem: str, remedy: str = "") -> None:
        """Note what is probably not meant."""
        self._warnings[self._make(path, problem, remedy)] = None

    def add(self, problem: Problem) -> None:
        """Note a problem of another file or of the command line."""
        self._problems[problem] = None

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """All warnings, in the order of the file."""
        return _in_order(self._warnings)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All problems, in the order of the file."""
        return _in_order(self._problems)

    def raise_problems(self) -> None:
        """Raise PipelineErrors when there is any problem."""
        if self._problems:
            raise PipelineErrors(self.problems)

    def line(self, path: KeyPath) -> int | None:
        """Return the line of a key of this file."""
        return line_of(self._lines, path)

    def origin(self, path: KeyPath) -> tuple[Notes, KeyPath]:
        """Return where a key was really written: the notes of that file, and the place in it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                notes, start = self.origins[path[:length]]
                return notes, (*start, *path[length:])
        return self, path

    def _make(self, path: KeyPath, problem: str, remedy: str) -> Problem:
        notes, real = self.origin(path)
        return Problem(notes.file, show_path(real), line_of(notes._lines, real), problem, remedy)


def read_toml(path: Path) -> tuple[dict[str, Any], Notes]:
    """Read a TOML file; return its data and empty notes about it.

    Raises PipelineErrors when the file cannot be read or is not TOML, with line and column.
    """
    file = str(path)
    try:
        with path.open("rb") as source:
            content = source.read(MOST_BYTES + 1)
        text = content.decode()
    except IsADirectoryError:
        remedy = f"name the file itself: {path / 'pipeline.toml'}"
        raise PipelineErrors([Problem(file, "", None, "is a directory", remedy)]) from None
    except FileNotFoundError:
        remedy = "give the path of a pipeline.toml"
        raise PipelineErrors([Problem(file, "", None, "there is no such file", remedy)]) from None
    except UnicodeDecodeError as error:
        remedy = "save the file as UTF-8"
        raise PipelineErrors([Problem(file, "", None, f"is not UTF-8: {error}", remedy)]) from None
    except OSError as error:
        raise PipelineErrors([Problem(file, "", None, f"cannot be read: {error.strerror}")]) from None
    if len(content) > MOST_BYTES:
        raise PipelineErrors([Problem(file, "", None, f"is larger than {MOST_BYTES} bytes")])
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if _ENDLESS_KEY.search(text):
        raise PipelineErrors([Problem(file, "", None, "has a key of more than a hundred parts")])
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PipelineErrors([_syntax_problem(file, text, str(error))]) from None
    except (RecursionError, ValueError) as error:  # nested too deeply; a number of too many digits
        raise PipelineErrors([Problem(file, "", None, f"is not TOML that we can read: {error}")]) from None
    return data, Notes(file, find_lines(text))


def show_path(path: KeyPath) -> str:
    """Write a key path as people do.

    >>> show_path(("modules", "count", "retry", 0, "on"))
    'modules.count.retry[0].on'
    """
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def did_you_mean(word: str, known: Iterable[str], what: str = "") -> str:
    """Return a remedy that names the nearest known word, or lists all of them.

    >>> did_you_mean("coutn", ["count", "total"], "modules")
    'did you mean `count`? modules: count, total'
    >>> did_you_mean("xyz", [])
    ''
    """
    names = list(known)
    near = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    guess = f"did you mean `{near[0]}`?" if near else ""
    listed = f"{what}: {', '.join(names)}" if what and names else ""
    return " ".join(part for part in (guess, listed) if part)


def _syntax_problem(file: str, text: str, message: str) -> Problem:
    match = re.search(r" ?\(at (?:line (\d+), column (\d+)|end of document)\)", message)
    if match is None:
        return Problem(file, "", None, f"is not TOML: {message}")
    line = int(match[1]) if match[1] else text.rstrip("\n").count("\n") + 1
    column = f", column {match[2]}" if match[2] else ""
    fact = message[: match.start()]
    return Problem(file, "", line, f"is not TOML: {fact}{column}", _syntax_remedy(fact, text, line))


def _syntax_remedy(fact: str, text: str, line: int) -> str:
    written = [*text.split("\n"), ""][line - 1].strip()
    if "Invalid value" in fact or "Expected newline" in fact:
        return f'texts stand in quotes, with their units, as in memory = "500M"; the line reads: {written}'
    if "overwrite" in fact.lower() or "twice" in fact or "duplicate" in fact.lower():
        return f"a key or table may stand only once; the line reads: {written}"
    return f"the line reads: {written}" if written else ""


def _in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda problem: problem.line or 0))
