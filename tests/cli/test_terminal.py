"""What programs wrote cannot steer the terminal of who looks at it; files and pipes get it as it is."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scalebox_hpc.cli import say
from scalebox_hpc.cli.app import app
from scalebox_hpc.cli.entry import as_text
from scalebox_hpc.client import LogPiece
from scalebox_hpc.errors import EnvironmentProblem
from tests.cli.fake_daemon import DaemonSays, attempt, status, task
from tests.cli.terminal import HOSTILE, SHOWN, harmful, on_terminal
from tests.scenarios.lab import Lab, ThisMachine, lab_at

OnTerminal = Callable[..., str]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> OnTerminal:
    """Run `sbx WORDS...` with stdout and stderr on a terminal; what it shows."""
    monkeypatch.setenv("TERM", "xterm")

    def run(daemon: DaemonSays, *words: str) -> str:
        def within(terminal: int) -> None:
            with os.fdopen(os.dup(terminal), "w", encoding="utf-8") as stream, monkeypatch.context() as patch:
                patch.setattr(sys, "stdout", stream)
                patch.setattr(sys, "stderr", stream)
                app(list(words), obj=daemon, standalone_mode=False)

        seen = on_terminal(within)
        assert not harmful(seen)
        return seen.decode()

    return run


def hostile() -> DaemonSays:
    """A daemon all of whose answers hold the hostile text wherever somebody else may have written."""
    pool: Any = {
        "pool": "small", "site": "hpc1", "machine": "cpu", "slots": 64, "elements_pending": 2,
        "elements_running": 1, "agents": 3, "busy": 2, "state": "paused", "reason": HOSTILE,
    }  # fmt: skip
    run = status("FAILED", title=HOSTILE, reason=HOSTILE, pools=[pool], notes=[HOSTILE], results=HOSTILE)
    run["modules"][0].update(failed=1, causes={"exit": 1})
    words = {name: HOSTILE for name in ("body", "key", "note", "user_text", "stdout", "stderr", "host")}
    one = task(body=HOSTILE, headers={"x": HOSTILE})
    text = f"{HOSTILE}\n\tand more\n"
    piece: LogPiece = {
        "text": text, "offset": 0, "end": len(text), "done": True, "path": "/x", "attempt": 1,
    }  # fmt: skip
    return DaemonSays([run], tasks=[one], attempts=[attempt(**words)], pieces=[piece])


@pytest.mark.parametrize(
    "words", ["status", "status --all", "status --follow", "ps", "show count.17", "export --csv -"]
)
def test_commands_show_escapes_instead_of_obeying_them(shown: OnTerminal, words: str) -> None:
    seen = shown(hostile(), *words.split())
    assert r"a\x1b]0;owned" in seen or words == "status --all"  # which names runs only


def test_a_log_is_shown_with_its_lines_and_tabs(shown: OnTerminal) -> None:
    assert shown(hostile(), "log", "count.17") == f"{SHOWN}\n\tand more\n"


@pytest.mark.parametrize("words", ["status", "ps", "show count.17", "log count.17"])
def test_json_on_a_terminal_is_escaped_and_means_the_same(shown: OnTerminal, words: str) -> None:
    found = json.loads(shown(hostile(), *words.split(), "--json"))
    assert json.dumps(HOSTILE)[1:-1] in json.dumps(found)


def test_an_error_is_shown_with_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    say.remark(as_text(EnvironmentProblem(HOSTILE, "\x1b[2J")))
    assert capsys.readouterr().err == f"sbx: {SHOWN}\n     \\x1b[2J\n"


def test_all_that_commands_print_goes_through_one_place() -> None:
    for module in Path(say.__file__).parent.glob("*.py"):
        calls = [node.func for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Call)]
        printing = {ast.unparse(call) for call in calls} & {"print", "typer.echo", "typer.secho"}
        assert not printing or module.name == "say.py", f"{module.name} prints by itself; say.text does it"


HOSTILE_PIPELINE = """
sbx = 1
[pipeline]
name = "hostile"
[modules.speak]
run = ["./speak.sh"]
seed = {file = "seeds.txt"}
"""
SPEAK = """#!/bin/sh
cat "$SBX_PIPELINE/bytes"
cat "$SBX_PIPELINE/bytes" >&2
cp "$SBX_PIPELINE/bytes" custom-out.txt
exit 3
"""


def test_a_tasks_words_from_the_program_to_the_terminal(tmp_path: Path) -> None:
    written = b"\xff\xfe\0\r\n\x1b[31mred\x1b[0m\n" + HOSTILE.encode() + b"\n"
    with lab_at(ThisMachine(), tmp_path / "lab") as lab:
        lab.pipeline(HOSTILE_PIPELINE, speak_sh=SPEAK, seeds_txt=HOSTILE.replace("\r", ""))
        (lab.directory / "bytes").write_bytes(written)
        for words in ("run pipeline.toml", "status --follow", "ps", "show speak.1", "log speak.1 --stderr"):
            seen = on_terminal(lambda terminal, words=words: _type(lab, words, terminal))
            assert not harmful(seen), words
            assert rb"\x07b" in seen or rb"\x7ff" in seen, words  # a body is cut, a last line is one
        _type(lab, "log speak.1", file := tmp_path / "log.txt")
        assert file.read_bytes() == written
        raw = on_terminal(lambda terminal: _type(lab, "log speak.1 --raw", terminal))
        assert raw == written


def _type(lab: Lab, words: str, out: int | Path) -> None:
    """Type an `sbx` command whose output goes to a terminal or to a file."""
    environment = os.environ | {"SBX_HOME": str(lab.home), "TERM": "xterm"}
    command = [lab.place.sbx, *words.split()]
    with open(out, "wb", closefd=isinstance(out, Path)) as stream:
        subprocess.run(
            command, cwd=lab.directory, env=environment, stdin=subprocess.DEVNULL,
            stdout=stream, stderr=stream, timeout=120, check=False,
        )  # fmt: skip
