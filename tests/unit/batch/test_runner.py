"""Slurm's commands at a remote site: hermetic there too, and honest about a link that is lost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from scalebox_hpc.batch.runner import RemoteRunner
from scalebox_hpc.batch.slurm_cli import SlurmCli, Timeouts
from scalebox_hpc.batch.surroundings import for_slurm
from scalebox_hpc.domain.allocation import CancelTarget
from scalebox_hpc.errors import BatchProblem, EnvironmentProblem, SiteUnreachable, SubmitUnconfirmed
from scalebox_hpc.testing.site import FakeSite
from tests.unit.batch.wanted import HOME, NAME, REQUEST

FAKES = Path(__file__).parents[2] / "contract" / "fake_slurm"
HABITS = {
    "SLURM_CONF": "/etc/slurm.conf",
    "SLURM_JOB_ID": "7",
    "SBATCH_ACCOUNT": "mine",
    "SQUEUE_FORMAT": "%i\nSLURM_ODD (x)=1",
    "XDG_RUNTIME_DIR": "/run/user/1",
    "SBX_HOME": "/x",
    "LC_ALL": "C.UTF-8",
    "MINE": "stays",
}


@pytest.fixture
def site(tmp_path: Path) -> FakeSite:
    return FakeSite("b", tmp_path, {"PATH": f"{FAKES}:{os.environ['PATH']}", "FAKE_SLURM": str(tmp_path)})


def batch(site: FakeSite, timeouts: Timeouts | None = None) -> SlurmCli:
    return SlurmCli(HOME, runner=RemoteRunner("b", site, 4711), timeouts=timeouts)


def calls(site: FakeSite) -> list[dict]:
    return [json.loads(line) for line in (site.home / "calls.jsonl").read_text().splitlines()]


def test_what_a_login_shell_sets_there_does_not_reach_slurm(site: FakeSite) -> None:
    site.environ |= HABITS
    batch(site).submit(REQUEST)
    (call,) = calls(site)
    wanted = for_slurm(os.environ | site.environ)
    assert {name: call["environ"].get(name) for name in HABITS} == {name: wanted.get(name) for name in HABITS}
    assert {name: call["environ"][name] for name in ("LC_ALL", "TZ", "LANG", "SLURM_BITSTR_LEN")} == {
        "LC_ALL": "C", "TZ": "UTC", "LANG": "C.UTF-8", "SLURM_BITSTR_LEN": "0",
    }  # fmt: skip


def test_the_users_own_number_there_is_asked_for(site: FakeSite) -> None:
    assert batch(site).observe([]).complete
    assert "--user=4711" in calls(site)[0]["options"]


def test_a_link_that_is_lost_while_sbatch_runs_leaves_its_answer_open(site: FakeSite) -> None:
    run = site.run

    def lost(*words, **options):
        run(*words, **options)
        raise SiteUnreachable("b: the link is cut")

    site.run = lost
    with pytest.raises(SubmitUnconfirmed, match="the link is cut"):
        batch(site).submit(REQUEST)
    site.run = run
    assert NAME in batch(site).observe([]).tries


def test_a_look_without_a_link_is_no_complete_one(site: FakeSite) -> None:
    slurm = batch(site)
    slurm.submit(REQUEST)
    site.cut()
    listing = slurm.observe([NAME])
    assert (listing.complete, listing.tries) == (False, {})
    assert "the link was cut" in listing.problem
    assert slurm.array_limit is None
    with pytest.raises(SiteUnreachable):
        slurm.cancel([CancelTarget(NAME, "")])
    site.mend()
    assert NAME in slurm.observe([NAME]).tries


def test_a_command_that_hangs_there_is_told_as_here(site: FakeSite) -> None:
    for command in ("sbatch", "squeue", "scancel"):
        (site.home / f"{command}.fault").write_text('{"hang": true}')
    slurm = batch(site, Timeouts(submit_s=0.2, query_s=0.2))
    with pytest.raises(SubmitUnconfirmed, match=r"in 0\.2 s"):
        slurm.submit(REQUEST)
    assert not slurm.observe([]).complete
    with pytest.raises(BatchProblem, match=r"in 0\.2 s"):
        slurm.cancel([CancelTarget(NAME, "")])


def test_a_site_without_slurm_in_its_path_says_what_to_do(site: FakeSite) -> None:
    site.environ["PATH"] = "/usr/bin:/bin"
    with pytest.raises(
        EnvironmentProblem, match="sbatch was not found on the login node of site b"
    ) as caught:
        batch(site).submit(REQUEST)
    assert "PATH" in caught.value.hint
