"""Which of the ways to Slurm a site takes, and why not the other."""

from __future__ import annotations

from scalebox_hpc.batch.slurm_api import INSTALL, why_not_pyslurm
from scalebox_hpc.doctor.finding import Finding, fail, ok


def check(batch: str) -> Finding:
    """Ask what there is, where the site leaves a choice, and judge it."""
    return judge(batch, why_not_pyslurm() if batch in ("slurm", "slurm_api") else "")


def judge(batch: str, why_not: str) -> Finding:
    """Say by what the site is spoken to; `why_not`: what keeps pyslurm from it."""
    if batch == "local":
        return ok("batch", "processes of this machine")
    if batch == "slurm_cli":
        return ok("batch", "sbatch, squeue and scancel, as the site file says")
    if not why_not:
        return ok("batch", "pyslurm, which is for the Slurm here")
    if batch == "slurm_api":
        return fail("batch", f"the site file wants pyslurm: {why_not}", INSTALL)
    return ok("batch", f"sbatch, squeue and scancel: {why_not}")
