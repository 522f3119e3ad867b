"""The environment in which batch systems are called and local elements start. Changes nothing of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

STRIPPED: Final = (
    "SLURM_",
    "SBATCH_",
    "SRUN_",
    "SQUEUE_",
    "SACCT_",
    "SALLOC_",
    "SCANCEL_",
    "SCONTROL_",
    "XDG_",
    "DBUS_",
    "SBX_",
)
"""What a user's habits, a surrounding Slurm job, a desktop or our own daemon left there."""


def stripped(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without what would change Slurm's answers; SLURM_CONF stays."""
    return {
        name: value
        for name, value in environ.items()
        if name == "SLURM_CONF" or not name.startswith(STRIPPED)
    }


def for_slurm(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for Slurm's commands: plain words, UTC, index lists written in full.

    A job inherits it, so the user's LC_ALL is handed on as LANG; the script unsets the rest.
    """
    kept = stripped(environ)
    if kept.get("LC_ALL"):
        kept["LANG"] = kept["LC_ALL"]
    return kept | {"LC_ALL": "C", "TZ": "UTC", "SLURM_BITSTR_LEN": "0"}
