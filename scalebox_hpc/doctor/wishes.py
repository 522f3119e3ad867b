"""What is asked of the machines of a site. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from scalebox_hpc.config.notes import did_you_mean
from scalebox_hpc.doctor.facts import Asked
from scalebox_hpc.domain.pipeline import Pool
from scalebox_hpc.domain.site import Machine, Site
from scalebox_hpc.errors import UsageError


def wishes(site: Site, pools: Sequence[Pool]) -> list[Asked]:
    """Each machine of the site, with the longest walltime that a pool here asks of it."""
    usual = site.default_machine() or Machine("default")
    found = []
    for machine in site.machines.values() or (usual,):
        its = [pool for pool in pools if (pool.machine or usual.name) == machine.name]
        longest = max(its, key=lambda pool: pool.walltime_s, default=None)
        default = Asked(machine, Pool("", site.name).walltime_s)
        found.append(default if longest is None else Asked(machine, longest.walltime_s, longest.name))
    return found


def machine_of(site: Site, name: str | None) -> Machine:
    """The machine of that name; None: the default one. Raises UsageError where there is none."""
    if name is None:
        return site.default_machine() or Machine("default")
    if name not in site.machines:
        raise UsageError(
            f"site {site.name} has no machine {name!r}", did_you_mean(name, site.machines, "machines")
        )
    return site.machines[name]
