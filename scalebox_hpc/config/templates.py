"""Parse texts with placeholders, and fill in parameters.

What remains after that (`{body}` and its like) is filled in for each attempt, by the agent.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from scalebox_hpc.config.keys import HEADER_NAME, PARAM_NAME
from scalebox_hpc.config.notes import Notes, did_you_mean
from scalebox_hpc.config.toml_lines import KeyPath
from scalebox_hpc.domain.pipeline import Part, Template

WORDS: Final = ("body", "task", "slot", "members", "bodies")
_NAME: Final = rf"(?:{'|'.join(WORDS)}|params\.{PARAM_NAME}|headers\.{HEADER_NAME})"
_TOKEN: Final = re.compile(rf"\$\{{|\{{\{{(?P<literal>{_NAME})\}}\}}|\{{(?P<name>{_NAME})\}}")
_NEAR: Final = re.compile(r"(?<![${])\{([A-Za-z_]+)((?:\.[A-Za-z0-9_.-]*)?)\}(?!\})")


def parse(text: str) -> Template:
    """Split a text at its placeholders; all other braces are literal.

    >>> parse("x={body} ${body} {{body}} {headers.a}")
    ('x=', ('body',), ' ${body} {body} ', ('headers', 'a'))
    """
    parts: list[Part] = []
    end = 0
    for match in _TOKEN.finditer(text):
        parts.append(text[end : match.start()])
        end = match.end()
        if match["name"]:
            parts.append(tuple(match["name"].split(".", 1)))
        else:
            parts.append("{" + match["literal"] + "}" if match["literal"] else match[0])
    parts.append(text[end:])
    return join(parts)


def join(parts: Collection[Part]) -> Template:
    """Melt neighbouring literals into one; drop empty ones."""
    merged: list[Part] = []
    for part in parts:
        last = merged[-1] if merged else None
        if isinstance(part, str) and isinstance(last, str):
            merged[-1] = last + part
        elif part != "":
            merged.append(part)
    return tuple(merged)


def literal(template: Template) -> str | None:
    """Return the text of a template without placeholders, None if it has any.

    >>> literal(parse("a{{body}}")), literal(parse("{body}")), literal(())
    ('a{body}', None, '')
    """
    return "".join(map(str, template)) if all(isinstance(part, str) for part in template) else None


def show(part: tuple[str, ...]) -> str:
    """Write a placeholder as it stands in the file."""
    return "{" + ".".join(part) + "}"


def placeholders(template: Template) -> Iterator[tuple[str, ...]]:
    """Yield the placeholders of a template."""
    return (part for part in template if not isinstance(part, str))


@dataclass(frozen=True, slots=True)
class Filler:
    """Fills parameters into the texts of one module, and remembers which were used."""

    values: Mapping[str, str]
    known: Collection[str]  # all that are declared: those without a usable value were noted already
    notes: Notes
    used: set[str]

    def template(self, text: str, path: KeyPath, allowed: Collection[str], why: str) -> Template:
        """Parse `text`, fill in parameters, and refuse placeholders other than `allowed`."""
        parts: list[Part] = []
        for part in parse(text):
            if isinstance(part, str):
                parts.append(part)
            elif part[0] == "params":
                parts.append(self.param(part[1], path))
            elif part[0] in allowed:
                parts.append(part)
            else:
                self.notes.problem(path, f"{show(part)} cannot be used here", why)
        warn_of_near_misses(text, path, self.notes)
        return join(parts)

    def text(self, text: str, path: KeyPath) -> str:
        """Fill parameters into a text that can have no other placeholders."""
        why = "only {params.NAME} can; double the braces to mean them literally"
        return literal(self.template(text, path, (), why)) or ""

    def param(self, name: str, path: KeyPath) -> str:
        """Return a parameter's value; note it when there is none of that name."""
        self.used.add(name)
        if name not in self.known:
            remedy = did_you_mean(name, self.known, "parameters") or f"add `{name} = ...` below [params]"
            self.notes.problem(path, f"there is no parameter {name!r}", remedy)
        return self.values.get(name, "")


def warn_of_near_misses(text: str, path: KeyPath, notes: Notes) -> None:
    """Warn of `{bdy}` and `{param.x}`, which are literal but look like placeholders."""
    for match in _NEAR.finditer(text):
        word, rest = match[1], match[2]
        if (word in WORDS and not rest) or _TOKEN.match(match[0]):
            continue
        known = ("params", "headers") if rest else WORDS
        near = [word] if word in known else difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.75)
        if near:
            remedy = f"did you mean {{{near[0]}{rest}}}?"
            notes.warn(path, f"{match[0]} is no placeholder and stays as it is", remedy)
