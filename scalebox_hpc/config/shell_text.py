"""Read the shell text of a `run`: its words, what is quoted, where it changes directory.

A scanner, not a shell: it follows quotes, substitutions, subshells, redirections and commands
well enough to warn people, and executes nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal

from scalebox_hpc.domain.pipeline import Part, Template

Place = Literal["command", "argument", "target"]

_BEFORE_COMMANDS: Final = (
    "if then else elif do while until ! time { } exec nice nohup command builtin fi done"
)
_STILL_COMMAND: Final = frozenset(_BEFORE_COMMANDS.split())
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*\+?=")
_HOME_AGAIN: Final = frozenset({"$SBX_WORK", "${SBX_WORK}", "-"})


@dataclass(frozen=True, slots=True)
class ShellWord:
    """One word, its quotes taken off."""

    text: str
    place: Place  # "target": what `>` writes to
    plain: bool  # no placeholder and no expansion in it
    moved: bool  # the shell may have left the work directory before


@dataclass(frozen=True, slots=True)
class ShellText:
    """What was found: all words in order, and placeholders that stand inside quotes."""

    words: tuple[ShellWord, ...]
    quoted: tuple[tuple[str, ...], ...]


def scan(template: Template) -> ShellText:
    """Scan a shell text in which placeholders are parts of their own.

    >>> [(w.text, w.place) for w in scan(("./a ", ("body",), " > out; ls",)).words]
    [('./a', 'command'), ('', 'argument'), ('out', 'target'), ('ls', 'command')]
    >>> scan(("echo '", ("body",), "'")).quoted
    (('body',),)
    """
    return _Scan(template).run()


@dataclass(slots=True)
class _Frame:
    """One level of shell: the text itself, a subshell, a substitution."""

    end: str = ""  # the character that closes it
    quote: str = ""  # "", "'", '"', "$'"
    word: str | None = None
    plain: bool = True
    place: Place = "command"
    redirect: bool = False
    moved: bool = False
    command: str = ""


@dataclass(slots=True)
class _Scan:
    template: Template
    items: list[Part] = field(default_factory=list)
    at: int = 0
    frames: list[_Frame] = field(default_factory=lambda: [_Frame()])
    words: list[ShellWord] = field(default_factory=list)
    quoted: list[tuple[str, ...]] = field(default_factory=list)

    def run(self) -> ShellText:
        for part in self.template:
            self.items.extend(part if isinstance(part, str) else (part,))
        while self.at < len(self.items):
            self._step(self.items[self.at])
            self.at += 1
        while self.frames:
            self._end_word()
            self.frames.pop()
        return ShellText(tuple(self.words), tuple(self.quoted))

    def _step(self, item: Part) -> None:
        frame = self.frames[-1]
        if not isinstance(item, str):
            if frame.quote:
                self.quoted.append(item)
            self._append("", plain=False)
        elif frame.quote:
            self._in_quotes(frame, item)
        else:
            self._bare(frame, item)

    def _in_quotes(self, frame: _Frame, char: str) -> None:
        if char == frame.quote[-1]:
            frame.quote = ""
        elif char == "\\" and frame.quote != "'":
            self._escaped()
        elif char == "$" and frame.quote == '"' and self._ahead(1) == "(":
            self._push(")", 1)
        else:
            self._append(char, plain=not (char in "$`" and frame.quote == '"'))

    def _bare(self, frame: _Frame, char: str) -> None:
        if char in "'\"":
            frame.quote = char
            self._append("")
        elif char == "\\":
            self._escaped()
        elif char == "$":
            self._dollar(frame)
        elif char == "`":
            if frame.end == "`":
                self._pop()
            else:
                self._push("`", 0)
        elif char == "#" and frame.word is None:
            while self._ahead(1) not in (None, "\n"):
                self.at += 1
        else:
            self._mark(frame, char)

    def _mark(self, frame: _Frame, char: str) -> None:
        if char in " \t":
            self._end_word()
        elif char in "\n;|&":
            self._end_command(frame)
        elif char == "(":
            self._end_word()
            frame.redirect = False
            self._push(")", 0)
        elif char == ")":
            if frame.end == ")":
                self._pop()
            else:
                self._end_command(frame)
        elif char in "<>":
            self._redirect(frame, char)
        else:
            self._append(char, plain=char not in "*?[")

    def _redirect(self, frame: _Frame, char: str) -> None:
        if frame.word is not None and frame.word.isdigit():
            frame.word = None
        self._end_word()
        while self._ahead(1) in (">", "<", "&", "|"):
            self.at += 1
        frame.redirect = char == ">"

    def _dollar(self, frame: _Frame) -> None:
        following = self._ahead(1)
        if following == "(":
            self._push(")", 1)
        elif following == "'":
            self.at += 1
            frame.quote = "$'"
            self._append("")
        else:
            self._append("$", plain=False)

    def _escaped(self) -> None:
        self.at += 1
        item = self.items[self.at] if self.at < len(self.items) else ""
        if not isinstance(item, str):
            self.quoted.append(item)
        elif item != "\n":
            self._append(item)

    def _ahead(self, count: int) -> str | None:
        index = self.at + count
        item = self.items[index] if index < len(self.items) else None
        return item if isinstance(item, str) else None

    def _append(self, text: str, plain: bool = True) -> None:
        frame = self.frames[-1]
        frame.word = (frame.word or "") + text
        frame.plain = frame.plain and plain

    def _push(self, end: str, skip: int) -> None:
        if skip or end == "`":
            self._append("$", plain=False)
        self.at += skip
        self.frames.append(_Frame(end=end, moved=self.frames[-1].moved))

    def _pop(self) -> None:
        self._end_word()
        self.frames.pop()

    def _end_command(self, frame: _Frame) -> None:
        self._end_word()
        frame.place, frame.command, frame.redirect = "command", "", False

    def _end_word(self) -> None:
        frame = self.frames[-1]
        if frame.word is None:
            return
        text, plain = frame.word, frame.plain
        place: Place = "target" if frame.redirect else frame.place
        frame.word, frame.plain, frame.redirect = None, True, False
        if place == "command" and ((plain and text in _STILL_COMMAND) or _ASSIGNMENT.match(text)):
            self.words.append(ShellWord(text, "argument", plain, frame.moved))
            return  # the command is yet to come
        self.words.append(ShellWord(text, place, plain, frame.moved))
        if place == "command":
            frame.place, frame.command = "argument", text
            frame.moved = frame.moved or (plain and text in ("cd", "pushd"))
        elif frame.command in ("cd", "pushd") and text in _HOME_AGAIN:
            frame.moved = False
