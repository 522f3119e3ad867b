"""What runs: words, shell texts, environments, containers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scalebox_hpc.agent.command import NO_BASH, CannotLaunch, MissingHeader, Recipe
from scalebox_hpc.agent.lease import Held
from scalebox_hpc.agent.node import Node

CONTAINER = {"image": "/i.sif", "digest": "sha256:1"}
BASH = ["bash", "-euo", "pipefail", "-c"]


def recipe(environ: dict[str, str] | None = None, **sheet: Any) -> Recipe:
    environ = environ or {"PATH": "/usr/bin:/bin", "SECRET": "s"}
    node = Node("node1", "inc", "/scratch/agent", (), environ, [])
    base = {"name": "work", "run": "r-1", "site": "local", "to": [], "modules": ["work"]}
    return Recipe({**base, **sheet}, node, sheet.pop("bin_dir", ""))


def held(body: str = "b", headers: dict[str, str] | None = None, **resources: Any) -> Held:
    need = {"cpus": 2, "memory_mib": 300, "gpus": 0, "scratch_mib": 0, "time_s": 60.0, **resources}
    offer = {"lease": "1.a.1", "module": 1, "task": "work.1", "attempt": 2, "body": body, "resources": need}
    return Held({**offer, "headers": headers or {}}, 1, 0.0)


def argv(recipe: Recipe, held: Held) -> list[str]:
    return recipe.argv(held, 3, "/w", "/g")


def test_words_are_filled_in_verbatim() -> None:
    words = [["prog"], [["body"]], ["--task=", ["task"], "/", ["slot"]], [["headers", "h"]], [["members"]]]
    assert argv(recipe(words=[*words, [["bodies"]]]), held("$(x) 'y'", {"h": "v w"})) == [
        "prog",
        "$(x) 'y'",
        "--task=work.1/3",
        "v w",
        "/g/members.jsonl",
        "/g/bodies.txt",
    ]


def test_a_missing_header_is_told() -> None:
    with pytest.raises(MissingHeader, match="header h"):
        argv(recipe(words=[["p"], [["headers", "h"]]]), held())


def test_a_shell_text_gets_its_values_as_parameters() -> None:
    made = recipe(words=None, text='echo "$1" | cat', values=[[["body"]]], shell=BASH)
    words = argv(made, held("$(touch /tmp/x); 'q'"))
    assert words == [*BASH, 'echo "$1" | cat', "sbx", "$(touch /tmp/x); 'q'"]
    assert (
        subprocess.run(words, capture_output=True, text=True, check=True).stdout == "$(touch /tmp/x); 'q'\n"
    )


def test_without_bash_it_is_sh_and_said(tmp_path: Path) -> None:
    made = recipe(words=None, text="true", values=[], shell=BASH, environ={"PATH": str(tmp_path)})
    assert argv(made, held()) == ["sh", "-eu", "-c", "true", "sbx"]
    assert made.note == NO_BASH


def test_the_environment_is_the_whole_list_and_nothing_leaks() -> None:
    environ = {
        "PATH": "/bin",
        "HOME": "/h",
        "LC_ALL": "C",
        "SECRET": "s",
        "SLURM_JOB_ID": "7",
        "SLURM_CONF": "x",
    }
    made = recipe(
        words=[["p"]], environ=environ, env={"MINE": "1"}, params={"a-b": "2"}, shared="/s", results="/r"
    )
    own = made.own_env(held("b", {"x-y": "z"}), {b"SBX_WORK": b"/w", b"SBX_SLOT": b"0"}, "", 59.9)
    env = {**made.fixed, **own}
    text = {name.decode(): value.decode() for name, value in env.items()}
    assert json.loads(text.pop("SBX_HEADERS")) == {"x-y": "z"}
    assert text == {
        "PATH": "/bin",
        "HOME": "/h",
        "LC_ALL": "C",
        "SLURM_JOB_ID": "7",
        "MINE": "1",
        "SBX_WORK": "/w",
        "SBX_SLOT": "0",
        "SBX_RUN": "r-1",
        "SBX_MODULE": "work",
        "SBX_TASK": "work.1",
        "SBX_ATTEMPT": "2",
        "SBX_BODY": "b",
        "SBX_HEADER_X_Y": "z",
        "SBX_PIPELINE": "",
        "SBX_SHARED": "/s",
        "SBX_SITE": "local",
        "SBX_HOST": "node1",
        "SBX_CPUS": "2",
        "SBX_MEMORY_MIB": "300",
        "SBX_GPUS": "0",
        "SBX_TIME_LEFT_S": "59",
        "SBX_RESULTS": "/r",
        "SBX_PARAM_A_B": "2",
        "SBX_INCARNATION": "inc",
    }


def test_one_task_does_not_see_the_headers_of_another() -> None:
    made = recipe(words=[["p"]])
    made.own_env(held("b", {"x": "1"}), {}, "", 1)
    assert b"SBX_HEADER_X" not in {**made.fixed, **made.own_env(held("b"), {}, "", 1)}


def test_the_marker_is_in_the_environment() -> None:
    made = recipe(words=[["p"]])
    env = {**made.fixed, **made.own_env(held(), {}, "", 1)}
    assert made.marker(env) <= {name + b"=" + value for name, value in env.items()}


def test_programs_are_found_in_bin_first(tmp_path: Path) -> None:
    for name in ("bin", "path"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tool").write_text("#!/bin/sh\n")
        (tmp_path / name / "tool").chmod(0o755)
    node = Node("n", "i", "/s", (), {"PATH": f"{tmp_path}/path"}, [])
    made = Recipe({"name": "w", "words": [["tool"]]}, node, f"{tmp_path}/bin")
    assert made.program("tool") == f"{tmp_path}/bin/tool"
    assert made.program("./x") == "./x"
    with pytest.raises(CannotLaunch, match="absent: no such program in PATH on n"):
        made.program("absent")


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        (None, 0, "no such program"),
        ("#!/no/such/python\n", 0o755, "#!/no/such/python"),
        ("#!/bin/sh\n", 0o644, "not executable"),
        ("echo\n", 0o755, "first line"),
    ],
)
def test_why_a_program_did_not_start(tmp_path: Path, content: str | None, mode: int, why: str) -> None:
    path = tmp_path / "prog"
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    with pytest.raises(OSError, match="prog") as problem:
        subprocess.run([path], check=False)
    assert why in recipe(words=[["p"]]).explain("./prog", str(tmp_path), problem.value)


def test_in_a_container_the_module_adds_to_what_the_image_says() -> None:
    made = recipe(
        {"PATH": "/host", "HOME": "/h", "LANG": "x", "SECRET": "s"}, words=[["prog"]], container=CONTAINER,
        env={"MINE": "1"},
    )  # fmt: skip
    assert made.fixed[b"HOME"] == b"/h"
    assert made.fixed[b"MINE"] == b"1"
    assert {b"PATH", b"LANG", b"SECRET", b"SBX_BODY"} & set(made.fixed) == set()
    own = made.own_env(held("the body"), {b"SBX_WORK": b"/w"}, "", 1)
    assert (own[b"SBX_BODY"], own[b"SBX_WORK"]) == (b"the body", b"/w")
    assert set(own) & set(made.fixed) == {b"SBX_HEADERS"} & set(own)
    assert made.image_digest == "sha256:1"


def test_the_shell_of_an_image_is_looked_for_inside_unless_it_is_known() -> None:
    made = recipe(words=None, text='echo "$1"', values=[[["body"]]], shell=BASH, container=CONTAINER)
    inside = argv(made, held("$(x)"))
    assert subprocess.run(inside, capture_output=True, text=True, check=True).stdout == "$(x)\n"
    known = made.argv(held("v"), 0, "/w", "", True), made.argv(held("v"), 0, "/w", "", False)
    assert known == ([*BASH, 'echo "$1"', "sbx", "v"], ["sh", "-eu", "-c", 'echo "$1"', "sbx", "v"])


def test_only_what_moves_data_is_told_of_the_ssh_agent() -> None:
    environ = {"PATH": "/usr/bin:/bin", "SSH_AUTH_SOCK": "/run/agent"}
    for kind, told in (("task", False), ("transfer", True)):
        fixed = recipe(environ, words=[["p"]], kind=kind).fixed
        assert (b"SSH_AUTH_SOCK" in fixed) is told
