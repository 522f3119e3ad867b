"""A request, written as the sbatch script that asks for it. Pure text: asks nobody."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import Final

from scalebox_hpc.batch.element import element_script
from scalebox_hpc.domain.allocation import AllocationRequest
from scalebox_hpc.domain.site import Machine

WARNING_S: Final = 60
"""How long before the walltime Slurm sends TERM; it may come up to a minute earlier still."""

SHORT_S: Final = 600
"""Below this walltime no warning is asked for: it could come before the work has begun."""


def walltime_option(walltime_s: float) -> str:
    """Format a walltime in seconds for `--time`, rounded up to Slurm's whole minutes.

    >>> walltime_option(90), walltime_option(86_400 + 3_600)
    ('0-00:02:00', '1-01:00:00')
    """
    if walltime_s <= 0:
        raise ValueError(f"walltime_s must be positive, not {walltime_s}")
    minutes = ceil(walltime_s / 60)
    days, minutes = divmod(minutes, 24 * 60)
    return f"{days}-{minutes // 60:02}:{minutes % 60:02}:00"


def script(request: AllocationRequest) -> str:
    """Return the script that asks for one try, the same text for the same request.

    The machine's own `sbatch` options come last, so that they win over ours.
    """
    asked = [f"#SBATCH --{name}={_quoted(value)}" for name, value in options(request).items()]
    flags = ["#SBATCH --requeue", *(["#SBATCH --exclusive"] if request.machine.exclusive else [])]
    extra = [f"#SBATCH {option}" for option in request.machine.sbatch]
    whole_minutes = replace(request, walltime_s=float(ceil(request.walltime_s / 60) * 60))
    element = element_script(
        whole_minutes, element='"${SLURM_ARRAY_TASK_ID:-0}"', restart='"${SLURM_RESTART_COUNT:-0}"'
    )
    # sbatch itself was called with LC_ALL=C and TZ=UTC, which tasks shall not see
    return "\n".join(["#!/bin/sh", *asked, *flags, *extra, "unset LC_ALL TZ", element])


def options(request: AllocationRequest) -> dict[str, str]:
    """What is asked of Slurm, by sbatch's long options; without flags and the machine's own `sbatch`."""
    shared = request.launch.shared.replace("%", "%%")
    asked = {
        "job-name": request.name,
        "array": f"0-{request.elements - 1}",
        **_shape(request),
        "mem": f"{request.memory_mib}M",
        "time": walltime_option(request.walltime_s),
        "chdir": request.launch.shared,
        "output": f"{shared}/tries/{request.name}/element-%a.log",
        "open-mode": "append",
    }
    if request.gpus:
        asked["gres"] = f"gpu:{request.gpus}"
    if request.walltime_s >= SHORT_S:
        asked["signal"] = f"B:TERM@{WARNING_S}"
    return asked | _placement(request.machine)


def _shape(request: AllocationRequest) -> dict[str, str]:
    """One process with all cpus; or the ranks of one task, spread evenly over its nodes."""
    ranks = request.ranks
    if ranks is None:
        return {"nodes": "1", "ntasks": "1", "cpus-per-task": str(request.cpus)}
    return {
        "nodes": str(ranks.nodes),
        "ntasks": str(ranks.count),
        "ntasks-per-node": str(ranks.per_node),  # beside ntasks: the most of a node
        "cpus-per-task": str(request.cpus // ranks.count),
    }


def _placement(machine: Machine) -> dict[str, str]:
    keys = {
        "partition": machine.partition,
        "account": machine.account,
        "qos": machine.qos,
        "constraint": machine.constraint,
    }
    return {name: value for name, value in keys.items() if value is not None}


def _quoted(value: str) -> str:
    """Quote a value for an #SBATCH line, whose blanks part and whose `#` ends the options."""
    if not set(value) & set(" \t#'\"\\"):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
