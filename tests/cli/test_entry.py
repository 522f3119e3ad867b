"""`sbx get` and `sbx put` begin without Typer, by the options that it knows, and leave the rest to it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import typer.main

from scalebox_hpc.cli import moving
from scalebox_hpc.cli.app import app
from scalebox_hpc.cli.entry import FLAGS, VALUES, read

HEAVY = ("typer", "rich", "paramiko", "sqlalchemy", "concurrent.futures", "tempfile", "ctypes")


@pytest.mark.parametrize("name", ["get", "put"])
def test_its_options_are_those_of_the_command(name: str) -> None:
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    known = {word for each in command.params for word in (*each.opts, *each.secondary_opts)}
    assert {word for word in known if word.startswith("-")} == {*FLAGS, *VALUES}
    usual = {each.name: each.default for each in command.params if each.name in moving.Choices.__slots__}
    assert moving.Choices(**usual) == moving.Choices()


def test_words_in_any_order_mean_the_same() -> None:
    expected = ("a", "b:x", replace(moving.Choices(), keep=False, limit="5M", streams=3))
    assert read(["put", "--move", "a", "--limit", "5M", "b:x", "--streams", "3"]) == expected
    assert read(["get", "b:x"]) == ("b:x", ".", moving.Choices())


@pytest.mark.parametrize(
    "words", ["", "run x", "put", "put a", "put a b c", "put -h", "put a b --streams 0", "put a b --limit"]
)
def test_all_else_is_for_typer(words: str) -> None:
    assert read(words.split()) is None


def test_what_takes_long_to_import_is_not_needed_for_a_copy(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("content")
    program = (
        f"import sys; sys.argv[1:] = ['put', 'x', 'y']; from scalebox_hpc.cli.entry import main; main();"
        f"assert not (found := [name for name in {HEAVY} if name in sys.modules]), found"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "y").read_text() == "content"
