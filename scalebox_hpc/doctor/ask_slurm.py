"""Asks Slurm what it allows, by commands that only look; submits nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping

from scalebox_hpc.batch import slurm_site
from scalebox_hpc.batch.slurm_cli import SlurmCli
from scalebox_hpc.batch.slurm_listing import config_values
from scalebox_hpc.batch.slurm_site import Allowance, SlurmSite
from scalebox_hpc.domain.allocation import AllocationRequest, Launch
from scalebox_hpc.domain.site import Machine
from scalebox_hpc.errors import SbxError

ELEMENT_MIB = 1024  # where the site file leaves the memory of a machine to its tasks


def allowed(slurm: SlurmCli, user: str) -> tuple[SlurmSite, float | None]:
    """What the site allows that user, and by how many seconds our clock is ahead of the controller's."""
    began_s = time.time_ns() / 1e9
    text = slurm.read("scontrol", "show", "config")
    now_s = (began_s + time.time_ns() / 1e9) / 2
    controller_s = slurm_site.controller_clock_s(text)
    values = config_values(text)
    site = SlurmSite(
        array_size=slurm_site.number(values.get("MaxArraySize", "")),
        queue=slurm_site.number(values.get("MaxJobCount", "")),
        silent_node_s=slurm_site.number(values.get("SlurmdTimeout", "")),
        kill_wait_s=slurm_site.number(values.get("KillWait", "")),
        preemption=values.get("PreemptMode", ""),
        requeued_codes=_codes(values),
        enforces=values.get("AccountingStorageEnforce", "").lower(),
        partitions=slurm_site.partitions(slurm.read(*slurm_site.PARTITIONS), slurm.read(*slurm_site.SHAPES)),
        allowances=_allowances(slurm, user) if "slurmdbd" in values.get("AccountingStorageType", "") else (),
    )
    return site, None if controller_s is None else now_s - controller_s


def _codes(config: Mapping[str, str]) -> str:
    given = [config.get(key, "(null)") for key in ("RequeueExit", "RequeueExitHold")]
    return ",".join(codes for codes in given if codes != "(null)")


def _allowances(slurm: SlurmCli, user: str) -> tuple[Allowance, ...]:
    """Of that user; none where slurmdbd does not answer."""
    show = ("sacctmgr", "--noheader", "--parsable2", "show")
    associations = slurm.read(*show, "associations", f"user={user}", f"format={slurm_site.ASSOCIATIONS}")
    qualities = slurm.read(*show, "qos", f"format={slurm_site.QUALITIES}")
    return (*slurm_site.associations(associations), *slurm_site.qualities(qualities))


def would_take(slurm: SlurmCli, machine: Machine, walltime_s: float) -> SbxError | None:
    """Whether Slurm would take one element of a machine: `sbatch --test-only`; None: it would."""
    request = AllocationRequest(
        name=f"sbx-doctor-{machine.name}",
        elements=1,
        cpus=machine.cpus or 1,
        memory_mib=machine.memory_mib or ELEMENT_MIB,
        gpus=machine.gpus,
        walltime_s=walltime_s,
        machine=machine,
        launch=Launch(home="0" * 16, shared="/", python="python3"),
    )
    try:
        slurm.verify(request)
    except SbxError as error:
        return error
    return None
