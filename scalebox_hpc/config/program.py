"""Look whether the program that a module starts can be found, as far as one can tell from here.

A program inside an image, or on the nodes of another cluster, is not judged.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scalebox_hpc.config.command import Run
from scalebox_hpc.config.files import near_name, normal_name
from scalebox_hpc.config.notes import did_you_mean
from scalebox_hpc.config.table import Table

_HARMLESS: Final = "set export echo printf mkdir test [ [[ true : umask ulimit unset shopt trap sleep date"
_MAKES_NOTHING: Final = frozenset(_HARMLESS.split())
_INTERPRETER: Final = re.compile(r"(?:.*/)?(?:python[\d.]*|(?:ba|da|z|k)?sh|Rscript|perl|julia|node|ruby)")
_SCRIPTS: Final = (".py", ".sh", ".bash", ".R", ".r", ".pl", ".jl", ".js", ".rb")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a module's program will be looked for. `path` is None when that cannot be known here."""

    directory: Path
    bin_names: frozenset[str]
    path: str | None
    shipped: frozenset[str]  # names in the work directory


def surroundings(
    directory: Path,
    bin_names: frozenset[str],
    *,
    is_here: bool,
    env: Mapping[str, str],
    shipped: frozenset[str],
) -> Surroundings:
    """Describe them. `is_here`: on this machine, without an image and without prologue lines."""
    path = env.get("PATH", os.environ.get("PATH", os.defpath)) if is_here else None
    return Surroundings(directory, bin_names, path, shipped)


def check_program(module: Table, run: Run, around: Surroundings) -> None:
    """Note a program that is missing or not executable."""
    if run.is_list:
        first = run.words[0] if run.words else None
        if first is not None and first.plain and first.text:
            _check_first_word(module, first.text, around)
    else:
        _check_shell_commands(module, run, around)
    _check_scripts(module, run, around)


def _check_first_word(module: Table, word: str, around: Surroundings) -> None:
    if word.startswith("/"):
        if around.path is not None:
            _check_file(module, word, Path(word), certain=True)
    elif "/" in word:
        _check_file(module, word, around.directory / word, certain=True)
    elif word not in around.bin_names:
        _check_bare(module, word, around)


def _check_bare(module: Table, word: str, around: Surroundings) -> None:
    beside = (around.directory / word).is_file()
    if around.path is None:
        if beside:
            fact = f"{word} is looked for in PATH, not beside the pipeline"
            module.notes.warn(module.at("run"), fact, f"write ./{word}")
    elif shutil.which(word, path=around.path) is None:
        remedy = f"write ./{word}" if beside else _nearest(word, around)
        module.problem("run", f"there is no program {word}", remedy)


def _nearest(word: str, around: Surroundings) -> str:
    beside = [item.name for item in around.directory.iterdir() if item.is_file() and os.access(item, os.X_OK)]
    guess = did_you_mean(word, beside)
    return guess or "install it, put it in bin/ beside the pipeline, or give the module an image"


def _check_shell_commands(module: Table, run: Run, around: Surroundings) -> None:
    """Judge `./x` where a command stands; earlier commands may have made it, then only warn."""
    certain = True
    for word in run.words:
        if word.place != "command" or not word.plain:
            certain = certain and word.place != "command"
            continue
        if word.text.startswith("./") and not word.moved:
            _check_file(module, word.text, around.directory / word.text, certain=certain)
        certain = certain and (word.text in _MAKES_NOTHING or (around.directory / word.text).is_file())


def _check_scripts(module: Table, run: Run, around: Surroundings) -> None:
    """Judge `script.py` right after an interpreter; what earlier commands may have made is let be."""
    certain = True
    for before, word in itertools.pairwise(run.words):
        if before.place != "command":
            continue
        is_script = word.place == "argument" and word.plain and word.text.endswith(_SCRIPTS)
        is_run = is_script and bool(_INTERPRETER.fullmatch(before.text))
        if certain and is_run and not word.moved and not word.text.startswith(("/", "~")):
            file = around.directory / word.text
            if not file.exists() and normal_name(word.text) not in around.shipped:
                module.problem("run", f"there is no file {word.text}", _beside(file))
        certain = certain and (before.text in _MAKES_NOTHING or is_run)


def _beside(file: Path) -> str:
    return near_name(file) or "put it beside pipeline.toml, or correct the name"


def _check_file(module: Table, word: str, file: Path, *, certain: bool) -> None:
    note = module.notes.problem if certain else module.notes.warn
    if file.is_dir():
        note(module.at("run"), f"{word} is a directory, not a program", "name the program in it")
    elif not file.exists():
        note(module.at("run"), f"there is no program {word}", _beside(file))
    elif not os.access(file, os.X_OK):
        note(module.at("run"), f"{word} is not executable", f"chmod +x {file}")
