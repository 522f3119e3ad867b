"""What tasks with ranks are told, and the end of what they started through Slurm."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from scalebox_hpc.agent import probe, steps
from scalebox_hpc.agent.node import Node
from scalebox_hpc.agent.ranks import PWD, Ranks, per_node, spread, start_script
from scalebox_hpc.agent.runtimes import apptainer

INCARNATION = "00112233445566aa"
SHEET: dict[str, Any] = {"module": 3, "kind": "mpi", "nodes": 2, "ntasks": 5, "name": "work"}


def fake(directory: Path, **programs: str) -> str:
    """Programs of Slurm by these texts; returns a PATH that finds them first."""
    directory.mkdir(exist_ok=True)
    for name, text in programs.items():
        path = directory / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    return f"{directory}:/usr/bin:/bin"


@pytest.fixture
def path(tmp_path: Path) -> str:
    return fake(tmp_path / "bin", scontrol='[ "$3" = "n[1-2]" ] && printf "n1\\nn2\\n"')


def ranks(root: Path, sheet: dict[str, Any] | None = None, **environ: str) -> Ranks:
    runtime = apptainer.recognise("apptainer", "/opt/apptainer", "apptainer version 1.4.5")
    return Ranks(sheet or SHEET, Node("n1", INCARNATION, str(root), (runtime,), environ, []), "/bin-dir")


def test_the_machine_file_has_a_line_for_each_rank(tmp_path: Path, path: str) -> None:
    made = ranks(tmp_path, PATH=path, SLURM_JOB_NODELIST="n[1-2]", SLURM_TASKS_PER_NODE="2,3")
    assert made.problem == ""
    assert Path(made.env["SBX_HOSTFILE"]).read_text() == "n1\nn1\nn2\nn2\nn2\n"
    assert (made.env["SBX_NODES"], made.env["SBX_NTASKS"], made.env["SBX_CONTAINER"]) == ("2", "5", "")


def test_without_slurms_counts_ranks_are_spread_evenly(tmp_path: Path, path: str) -> None:
    made = ranks(tmp_path, PATH=path, SLURM_JOB_NODELIST="n[1-2]", SLURM_TASKS_PER_NODE="1(x2)")
    assert Path(made.env["SBX_HOSTFILE"]).read_text() == "n1\nn1\nn1\nn2\nn2\n"


def test_without_slurm_all_ranks_are_here(tmp_path: Path) -> None:
    made = ranks(tmp_path, {**SHEET, "nodes": 1}, PATH="/nowhere")
    assert Path(made.env["SBX_HOSTFILE"]).read_text() == "n1\n" * 5


def test_too_few_nodes_are_told(tmp_path: Path) -> None:
    assert ranks(tmp_path, PATH="/nowhere").problem == "it needs 2 nodes, and its element has 1"


def test_a_node_list_that_slurm_does_not_read_is_told(tmp_path: Path, path: str) -> None:
    assert "show hostnames n[" in ranks(tmp_path, PATH=path, SLURM_JOB_NODELIST="n[").problem
    assert "scontrol" in ranks(tmp_path, PATH="/nowhere", SLURM_JOB_NODELIST="n[1-2]").problem


def test_launchers_find_what_they_read_and_nothing_else_leaks(tmp_path: Path) -> None:
    told = {"SLURM_NTASKS": "5", "OMPI_MCA_btl": "tcp,self", "LD_LIBRARY_PATH": "/opt/mpi/lib"}
    withheld = {"SLURM_EXPORT_ENV": "NONE", "SECRET": "s", "SBATCH_ACCOUNT": "a"}
    env = ranks(tmp_path, {**SHEET, "nodes": 1}, PATH="/bin", **told, **withheld).env
    assert {name: value for name, value in env.items() if not name.startswith("SBX_")} == told


def test_counts_of_slurm_are_read() -> None:
    assert per_node("2(x3),1") == [2, 2, 2, 1]
    assert per_node("") == []
    assert spread(5, 3) == [2, 2, 1]


def test_a_rank_starts_where_its_launcher_is_with_blanks_in_any_word(tmp_path: Path) -> None:
    script = tmp_path / "start"
    words = ["/bin/sh", "-c", 'cd / && echo "$V" "$0" "$@"', "an image", PWD]
    script.write_text(start_script(words, {"V": "it's"}))
    script.chmod(0o700)
    done = subprocess.run([script, "a b"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"it's an image {tmp_path} a b\n"


@pytest.mark.parametrize(("kind", "flags"), [("nvidia", ["--nv"]), ("rocm", ["--rocm"]), ("", [])])
def test_a_rank_in_an_image_gets_the_gpus_of_its_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, flags: list[str]
) -> None:
    monkeypatch.setattr(probe, "gpu_kind", lambda: kind)
    (tmp_path / "i.sif").touch()
    container = {"image": str(tmp_path / "i.sif"), "gpus": True}
    made = ranks(tmp_path, {**SHEET, "nodes": 1, "container": container}, PATH="/nowhere")
    assert made.problem == ""
    script = Path(made.env["SBX_CONTAINER"]).read_text()
    assert [flag for flag in ("--nv", "--rocm") if f" {flag} " in script] == flags
    assert "/opt/apptainer --quiet exec" in script
    assert "export APPTAINERENV_PREPEND_PATH=/bin-dir\n" in script


# steps

SQUEUE = 'cat "$(dirname "$0")/steps"'
SCANCEL = 'echo "$@" >>"$(dirname "$0")/cancelled"; : >"$(dirname "$0")/steps"'
SRUN = """
while [ "$1" != /bin/sh ]; do echo "$1" >>"$(dirname "$0")/asked"; shift; done
exec "$@" """


def test_outside_slurm_there_are_no_steps_to_end() -> None:
    assert steps.end_all({"PATH": "/nowhere"}, INCARNATION) == ""


def test_the_steps_of_this_element_are_ended_and_no_other(tmp_path: Path) -> None:
    path = fake(tmp_path / "bin", squeue=SQUEUE, scancel=SCANCEL, srun=SRUN)
    (tmp_path / "bin" / "steps").write_text(
        "7_3.0 a\n7_3.12 b c\n7_3.13 sbx-sweep\n7_3.batch batch\n7_30.0 a\n7_4.0 a\n"
    )
    environ = {"PATH": path, "SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"}
    assert steps.end_all({**environ, "SLURM_JOB_NUM_NODES": "2"}, INCARNATION) == ""
    assert (tmp_path / "bin" / "cancelled").read_text() == "--quiet --signal=KILL 7_3.0 7_3.12\n"
    asked = (tmp_path / "bin" / "asked").read_text().split()
    assert {"--jobid=9", "--nodes=2", "--ntasks=2", "--overlap"} <= set(asked)


def test_what_left_its_step_is_killed_and_the_agent_is_not(tmp_path: Path) -> None:
    path = fake(tmp_path / "bin", squeue="", srun=SRUN)
    env = {"PATH": path, "SBX_INCARNATION": INCARNATION}
    agent = subprocess.Popen(["sleep", "60"], env=env)
    rank = subprocess.Popen(["sleep", "60"], env={**env, "SBX_TASK": "work.1"})
    try:
        assert steps.end_all({"PATH": path, "SLURM_JOB_ID": "9"}, INCARNATION) == ""
        assert rank.wait(10) == -9
        assert agent.poll() is None
    finally:
        for process in (agent, rank):
            process.kill()
            process.wait()


def test_slurm_that_does_not_answer_is_told(tmp_path: Path) -> None:
    path = fake(tmp_path / "bin", srun="echo no controller >&2; exit 1")
    assert steps.end_all({"PATH": path, "SLURM_JOB_ID": "9"}, INCARNATION) == "no controller"
