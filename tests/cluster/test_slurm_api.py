"""Slurm by pyslurm, against a real Slurm that it is for: all that the commands are asked, and more.

Such a pair is a root file system of its own (`scripts/cluster/build-rootfs-pyslurm`), made once where
SBX_BOX_UBUNTU names a mirror; without it, or with SBX_SKIP_PYSLURM=1, these tests are skipped.
"""

import json
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.box import Box, BoxError, Settings, Site, running_site, wait_until
from tests.cluster.test_doctor import doctor
from tests.cluster.test_slurm_cli import (  # the same questions, asked of another back end
    Desk,
    desk_at,
    named,
    test_a_controller_that_cannot_be_reached_ends_nothing,  # noqa: F401
    test_a_requeued_element_waits_again_and_comes_back_with_a_higher_count,  # noqa: F401
    test_a_surrounding_job_and_habits_change_nothing,  # noqa: F401
    test_a_trial_makes_no_allocation,  # noqa: F401
    test_a_try_is_cancelled_by_name_alone,  # noqa: F401
    test_cancelling_what_is_over_or_unknown_is_no_problem,  # noqa: F401
    test_elements_start_run_and_end,  # noqa: F401
    test_other_homes_are_not_listed,  # noqa: F401
    test_pending_elements_are_read_however_compact_slurm_writes_them,  # noqa: F401
    test_refusals_are_told_in_slurms_words,  # noqa: F401
    test_running_and_pending_elements_are_cancelled_by_name_and_id,  # noqa: F401
    test_several_tries_are_cancelled_at_once,  # noqa: F401
    test_the_array_limit_is_the_most_elements_that_slurm_takes,  # noqa: F401
    test_the_script_is_plain_text,  # noqa: F401
)

WHEEL = "/opt/pyslurm/*.whl"

OF_ITS_OWN = {
    "JobId",
    "ArrayJobId",
    "JobName",
    "Priority",
    "AllocNode:Sid",
    "NodeList",
    "BatchHost",
    "StdOut",
    "LastSchedEval",
    "Scheduler",
}
"""What two jobs never have in common."""

OF_SBATCH = {"SubmitLine", "TresPerTask", "OOMKillStep"}
"""What only sbatch says, and what of it only pyslurm does: without effect on an agent."""

SITE_FILE = 'batch = "slurm_api"\ninterval = "1s"\n[machines.cpu]\ncpus = 1\n'

PIPELINE = """
sbx = 1
[pipeline]
name = "hello"
site = "here"
[modules.hello]
run = "echo {body}"
seed = ["a", "b"]
"""

FOR_MPI = ("HYDRA_", "OMPI_", "PRTE_", "I_MPI_")
"""What sbatch sets for launchers of MPI programs; so what needs them is submitted by sbatch."""


@pytest.fixture(scope="module")
def site_pyslurm() -> Iterator[Site]:
    if os.environ.get("SBX_SKIP_PYSLURM"):
        pytest.skip("SBX_SKIP_PYSLURM is set")
    environ = os.environ | {"SBX_BOX_ROOT": "build-rootfs-pyslurm", "SBX_BOX_STATE": f"{Box().state}-pyslurm"}
    box = Box(environ)
    try:
        box.call("build", timeout_s=900.0)
    except BoxError as error:
        pytest.skip(f"no Slurm that pyslurm is for: {error}")
    with running_site("sitep", Settings(), box) as running:
        pip = f"{running.sbx.removesuffix('sbx')}pip"
        running.run(running.login, f"{pip} -q install --no-index --no-deps {WHEEL}")
        yield running


@pytest.fixture
def desk(site_pyslurm: Site, request: pytest.FixtureRequest) -> Iterator[Desk]:
    yield from desk_at(site_pyslurm, request.node.name, "slurm_api")


def shown(desk: Desk, job_id: str) -> dict[str, str]:
    """What Slurm says of the first element of an array, but what differs from job to job."""
    text = desk.site.run(desk.site.login, f"scontrol show job {job_id}_0").stdout
    found = dict(re.findall(r"(\S+?)=(\S*)", text))
    return {key: value for key, value in found.items() if not key.endswith("Time") and key not in OF_ITS_OWN}


def surroundings(desk: Desk, name: str) -> dict[str, Any]:
    """What the first element of a try was started in, but what differs from job to job or is Slurm's."""
    path = desk.shared / f"run-{name}-0-0"
    wait_until(path.exists, 60, "the first element's start")
    found = dict(json.loads(path.read_text()))
    ours = ("SLURM", "SBX_", "HOSTNAME", "_", *FOR_MPI)
    found["environ"] = {key: value for key, value in found["environ"].items() if not key.startswith(ours)}
    return found


def test_a_job_is_the_one_that_sbatch_would_make(desk: Desk) -> None:
    desk.environ = "umask 027; ulimit -c 100; ulimit -s 4096; A_HABIT='of mine' LC_ALL=C.UTF-8"
    asked = {"cpus": 3, "walltime_s": 7200.0, "machine": {"partition": "urgent", "exclusive": True}}
    names, jobs = (named(20), named(21)), []
    for name, kind in zip(names, ("slurm_api", "slurm_cli"), strict=True):
        desk.kind = kind
        jobs.append(desk.submit(name, 1, **asked))
    for name in names:
        desk.all_are(name, "active")
    here, there = (surroundings(desk, name) for name in names)
    by_pyslurm, by_sbatch = (shown(desk, job_id) for job_id in jobs)
    differing = {key for key in by_pyslurm | by_sbatch if by_pyslurm.get(key) != by_sbatch.get(key)}
    assert differing <= OF_SBATCH
    assert (by_pyslurm["TimeLimit"], by_pyslurm["CPUs/Task"]) == ("02:00:00", "3")
    assert here == there
    assert (here["umask"], here["environ"]["A_HABIT"]) == (0o027, "of mine")
    assert here["limits"]["RLIMIT_CORE"][0] == 100 * 1024


def test_the_doctor_says_that_pyslurm_is_used_or_why_not(site_pyslurm: Site) -> None:
    said = doctor(site_pyslurm, "doctor", "--site", "slurm")["batch"]
    assert (said["verdict"], said["fact"]) == ("ok", "pyslurm, which is for the Slurm here")


def test_a_run_goes_by_pyslurm(site_pyslurm: Site) -> None:
    folder = site_pyslurm.home / "hello"
    site_pyslurm.write(folder / "pipeline.toml", PIPELINE)
    site_pyslurm.write(folder / "site-configs" / "here.toml", SITE_FILE)
    command = f"cd hello && {site_pyslurm.sbx} run && {site_pyslurm.sbx} daemon stop"
    assert "SUCCEEDED" in site_pyslurm.run(site_pyslurm.login, command, timeout_s=120).stdout
    jobs = site_pyslurm.run(
        site_pyslurm.login, "scontrol show job --oneliner | grep JobName=sbx-hello-"
    ).stdout
    assert set(re.findall(r"SubmitLine=(\S+)", jobs)) == {"(null)"}, "none by sbatch"
