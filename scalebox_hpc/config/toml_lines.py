"""Find the line of every key in a TOML text.

Works on texts that `tomllib` has accepted; it does not judge them and yields no values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

KeyPath = tuple[str | int, ...]
"""Names of tables and keys from the top, numbers for the places in arrays."""

_STRINGS: Final = "|".join(
    (
        r'"""(?:\\.|[^\\])*?"""(?:"{0,2})',
        r"'''.*?'''(?:'{0,2})",
        r'"(?:\\.|[^"\\\n])*"',
        r"'[^'\n]*'",
    )
)
_TOKEN: Final = re.compile(
    rf"(?P<text>{_STRINGS})"
    r"|(?P<comment>\#[^\n]*)"
    r"|(?P<newline>\n)"
    r"|(?P<mark>[\[\]{}=,.])"
    r"|(?P<bare>[^\s\[\]{}=,.\#\"']+)",
    re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)")
_ESCAPES: Final = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b"}


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def find_lines(text: str) -> Mapping[KeyPath, int]:
    """Return the 1-based line on which each table, key and array item of `text` begins.

    >>> lines = find_lines('a = 1\\n[b.c]\\nd = [\\n  {e = 2}]')
    >>> lines[("a",)], lines[("b", "c", "d")], lines[("b", "c", "d", 0, "e")]
    (1, 3, 4)
    """
    return _Scan(text).lines()


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int | None:
    """Return the line of the nearest thing that encloses `path`, None for the file as a whole."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


class _Scan:
    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self._lines: dict[KeyPath, int] = {}
        self._counts: dict[KeyPath, int] = {}  # arrays of tables: how many so far

    def lines(self) -> Mapping[KeyPath, int]:
        prefix: KeyPath = ()
        while self._at < len(self._tokens):
            if self._peek().kind in ("newline", "comment"):
                self._at += 1
            elif self._peek().text == "[" and self._peek().kind == "mark":
                prefix = self._header()
            else:
                self._pair(prefix)
        return self._lines

    def _peek(self) -> _Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else _Token("end", "", 0)

    def _take(self) -> _Token:
        token = self._peek()
        self._at += 1
        return token

    def _is_mark(self, marks: str) -> bool:
        return self._peek().kind == "mark" and self._peek().text in marks

    def _header(self) -> KeyPath:
        line = self._take().line
        is_array = self._is_mark("[")
        if is_array:
            self._at += 1
        names = self._names("]")
        self._at += 2 if is_array else 1
        path: KeyPath = ()
        for name in names[:-1]:
            path = self._enter((*path, name), line)
        path = (*path, names[-1])
        if is_array:
            self._counts[path] = self._counts.get(path, -1) + 1
        return self._enter(path, line)

    def _enter(self, path: KeyPath, line: int) -> KeyPath:
        self._lines.setdefault(path, line)
        if path in self._counts:
            path = (*path, self._counts[path])
            self._lines.setdefault(path, line)
        return path

    def _names(self, end: str) -> list[str]:
        names: list[str] = []
        while not self._is_mark(end) and self._peek().kind != "end":
            token = self._take()
            if token.kind in ("text", "bare"):
                names.append(_unquote(token.text))
        return names

    def _pair(self, prefix: KeyPath) -> None:
        line = self._peek().line
        path = prefix
        for name in self._names("="):
            path = (*path, name)
            self._lines.setdefault(path, line)
        self._at += 1
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        if self._is_mark("["):
            self._items(path, "]")
        elif self._is_mark("{"):
            self._items(path, "}")
        else:
            while self._peek().kind not in ("newline", "comment", "end") and not self._is_mark(",]}"):
                self._at += 1

    def _items(self, path: KeyPath, end: str) -> None:
        """Pass over an array or an inline table, noting what is in it."""
        self._at += 1
        index = 0
        while not self._is_mark(end) and self._peek().kind != "end":
            if self._peek().kind in ("newline", "comment") or self._is_mark(","):
                self._at += 1
            elif end == "}":
                self._pair(path)
            else:
                self._lines[(*path, index)] = self._peek().line
                self._value((*path, index))
                index += 1
        self._at += 1


def _tokens(text: str) -> Iterator[_Token]:
    line, end = 1, 0
    for match in _TOKEN.finditer(text):
        line += text.count("\n", end, match.start())
        yield _Token(match.lastgroup or "", match[0], line)
        end = match.start()


def _unquote(text: str) -> str:
    if text.startswith("'"):
        return text[1:-1]
    if text.startswith('"'):
        return _ESCAPE.sub(_escaped, text[1:-1])
    return text


def _escaped(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code[1:], 16)) if code[0] in "uU" else _ESCAPES.get(code, code)
