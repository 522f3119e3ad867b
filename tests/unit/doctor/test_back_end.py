"""Which of the ways to Slurm a site takes."""

from __future__ import annotations

import pytest

from scalebox_hpc.doctor.back_end import check, judge

OLD = "pyslurm 25.11.2 is not for Slurm 24.11"


@pytest.mark.parametrize(
    ("batch", "why_not", "verdict", "words"),
    [
        ("local", "", "ok", "processes of this machine"),
        ("slurm_cli", "", "ok", "as the site file says"),
        ("slurm", "", "ok", "pyslurm, which is for the Slurm here"),
        ("slurm", OLD, "ok", f"sbatch, squeue and scancel: {OLD}"),
        ("slurm_api", "", "ok", "pyslurm"),
        ("slurm_api", OLD, "fail", f"the site file wants pyslurm: {OLD}"),
    ],
)
def test_it_says_what_is_used_and_why_not_the_other(
    batch: str, why_not: str, verdict: str, words: str
) -> None:
    found = judge(batch, why_not)
    assert (found.check, found.verdict) == ("batch", verdict)
    assert words in found.fact
    assert bool(found.remedy) is (verdict == "fail")


def test_pyslurm_is_not_looked_for_where_the_site_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    monkeypatch.setattr("scalebox_hpc.batch.slurm_api.find_spec", refuse)
    assert {check(batch).verdict for batch in ("local", "slurm_cli")} == {"ok"}


def test_an_absent_pyslurm_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalebox_hpc.batch.slurm_api.find_spec", lambda name: None)
    assert check("slurm").fact.endswith("pyslurm is not installed")
    assert check("slurm_api").verdict == "fail"
