"""Turn `run` and `shell` of a module into a Command, and refuse what would not do what it says.

It looks at texts only; whether the programs and files they name exist is looked at in `files`
and `program`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from scalebox_hpc.config import templates
from scalebox_hpc.config.shell_text import ShellText, ShellWord, scan
from scalebox_hpc.config.table import Table, kind_of
from scalebox_hpc.config.templates import Filler
from scalebox_hpc.domain.pipeline import CONTRACT_FILES, Command, Part, Template

BASH: Final = ("bash", "-euo", "pipefail", "-c")
_OF_A_GATHER: Final = (("members",), ("bodies",))
_EVAL: Final = re.compile(r"(?<![\w./-])eval(?![\w./-])")
_POSIX_SHELL: Final = re.compile(r"(?:ba|da|k|z|a|mk)?sh$|busybox$")
_FORBIDDEN_WHY: Final = "double the braces to mean them literally, as in {{body}}"


@dataclass(frozen=True, slots=True)
class Run:
    """A module's command, and what the further checks need to know of it.

    `words`: the words of the shell text, or of the list (the first in place "command").
    `literals`: all constant text, to look for names of variables in.
    """

    command: Command
    words: tuple[ShellWord, ...] = ()
    literals: str = ""
    uses_message: bool = False
    is_list: bool = False


def read_run(module: Table, filler: Filler, *, is_gather: bool) -> Run:
    """Read `run` and `shell`. Notes every problem; returns an empty Run when there is no command."""
    value = module.data.get("run")
    if value is None and "use" in module.data:
        return Run(Command())  # why the standard module brought none was noted
    if value is None:
        module.problem("run", "is missing", 'say what runs, as in run = "./program {body}"')
        return Run(Command())
    if isinstance(value, str) and value.strip() and "\0" not in value:
        run = _shell_run(module, value, filler)
    elif isinstance(value, list) and value:
        run = _list_run(module, filler)
    else:
        fact = "is empty" if value in ("", []) or isinstance(value, str) else f"is {kind_of(value)}"
        module.problem("run", fact, "write a shell text or a list of words")
        return Run(Command())
    if not is_gather:
        _refuse_gather_placeholders(module, run)
    return run


def _list_run(module: Table, filler: Filler) -> Run:
    texts = module.texts("run")
    words = tuple(_template(module, filler, text, index) for index, text in enumerate(texts))
    if "shell" in module.data and module.notes.origin(module.at("shell"))[1] != ("defaults", "shell"):
        module.problem(
            "shell", "is for a `run` text, and this `run` is a list", "make `run` a text, or take it out"
        )
    if (
        len(words) > 2
        and _is_shell(words[0])
        and _takes_text(words[1])
        and any(templates.placeholders(words[2]))
    ):
        remedy = "make `run` one text: placeholders become quoted arguments there"
        module.notes.warn(module.at("run", 2), "a message's value becomes shell text here", remedy)
    if words and templates.literal(words[0]) == "":
        module.problem("run", "its first word is empty", "the first word is the program")
    shown = tuple(
        ShellWord(
            templates.literal(word) or "",
            "argument" if index else "command",
            templates.literal(word) is not None,
            False,
        )
        for index, word in enumerate(words)
    )
    return Run(Command(words=words), shown, _literals(words), _uses_message(words), is_list=True)


def _shell_run(module: Table, text: str, filler: Filler) -> Run:
    parsed = templates.parse(text)
    _check_shell_text(module, text, parsed)
    templates.warn_of_near_misses(text, module.at("run"), module.notes)
    order: list[tuple[str, ...]] = []
    pieces: list[str] = []
    for part in parsed:
        if isinstance(part, str):
            pieces.append(part)
            continue
        if part not in order:
            order.append(part)
        number = order.index(part) + 1
        pieces.append(f'"${number}"' if number < 10 else f'"${{{number}}}"')
    values = tuple(_fill(module, filler, part) for part in order)
    shell = _shell(module, has_values=bool(values))
    command = Command(text="".join(pieces), values=values, shell=shell)
    words = [*scan(parsed).words, *_shell_files(shell)]
    words += [ShellWord(value, "argument", True, False) for value in map(templates.literal, values) if value]
    literals = _literals((parsed, *values))
    return Run(command, tuple(words), literals, _uses_message(values))


def _template(module: Table, filler: Filler, text: str, index: int) -> Template:
    return filler.template(text, module.at("run", index), (*templates.WORDS, "headers"), _FORBIDDEN_WHY)


def _fill(module: Table, filler: Filler, part: tuple[str, ...]) -> Template:
    if part[0] == "params":
        return templates.join((filler.param(part[1], module.at("run")),))
    return (part,)


def _check_shell_text(module: Table, text: str, parsed: Template) -> None:
    found = scan(parsed)
    for part in dict.fromkeys(found.quoted):
        shown = templates.show(part)
        remedy = (
            f'a placeholder is quoted by itself: write it outside, as in "a-"{shown}; {{{shown}}} is literal'
        )
        module.problem("run", f"{shown} stands inside quotes", remedy)
    if any(templates.placeholders(parsed)):
        remedy = "give the value to a program as an argument, or read $SBX_BODY and $SBX_HEADER_<NAME> there"
        if "<<" in text:
            module.problem("run", "placeholders and `<<` cannot be used in one text", remedy)
        if _EVAL.search(text):
            module.problem("run", "placeholders and `eval` cannot be used in one text", remedy)
    _refuse_lost_files(module, found)


def _refuse_lost_files(module: Table, found: ShellText) -> None:
    """Refuse `cd elsewhere; ... > messages.txt`: the agent would never see that file."""
    for word in found.words:
        name = word.text.removeprefix("./")
        if word.moved and word.place == "target" and name in CONTRACT_FILES:
            fact = f"{name} is written after `cd`, and is read from the work directory only"
            module.problem("run", fact, f'write `> "$SBX_WORK/{name}"`, or put the `cd` in parentheses')


def _shell(module: Table, *, has_values: bool) -> tuple[str, ...]:
    shell = module.texts("shell")
    if not shell:
        if module.data.get("shell") == []:
            module.problem("shell", "is empty", 'write the interpreter up to -c, as in ["bash", "-c"]')
        return BASH
    if len(shell) < 2 or not (shell[-1].startswith("-") and shell[-1].endswith("c")):
        module.problem("shell", "its last word must be the option that takes a text", 'end it with "-c"')
    elif has_values and not _POSIX_SHELL.search(shell[-2] if shell[-2][:1] != "-" else shell[0]):
        fact = f"{shell[0]} may not know how placeholders are passed: as $1, $2, ..."
        module.notes.warn(module.at("shell"), fact, "read $SBX_BODY there instead")
    return shell


def _shell_files(shell: tuple[str, ...]) -> list[ShellWord]:
    if shell == BASH:
        return []
    return [
        ShellWord(word, "argument" if index else "command", True, False) for index, word in enumerate(shell)
    ]


def _refuse_gather_placeholders(module: Table, run: Run) -> None:
    used = {
        part for word in (*run.command.words, *run.command.values) for part in templates.placeholders(word)
    }
    for part in _OF_A_GATHER:
        if part in used:
            fact = f"{templates.show(part)} has no meaning: the module has no `gather`"
            module.problem("run", fact, 'add gather = { by = "all" }, or use {body}')


def _is_shell(word: Template) -> bool:
    text = templates.literal(word)
    return text is not None and bool(_POSIX_SHELL.search(text))


def _takes_text(word: Template) -> bool:
    text = templates.literal(word) or ""
    return text.startswith("-") and text.endswith("c")


def _literals(words: tuple[Template, ...]) -> str:
    parts: list[Part] = [part for word in words for part in word]
    return "\n".join(part for part in parts if isinstance(part, str))


def _uses_message(words: tuple[Template, ...]) -> bool:
    kinds = {part[0] for word in words for part in templates.placeholders(word)}
    return bool(kinds & {"body", "headers", "members", "bodies"})
