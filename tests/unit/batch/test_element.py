"""The script of one element, run by the shells that clusters have."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from scalebox_hpc.batch.element import element_script
from scalebox_hpc.domain.allocation import AllocationRequest, Launch
from scalebox_hpc.domain.pipeline import Ranks
from scalebox_hpc.domain.site import Machine

AGENT = """
import json, os, signal, subprocess, sys
words = sys.argv[1:]
shared = words[words.index("--shared") + 1]
def note(name, **more):
    with open(f"{shared}/{name}.new", "w") as out:
        json.dump({"words": words, "marker": os.environ.get("SBX_INCARNATION"), **more}, out)
    os.rename(f"{shared}/{name}.new", f"{shared}/{name}")
if words[0] == "ended":
    note("ended")
    sys.exit()
how = open(f"{shared}/how").read()
if how == "stray":  # one that ignores TERM, has a session of its own and outlives its parent
    line = "trap '' TERM; while :; do read x </dev/zero; done"
    stray = subprocess.Popen(["/bin/sh", "-c", line], start_new_session=True)
    note("run", stray=stray.pid)
    sys.exit(0)
if how == "wait":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(43))
    note("run")
    while True:
        signal.pause()
note("run")
sys.exit(int(how))
"""

SHELLS = [["dash"], ["bash"], ["bash", "--posix"], ["busybox", "sh"]]


def eventually(condition: Callable[[], bool], deadline_s: float = 15.0) -> None:
    pause = threading.Event()
    for _ in range(int(deadline_s / 0.02)):
        if condition():
            return
        pause.wait(0.02)
    raise AssertionError("did not come about in time")


@pytest.fixture(params=SHELLS, ids=" ".join)
def shell(request: pytest.FixtureRequest) -> list[str]:
    if shutil.which(request.param[0]) is None:
        pytest.skip(f"no {request.param[0]} here")
    return list(request.param)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    folder = tmp_path / "the 'shared' folder"
    folder.mkdir()
    (folder / "agent.pyz").write_text(AGENT)
    return folder


def text(shared: Path, **launch: object) -> str:
    request = AllocationRequest(
        "sbx-x.00112233445566aa.e.1.1",
        3,
        2,
        500,
        1,
        600.0,
        Machine("m"),
        replace(Launch("00112233445566aa", str(shared), sys.executable), **launch),  # type: ignore[arg-type]
    )
    return element_script(request, element="$1", restart="${SLURM_RESTART_COUNT:-0}")


def start(
    shell: list[str], shared: Path, how: str, environ: dict[str, str] | None = None, **launch: object
) -> subprocess.Popen[str]:
    (shared / "how").write_text(how)
    return subprocess.Popen(
        [*shell, "-c", text(shared, **launch), "sbx", "2"],
        env={"PATH": os.environ["PATH"], **(environ or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def noted(shared: Path, name: str) -> dict[str, object]:
    return dict(json.loads((shared / name).read_text()))


def option(words: object, name: str) -> str:
    assert isinstance(words, list)
    return str(words[words.index(name) + 1])


def test_an_agent_is_started_with_all_it_needs_and_its_end_is_told(shell: list[str], shared: Path) -> None:
    process = start(shell, shared, "0", {"SLURM_RESTART_COUNT": "3"}, scratch="/the scratch")
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")
    run, ended = noted(shared, "run"), noted(shared, "ended")
    for name, value in {
        "--shared": str(shared),
        "--home": "00112233445566aa",
        "--try": "sbx-x.00112233445566aa.e.1.1",
        "--element": "2",
        "--restart": "3",
        "--cpus": "2",
        "--memory-mib": "500",
        "--gpus": "1",
        "--scratch": "/the scratch",
    }.items():
        assert option(run["words"], name) == value
    assert 590 <= int(option(run["words"], "--walltime-s")) <= 600
    incarnation = option(run["words"], "--incarnation")
    assert len(incarnation) == 16
    assert set(incarnation) <= set("0123456789abcdef")
    assert run["marker"] == incarnation
    assert ended["marker"] is None
    assert option(ended["words"], "--incarnation") == incarnation
    assert option(ended["words"], "--status") == "0"


def test_an_element_with_ranks_ends_its_steps_before_its_end_is_told(shared: Path) -> None:
    request = AllocationRequest(
        "n", 1, 2, 500, 0, 600.0, Machine("m"), Launch("h", str(shared), "python3"), Ranks(2, 4)
    )
    [said] = [
        line for line in element_script(request, element="0", restart="0").splitlines() if " ended " in line
    ]
    assert " --steps 1 " in said
    assert "--steps" not in text(shared)


def test_the_agents_exit_status_is_told_and_passed_on(shell: list[str], shared: Path) -> None:
    process = start(shell, shared, "7")
    process.communicate(timeout=20)
    assert process.returncode == 7
    assert option(noted(shared, "ended")["words"], "--status") == "7"


def test_term_reaches_the_agent_and_the_script_outlives_it(shell: list[str], shared: Path) -> None:
    process = start(shell, shared, "wait")
    eventually((shared / "run").exists)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 43
    assert option(noted(shared, "ended")["words"], "--status") == "43"


def test_what_an_agent_leaves_behind_is_killed_before_its_end_is_told(shell: list[str], shared: Path) -> None:
    process = start(shell, shared, "stray")
    process.communicate(timeout=20)
    stray = noted(shared, "run")["stray"]
    assert noted(shared, "ended")
    try:
        state = Path(f"/proc/{stray}/stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        state = "gone"
    assert state in ("Z", "gone")


def test_prologue_lines_run_first_and_cannot_make_the_script_give_up(shell: list[str], shared: Path) -> None:
    prologue = ("set -eu", f'echo loaded >"{shared}/loaded"', "SOMETHING=1")
    process = start(shell, shared, "5", prologue=prologue)
    process.communicate(timeout=20)
    assert (shared / "loaded").exists()
    assert noted(shared, "ended")
    assert process.returncode == 5


def test_without_python_the_log_says_what_to_set(shell: list[str], shared: Path) -> None:
    process = start(shell, shared, "0", python="python-of-nowhere")
    _, err = process.communicate(timeout=20)
    assert process.returncode == 127
    assert "python-of-nowhere was not found" in err
    assert "site key 'python'" in err


def test_without_the_shared_folder_the_log_says_what_to_set(shell: list[str], shared: Path) -> None:
    (shared / "agent.pyz").unlink()
    process = start(shell, shared, "0")
    _, err = process.communicate(timeout=20)
    assert process.returncode == 126
    assert f"{shared}/agent.pyz cannot be read" in err


def test_two_starts_are_two_incarnations(shell: list[str], shared: Path) -> None:
    seen = set()
    for _ in range(2):
        start(shell, shared, "0").communicate(timeout=20)
        seen.add(option(noted(shared, "run")["words"], "--incarnation"))
    assert len(seen) == 2
