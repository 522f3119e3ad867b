"""Slurm's commands, when they fail, hang or are not there. The contract is tested elsewhere."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from scalebox_hpc.batch.runner import RemoteRunner
from scalebox_hpc.batch.slurm_cli import SlurmCli, Timeouts
from scalebox_hpc.domain.allocation import CancelTarget, Ending
from scalebox_hpc.errors import (
    BatchProblem,
    EnvironmentProblem,
    SubmitLimited,
    SubmitRefused,
    SubmitUnconfirmed,
)
from scalebox_hpc.testing.transport import FakeTransport
from tests.unit.batch.wanted import HOME, NAME, REQUEST

FAKES = Path(__file__).parents[2] / "contract" / "fake_slurm"


@dataclass
class World:
    directory: Path
    now: float = 0.0
    environ: dict[str, str] = field(default_factory=dict)

    def batch(self, timeouts: Timeouts | None = None) -> SlurmCli:
        path = {"PATH": f"{FAKES}:{os.environ['PATH']}", "FAKE_SLURM": str(self.directory)}
        return SlurmCli(HOME, environ=path | self.environ, timeouts=timeouts, clock=lambda: self.now)

    def fault(self, command: str, **how: Any) -> None:
        (self.directory / f"{command}.fault").write_text(json.dumps(how))

    def heal(self, command: str) -> None:
        (self.directory / f"{command}.fault").unlink()

    def calls(self, command: str) -> list[dict[str, Any]]:
        lines = (self.directory / "calls.jsonl").read_text().splitlines()
        return [call for call in map(json.loads, lines) if call["command"] == command]

    def change(self, **facts: Any) -> None:
        path = self.directory / "jobs.json"
        jobs = json.loads(path.read_text())
        for job in jobs.values():
            job.update(facts)
        path.write_text(json.dumps(jobs))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_calls_are_hermetic(world: World) -> None:
    world.environ = {"SQUEUE_FORMAT": "%i", "SLURM_JOB_ID": "7", "SLURM_CONF": "/etc/x", "LC_ALL": "de_DE"}
    world.batch().observe([])
    environ = world.calls("squeue")[0]["environ"]
    assert "SQUEUE_FORMAT" not in environ
    assert "SLURM_JOB_ID" not in environ
    assert (environ["SLURM_CONF"], environ["LC_ALL"], environ["TZ"]) == ("/etc/x", "C", "UTC")


def test_noise_around_the_answer_is_no_job_id(world: World) -> None:
    assert world.batch().submit(REQUEST) == "100"


def test_an_answer_without_a_job_id_is_looked_into(world: World) -> None:
    world.fault("sbatch", stdout="Submitted, perhaps\n")
    with pytest.raises(SubmitUnconfirmed, match="Submitted, perhaps"):
        world.batch().submit(REQUEST)


def test_an_sbatch_that_hangs_after_it_submitted_is_seen_by_looking(world: World) -> None:
    world.fault("sbatch", hang=True, after=True)
    batch = world.batch(Timeouts(submit_s=2.0))
    with pytest.raises(SubmitUnconfirmed, match="no answer from sbatch in 2 s"):
        batch.submit(REQUEST)
    assert set(batch.observe([NAME]).tries[NAME].elements) == {0, 1, 2}


def test_a_refusal_is_told_with_slurms_words(world: World) -> None:
    world.fault(
        "sbatch", status=1, stderr="sbatch: error: Batch job submission failed: Invalid qos specification"
    )
    for ask in (world.batch().submit, world.batch().verify):
        with pytest.raises(SubmitRefused, match="Invalid qos specification"):
            ask(REQUEST)


@pytest.mark.parametrize("where", ["here", "there"])
def test_a_refusal_for_want_of_nodes_says_how_many_are_down(
    world: World, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = world.batch()
    if where == "there":
        monkeypatch.setenv("PATH", f"{FAKES}:{os.environ['PATH']}")
        monkeypatch.setenv("FAKE_SLURM", str(world.directory))
        batch = SlurmCli(HOME, runner=RemoteRunner("b", FakeTransport(world.directory), os.getuid()))
    said = "sbatch: error: Batch job submission failed: Requested node configuration is not available"
    world.fault("sbatch", status=1, stderr=said)
    with pytest.raises(SubmitRefused) as refused:
        batch.submit(REQUEST)
    assert "no node has what machine m asks for" in refused.value.hint, "none is known"
    lines = [f"main*|64|512000|gpu:a100:4(S:0)|{state}||n{n}" for n, state in enumerate(["idle", "drained"])]
    (world.directory / "nodes").write_text("\n".join([*lines, "main*|0|1|(null)|down*||small"]))
    for ask in (batch.submit, batch.verify):
        with pytest.raises(SubmitRefused) as refused:
            ask(REQUEST)
        assert refused.value.hint.startswith(
            "of 2 nodes that have what machine m asks for, 1 are down or drained; `sinfo -R` says why"
        )


def test_a_full_limit_is_not_a_refusal(world: World) -> None:
    world.fault("sbatch", status=1, stderr="sbatch: error: QOSMaxSubmitJobPerUserLimit")
    with pytest.raises(SubmitLimited):
        world.batch().submit(REQUEST)


def test_a_trial_without_an_answer_has_submitted_nothing(world: World) -> None:
    world.fault("sbatch", hang=True)
    with pytest.raises(BatchProblem) as caught:
        world.batch(Timeouts(submit_s=0.3)).verify(REQUEST)
    assert type(caught.value) is BatchProblem


def test_without_slurm_the_error_says_what_to_type(world: World) -> None:
    world.environ = {"PATH": str(world.directory)}
    with pytest.raises(EnvironmentProblem, match="sbatch cannot be run") as caught:
        world.batch().submit(REQUEST)
    assert "--site local" in caught.value.hint


@pytest.mark.parametrize(
    "how",
    [
        {
            "status": 1,
            "stderr": "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
        },
        {"hang": True},
        {"stdout": f"garbage|{NAME}\n"},
    ],
)
def test_a_look_that_fails_ends_nothing(world: World, how: dict[str, Any]) -> None:
    batch = world.batch(Timeouts(query_s=0.5))
    batch.submit(REQUEST)
    world.fault("squeue", **how)
    listing = batch.observe([NAME])
    assert not listing.complete
    assert listing.tries == {}
    assert listing.problem


def test_a_look_without_squeue_ends_nothing(world: World) -> None:
    world.environ = {"PATH": str(world.directory)}
    assert not world.batch().observe([NAME]).complete


def test_one_look_is_one_squeue_and_no_sacct_while_all_is_listed(world: World) -> None:
    batch = world.batch()
    batch.submit(REQUEST)
    batch.observe([NAME])
    assert len(world.calls("squeue")) == 1
    assert world.calls("sacct") == []


def test_accounting_is_asked_for_what_the_queue_forgot(world: World) -> None:
    batch = world.batch()
    batch.submit(REQUEST)
    world.change(listed=False, elements={"0": "COMPLETED", "1": "TIMEOUT", "2": "RUNNING"})
    elements = batch.observe([NAME]).tries[NAME].elements
    assert {index: seen.ending for index, seen in elements.items()} == {0: Ending.DONE, 1: Ending.WALLTIME}


def test_accounting_is_asked_once_per_interval(world: World) -> None:
    batch = world.batch()
    for world.now in (0.0, 1.0, 29.0, 30.0):
        batch.observe([NAME])
    assert len(world.calls("sacct")) == 2


@pytest.mark.parametrize(
    ("how", "silence_s"),
    [
        ({"status": 1, "stderr": "Slurm accounting storage is disabled"}, 3600.0),
        ({"status": 1, "stderr": "sacct: error: slurmdbd: connection refused"}, 300.0),
        ({"hang": True}, 300.0),
    ],
)
def test_missing_accounting_changes_nothing_and_is_remembered(
    world: World, how: dict[str, Any], silence_s: float
) -> None:
    batch = world.batch(Timeouts(accounting_s=0.5))
    world.fault("sacct", **how)
    for world.now in (0.0, silence_s - 1, silence_s):
        listing = batch.observe([NAME])
        assert listing.complete
        assert listing.tries == {}
    assert len(world.calls("sacct")) == 2


def test_each_try_is_cancelled_by_a_call_of_its_own(world: World) -> None:
    world.batch().cancel([CancelTarget(f"{NAME}{number}", str(number)) for number in range(3)])
    options = [call["options"][-2:] for call in world.calls("scancel")]
    assert options == [[f"--name={NAME}{number}", str(number)] for number in range(3)]


def test_elements_are_cancelled_by_name_and_id_together(world: World) -> None:
    world.batch().cancel([CancelTarget(NAME, "12", (4, 1, 2, 3))])
    options = world.calls("scancel")[0]["options"]
    assert options[-2:] == [f"--name={NAME}", "12_[1-4]"]


def test_elements_of_a_try_without_a_job_id_are_left_alone(world: World) -> None:
    batch = world.batch()
    batch.submit(REQUEST)
    batch.cancel([CancelTarget(NAME, "", (0,)), CancelTarget("another-home", "5")])
    assert world.calls("scancel") == []


@pytest.mark.parametrize("words", ["Invalid job id specified", "Job/step already completing or completed"])
def test_cancelling_what_is_over_is_no_problem(world: World, words: str) -> None:
    world.fault("scancel", status=1, stderr=f"scancel: error: Kill job error on job id 5: {words}")
    world.batch().cancel([CancelTarget(NAME, "5")])


def test_a_cancel_that_did_not_arrive_is_said(world: World) -> None:
    world.fault("scancel", status=1, stderr="scancel: error: Unable to contact slurm controller")
    with pytest.raises(BatchProblem, match="Unable to contact"):
        world.batch().cancel([CancelTarget(NAME, "5")])


def test_limits_are_asked_for_once_an_hour(world: World) -> None:
    batch = world.batch()
    assert (batch.array_limit, batch.facts().version) == (1001, (24, 11))
    world.now = 3599.0
    assert batch.array_limit == 1001
    assert len(world.calls("scontrol")) == 1


def test_limits_that_cannot_be_asked_for_are_unknown_and_asked_again(world: World) -> None:
    batch = world.batch()
    world.fault("scontrol", status=1)
    assert batch.array_limit is None
    world.heal("scontrol")
    assert batch.array_limit == 1001
