"""What sbatch's refusals mean."""

from __future__ import annotations

import pytest

from scalebox_hpc.batch.slurm_answers import job_id_of, problem_of
from scalebox_hpc.domain.allocation import AllocationRequest, Launch
from scalebox_hpc.domain.site import Machine
from scalebox_hpc.errors import BatchProblem, SubmitLimited, SubmitRefused, SubmitUnconfirmed

REQUEST = AllocationRequest("n", 8, 1, 1, 0, 60.0, Machine("cpu"), Launch("h", "/s", "python3"))
FAILED = "sbatch: error: Batch job submission failed: "
POLICY = FAILED + "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)\n"


@pytest.mark.parametrize(
    ("stderr", "status", "kind"),
    [
        (FAILED + "Invalid account or account/partition combination specified", 1, SubmitRefused),
        (
            "sbatch: error: invalid partition specified: nix\n" + FAILED + "Invalid partition name",
            1,
            SubmitRefused,
        ),
        (FAILED + "Requested node configuration is not available", 1, SubmitRefused),
        (FAILED + "Invalid job array specification", 1, SubmitRefused),
        (FAILED + "a word nobody has seen yet", 1, SubmitRefused),
        ("", 1, SubmitRefused),
        ("sbatch: error: QOSMaxWallDurationPerJobLimit\n" + POLICY, 1, SubmitRefused),
        ("sbatch: error: QOSMaxSubmitJobPerUserLimit\n" + POLICY, 1, SubmitLimited),
        ("sbatch: error: AssocMaxSubmitJobLimit\n" + POLICY, 1, SubmitLimited),
        (FAILED + "Slurm temporarily unable to accept job, sleeping and retrying", 1, BatchProblem),
        (FAILED + "Unable to contact slurm controller (connect failure)", 1, BatchProblem),
        (FAILED + "Resource temporarily unavailable", 1, BatchProblem),
        (FAILED + "Socket timed out on send/recv operation", 1, SubmitUnconfirmed),
        (FAILED + "Zero Bytes were transmitted or received", 1, SubmitUnconfirmed),
        ("", -9, SubmitUnconfirmed),
    ],
)
def test_kinds(stderr: str, status: int, kind: type[BatchProblem]) -> None:
    assert type(problem_of(REQUEST, stderr, status)) is kind


def test_a_refusal_bears_slurms_words_and_the_next_thing_to_do() -> None:
    error = problem_of(REQUEST, FAILED + "Invalid qos specification\n", 1)
    assert error.fact == "Slurm refused the request: Batch job submission failed: Invalid qos specification"
    assert error.hint == "check `qos` of machine cpu in the site file"


@pytest.mark.parametrize(
    ("stdout", "job_id"),
    [
        ("123\n", "123"),
        ("123;cluster\n", "123"),
        ("Welcome!\nYour quota: 40\n\n123\n", "123"),
        ("", None),
        ("Submitted batch job 123\n", None),
        ("12 3\n", None),
    ],
)
def test_the_job_id_is_found_or_not_at_all(stdout: str, job_id: str | None) -> None:
    assert job_id_of(stdout) == job_id
