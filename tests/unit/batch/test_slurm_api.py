"""pyslurm, when it fails, hangs, ends its process or is not there. The contract is tested elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from scalebox_hpc.batch.slurm_api import CROWD, CROWD_S, REST_S, SlurmApi, slurm
from scalebox_hpc.batch.slurm_cli import SlurmCli, Timeouts
from scalebox_hpc.batch.slurm_line import LIFE_S
from scalebox_hpc.domain.allocation import AllocationRequest, CancelTarget, Phase
from scalebox_hpc.domain.pipeline import Ranks
from scalebox_hpc.domain.site import Machine
from scalebox_hpc.errors import BatchProblem, SubmitLimited, SubmitRefused, SubmitUnconfirmed
from tests.unit.batch.wanted import HOME, NAME, REQUEST

CONTRACT = Path(__file__).parents[2] / "contract"


@dataclass
class World:
    directory: Path
    now: float = 0.0
    environ: dict[str, str] = field(default_factory=dict)
    made: list[SlurmApi] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        return {
            "PATH": f"{CONTRACT / 'fake_slurm'}:{os.environ['PATH']}",
            "PYTHONPATH": str(CONTRACT / "fake_pyslurm"),
            "FAKE_SLURM": str(self.directory),
        } | self.environ

    def batch(self, *, only: bool = False, timeouts: Timeouts | None = None) -> SlurmApi:
        made = SlurmApi(
            HOME, only=only, environ=self.environment(), timeouts=timeouts, clock=lambda: self.now
        )
        self.made.append(made)
        return made

    def fault(self, at: str, **how: Any) -> None:
        (self.directory / "pyslurm.fault").write_text(json.dumps({"at": at, **how}))

    def heal(self) -> None:
        (self.directory / "pyslurm.fault").unlink()

    def calls(self, call: str) -> int:
        """How often pyslurm was called, or a command of Slurm."""
        path = self.directory / "pyslurm.calls"
        lines = path.read_text().splitlines() if path.exists() else []
        commands = self.directory / "calls.jsonl"
        lines += [json.loads(line)["command"] for line in commands.read_text().splitlines()]
        return lines.count(call)

    def job(self) -> dict[str, Any]:
        (job,) = json.loads((self.directory / "jobs.json").read_text()).values()
        return dict(job)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    for batch in made.made:
        batch.close()


def test_pyslurm_is_asked_and_not_the_commands(world: World) -> None:
    batch = world.batch()
    job_id = batch.submit(REQUEST)
    assert batch.observe([NAME]).tries[NAME].job_id == job_id
    batch.cancel([CancelTarget(NAME, job_id)])
    assert [world.calls(call) for call in ("load", "submit", "list", "cancel")] == [1, 1, 2, 1]
    assert [world.calls(call) for call in ("sbatch", "squeue", "scancel")] == [0, 0, 0]


def test_a_job_gets_the_environment_that_sbatch_would_give_it(world: World) -> None:
    world.environ = {"SLURM_JOB_ID": "7", "SBX_HOME": "/x", "EDITOR": "ed", "BROKEN": "\udcff"}
    world.batch().submit(REQUEST)
    environ = world.job()["environ"]
    assert (environ["EDITOR"], environ["LC_ALL"]) == ("ed", "C")
    assert not {"SLURM_JOB_ID", "SBX_HOME", "BROKEN"} & environ.keys()
    assert {"SLURM_UMASK", "SLURM_RLIMIT_NOFILE", "SLURM_SUBMIT_DIR"} <= environ.keys()


@pytest.mark.parametrize(
    "request_",
    [
        replace(REQUEST, machine=Machine("m", sbatch=("--nice=5",))),
        replace(REQUEST, ranks=Ranks(1, 1)),
    ],
)
def test_what_only_sbatch_understands_is_submitted_by_sbatch(
    world: World, request_: AllocationRequest
) -> None:
    world.batch(only=True).submit(request_)
    assert (world.calls("sbatch"), world.calls("submit")) == (1, 0)


def test_a_site_with_plug_ins_of_sbatch_is_submitted_to_by_sbatch(world: World) -> None:
    (world.directory / "cli_filter").touch()
    batch = world.batch()
    batch.submit(REQUEST)
    assert (world.calls("sbatch"), world.calls("submit")) == (1, 0)
    batch.observe([NAME])
    assert world.calls("list") == 1


def test_a_pyslurm_for_another_slurm_is_not_used(world: World) -> None:
    (world.directory / "pyslurm.version").write_text("25.11.2")
    batch = world.batch()
    assert batch.why_not() == "pyslurm 25.11.2 is not for Slurm 24.11"
    batch.submit(REQUEST)
    assert NAME in batch.observe([NAME]).tries
    assert (world.calls("submit"), world.calls("list"), world.calls("load")) == (0, 0, 1)
    with pytest.raises(BatchProblem, match="is not for Slurm"):
        world.batch(only=True).submit(REQUEST)
    assert "is not for Slurm 24.11" in world.batch(only=True).observe([]).problem


def test_a_pyslurm_that_cannot_be_loaded_is_said(world: World) -> None:
    (world.directory / "pyslurm.py").write_text("raise ImportError('libslurmfull.so: no such file')")
    world.environ = {"PYTHONPATH": str(world.directory)}
    why_not = world.batch().why_not()
    assert why_not == "pyslurm cannot be loaded: libslurmfull.so: no such file"


def test_a_libslurm_that_ends_its_process_ends_nothing_else(world: World) -> None:
    world.fault("load", exit="Could not establish a configuration source")
    batch = world.batch()
    assert batch.why_not().endswith("ended: Could not establish a configuration source")
    assert batch.observe([]).complete  # by squeue
    assert not world.batch(only=True).observe([]).complete


def test_a_lost_pyslurm_is_tried_again_after_a_rest(world: World) -> None:
    batch = world.batch()
    world.fault("list", exit="malloc: out of memory")
    for world.now in (0.0, 1.0, REST_S - 1):
        assert batch.observe([]).complete
    assert (world.calls("list"), world.calls("squeue")) == (1, 3)
    world.heal()
    world.now = REST_S
    assert batch.observe([]).complete
    assert (world.calls("list"), world.calls("squeue")) == (2, 3)


def test_a_look_that_hangs_is_given_up_and_its_process_killed(world: World) -> None:
    world.fault("list", hang=True)
    batch = world.batch(only=True, timeouts=Timeouts(query_s=0.3))
    listing = batch.observe([NAME])
    assert (listing.complete, listing.tries) == (False, {})
    assert "did not answer in 0.3 s" in listing.problem
    world.heal()
    assert batch.observe([]).complete


def test_a_controller_that_does_not_answer_ends_nothing(world: World) -> None:
    batch = world.batch()
    batch.submit(REQUEST)
    world.fault("list", problem="Unable to contact slurm controller (connect failure)")
    listing = batch.observe([NAME])
    assert (listing.complete, listing.tries) == (False, {})
    assert "Unable to contact slurm controller" in listing.problem
    with pytest.raises(BatchProblem, match="Unable to contact"):
        batch.cancel([CancelTarget(NAME, "100")])


@pytest.mark.parametrize("how", [{"hang": True}, {"exit": "bug"}])
def test_a_submission_whose_process_is_lost_is_looked_for_and_not_made_again(
    world: World, how: dict[str, Any]
) -> None:
    world.fault("submitted", **how)
    batch = world.batch(timeouts=Timeouts(submit_s=2.0))
    with pytest.raises(SubmitUnconfirmed):
        batch.submit(REQUEST)
    assert world.calls("sbatch") == 0
    assert set(batch.observe([NAME]).tries[NAME].elements) == {0, 1, 2}


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("Invalid partition name specified", SubmitRefused),
        (
            "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
            SubmitLimited,
        ),
        ("Unable to contact slurm controller (connect failure)", BatchProblem),
        ("Socket timed out on send/recv operation", SubmitUnconfirmed),
    ],
)
def test_what_slurm_says_to_a_submission_means_what_it_means_from_sbatch(
    world: World, words: str, error: type[BatchProblem]
) -> None:
    world.fault("submit", problem=words)
    with pytest.raises(BatchProblem) as caught:
        world.batch().submit(REQUEST)
    assert type(caught.value) is error


def test_elements_that_wait_are_cancelled_by_scancel(world: World) -> None:
    batch = world.batch()
    job_id = batch.submit(REQUEST)
    batch.cancel([CancelTarget(NAME, job_id, (1,))])
    assert (world.calls("cancel"), world.calls("scancel")) == (0, 1)
    phases = {index: seen.phase for index, seen in batch.observe([NAME]).tries[NAME].elements.items()}
    assert phases == {0: Phase.PENDING, 1: Phase.ENDED, 2: Phase.PENDING}


def test_a_cancel_whose_process_is_lost_is_made_by_scancel(world: World) -> None:
    batch = world.batch()
    job_id = batch.submit(REQUEST)
    world.fault("cancel", exit="bug")
    batch.cancel([CancelTarget(NAME, job_id)])
    assert world.calls("scancel") == 1
    only = world.batch(only=True)
    again = only.submit(replace(REQUEST, name=f"{NAME}2"))
    with pytest.raises(BatchProblem, match="ended"):
        only.cancel([CancelTarget(f"{NAME}2", again)])


def test_in_a_crowd_squeue_is_asked_for_ours_alone(world: World) -> None:
    (world.directory / "others").write_text(str(CROWD + 1))
    batch = world.batch()
    for world.now in (0.0, 1.0, CROWD_S - 1, CROWD_S):
        assert batch.observe([]).complete
    assert (world.calls("list"), world.calls("squeue")) == (2, 2)
    only = world.batch(only=True)
    for _ in range(2):
        only.observe([])
    assert world.calls("list") == 4


def test_its_process_is_replaced_from_time_to_time(world: World) -> None:
    batch = world.batch()
    for world.now in (0.0, LIFE_S - 1, LIFE_S):
        batch.observe([])
    assert world.calls("load") == 2


def test_its_process_ends_with_the_daemon(world: World) -> None:
    text = "import os; from scalebox_hpc.batch.slurm_api import SlurmApi; "
    text += f"assert SlurmApi({HOME!r}).observe([]).complete; os._exit(9)"
    done = subprocess.run([sys.executable, "-c", text], env=world.environment(), check=False)
    assert done.returncode == 9
    status = Path("/proc") / (world.directory / "pyslurm.pid").read_text() / "status"
    pause = threading.Event()
    for _ in range(1000):
        if not status.exists() or "State:\tZ" in status.read_text():  # nobody may be there to reap it
            return
        pause.wait(0.01)
    raise AssertionError("it is still there")


def test_accounting_is_asked_for_what_the_queue_forgot(world: World) -> None:
    batch = world.batch()
    batch.submit(REQUEST)
    jobs = json.loads((world.directory / "jobs.json").read_text())
    jobs["100"] |= {"listed": False, "elements": {"0": "COMPLETED", "1": "TIMEOUT", "2": "RUNNING"}}
    (world.directory / "jobs.json").write_text(json.dumps(jobs))
    assert set(batch.observe([NAME]).tries[NAME].elements) == {0, 1}
    assert world.calls("sacct") == 1


def test_the_site_key_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    for there in (None, object()):
        monkeypatch.setattr("scalebox_hpc.batch.slurm_api.find_spec", lambda name, found=there: found)
        kinds = [type(slurm(HOME, kind)) for kind in ("slurm_cli", "slurm", "slurm_api")]
        assert kinds == [SlurmCli, SlurmApi if there else SlurmCli, SlurmApi]
