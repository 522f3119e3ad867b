"""Tasks of several nodes on real Slurm: where their ranks run, and that none outlives its task."""

import os
import signal
from collections import Counter
from contextlib import suppress
from itertools import pairwise

import pytest

from tests.cluster.box import Site
from tests.cluster.images import put, sif_of
from tests.cluster.test_scenarios import lab  # noqa: F401
from tests.scenarios.lab import Lab, attempts_of, command_lines

RANKS = """
sbx = 1
[pipeline]
name = "ranks"
[modules.work]
kind = "mpi"
run = '''{run}'''
seed = ["a"]
{more}
resources = {{ nodes = 2, ntasks = 4, memory = "100M", time = "{time}" }}
"""

LAUNCHERS = {
    "srun": "srun -n $SBX_NTASKS",
    "mpirun": "mpirun -n $SBX_NTASKS",
    "mpirun with the machine file": "mpirun --hostfile $SBX_HOSTFILE -n $SBX_NTASKS",
    "mpiexec of MPICH": "mpiexec.mpich -n $SBX_NTASKS",
    "mpiexec of MPICH with the machine file": "mpiexec.mpich -f $SBX_HOSTFILE -n $SBX_NTASKS",
}
STUBBORN = "trap '' TERM; echo a; while :; do sleep 9753; done"
TWO_ON_EACH = {"sitea1": 2, "sitea2": 2}


def pipeline(run: str, *, time: str = "5m", more: str = "") -> str:
    return RANKS.format(run=run, time=time, more=more)


def sleepers(words: bytes = b"9753") -> list[int]:
    """What ranks of these tests start, on whatever node: all are seen from outside."""
    return [pid for pid, line in command_lines() if words in line]


@pytest.fixture(autouse=True)
def nothing_is_left() -> None:
    for pid in sleepers():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_pi_by_ranks_on_two_nodes(lab: Lab) -> None:  # noqa: F811
    lab.example("mpi-pi")
    lab.run("-p", "terms=100000")
    best, other = lab.result("pi.txt").splitlines()
    assert best.startswith("midpoint 3.14159265")
    assert other.startswith("leibniz 3.1415")
    for line in (best, other):
        assert Counter(line.split(" on ")[1].split()) == TWO_ON_EACH
    rows = [row for row in lab.rows() if row["module"] == "pi"]
    assert {row["outcome"] for row in rows} == {"SUCCEEDED"}
    assert not any((lab.home / "shared" / "runs").iterdir()), "the work directories go with the run"


def test_pi_by_ranks_in_an_image(lab: Lab, site: Site) -> None:  # noqa: F811
    lab.example("mpi-pi")
    put(sif_of("mpi-pi", site), lab.directory / "mpi-pi.sif")
    script = lab.directory / "pi.py"
    seen = 'print("image", os.environ.get("APPTAINER_CONTAINER"), os.path.exists(sys.argv[3]))\n'
    lab.file("pi.py", script.read_text().replace("main()\n", "import os\n" + seen + "main()\n"))
    text = (lab.directory / "pipeline-image.toml").read_text()
    secret = lab.place.inside(lab.home / "daemon.json")
    lab.file("pipeline-image.toml", text.replace('{params.terms}"', "{params.terms} " + secret + '"'))
    lab.run("-p", "terms=100000", pipeline="pipeline-image.toml")
    assert lab.result("pi.txt").startswith("midpoint 3.14159265")
    for row in (row for row in lab.rows() if row["module"] == "pi"):
        told = [line.split() for line in row["stdout"].splitlines() if line.startswith("image")]
        assert len(told) == 4
        assert all(image != "None" and there == "False" for _, image, there in told), row["stdout"]


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_launchers_find_the_nodes(lab: Lab, launcher: str) -> None:  # noqa: F811
    lab.pipeline(pipeline(f"{LAUNCHERS[launcher]} hostname | sort > publish.txt; cat publish.txt"))
    lab.run()
    [row] = lab.rows()
    assert Counter(row["stdout"].split()) == TWO_ON_EACH, row["stderr"]


def test_a_task_has_its_element_to_itself_and_both_nodes_see_its_directory(lab: Lab) -> None:  # noqa: F811
    run = """
        echo $SBX_NODES $SBX_NTASKS $SBX_CPUS
        srun -n 2 -N 2 sh -c 'test -d "$SBX_WORK" && touch "seen-by-$(hostname)"; sleep 0.5'
        ls
    """
    more = 'seed = ["1", "2", "3"]\npool = { slots = 1 }'
    lab.pipeline(pipeline(run).replace('seed = ["a"]\n', more + "\n"))
    lab.run()
    rows = lab.rows()
    assert {row["stdout"] for row in rows} == {"2 4 1\nseen-by-sitea1\nseen-by-sitea2\n"}
    spans = sorted((row["started"], row["ended"]) for row in rows)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


@pytest.mark.parametrize("launcher", ["srun", "mpirun"])
def test_a_timeout_ends_all_ranks_on_both_nodes(lab: Lab, launcher: str) -> None:  # noqa: F811
    lab.pipeline(pipeline(f'{LAUNCHERS[launcher]} sh -c "{STUBBORN}"', time="4s"))
    lab.run(exit_code=1)
    [row] = lab.rows()
    assert row["cause"] == "timeout"
    assert row["stdout"] == "a\n" * 4
    assert sleepers() == []


def test_a_launcher_that_is_killed_leaves_no_rank(lab: Lab) -> None:  # noqa: F811
    lab.pipeline(pipeline("srun -n 4 sleep 9753 & sleep 1; kill -9 $!; exit 3"))
    lab.run(exit_code=1)
    [row] = lab.rows()
    assert (row["cause"], row["exit_code"]) == ("exit", "3")
    assert sleepers() == []


def test_cancel_ends_all_ranks(lab: Lab) -> None:  # noqa: F811
    lab.pipeline(pipeline(f'srun -n 4 sh -c "{STUBBORN}"'))
    lab.run("--detach")
    lab.wait(lambda: len(sleepers()) >= 4, 60, "four ranks")
    assert lab.sbx("cancel").exit_code == 0
    lab.wait(lambda: not sleepers(), 30, "the end of all ranks")


@pytest.mark.parametrize("launcher", ["srun", "mpirun"])
def test_the_task_of_a_killed_agent_goes_round_and_no_rank_survives(lab: Lab, launcher: str) -> None:  # noqa: F811
    first = f'{LAUNCHERS[launcher]} sh -c "{STUBBORN}"'
    count = "srun -N 2 -n 2 pgrep -c -f '^sleep 9753' || :"
    lab.pipeline(pipeline(f"[ $SBX_ATTEMPT -gt 1 ] || {first}\n{count}"))
    lab.run("--detach")
    lab.wait(lambda: len(sleepers()) >= 4, 60, "four ranks")
    [agent] = lab.agents()
    os.kill(agent, signal.SIGKILL)
    assert lab.wait_for_end()["state"] == "SUCCEEDED"
    assert sleepers() == []
    [attempts] = attempts_of(lab.rows()).values()
    assert [row["cause"] for row in attempts] == ["agent_lost", ""]
    assert attempts[1]["stdout"] == "0\n0\n"
