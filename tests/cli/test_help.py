"""Every command explains itself."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from scalebox_hpc.cli.app import app


def commands(group: typer.Typer, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    names = [(*above, command.name or command.callback.__name__) for command in group.registered_commands]  # type: ignore[union-attr]
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        names += commands(inner.typer_instance, (*above, str(inner.name)))
    return names


@pytest.mark.parametrize("words", commands(app), ids=" ".join)
def test_every_command_has_help_with_an_example_of_itself(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0
    example = result.stdout.split("Example:\n")[1].split("\n\n")[0]
    assert f"sbx {' '.join(words)}" in example


@pytest.mark.parametrize("words", commands(app), ids=" ".join)
def test_every_option_says_what_it_does(words: tuple[str, ...]) -> None:
    group = typer.main.get_command(app)
    for word in words:
        group = group.commands[word]  # type: ignore[attr-defined]
    for parameter in group.params:
        assert getattr(parameter, "help", None), parameter.name


def test_the_verbs_are_those_of_the_design() -> None:
    nouns = {words[0] for words in commands(app)}
    assert nouns == {
        "run", "check", "plan", "describe", "schema", "status", "ps", "show", "log", "retry", "resume",
        "cancel", "export", "image", "module", "daemon", "ledger", "doctor", "rm", "site",
        "get", "put",
        "graph",
    }  # fmt: skip


def test_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == "sbx 0.1.0\n"


def test_help_imports_nothing_heavy() -> None:
    heavy = {
        "rich",
        "ssl",
        "http.client",
        "apsw",
        "sqlalchemy",
        "psycopg",
        "starlette",
        "uvicorn",
        "cryptography",
        "spython",
        "scalebox_hpc.client",
    }
    code = (
        "import sys; from scalebox_hpc.cli.app import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        f"print(sorted({heavy!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
