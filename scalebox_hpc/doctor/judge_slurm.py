"""Judges what Slurm allows: limits, partitions, and whether each machine of the site fits. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from scalebox_hpc.batch.slurm_site import Allowance, Partition, SlurmSite
from scalebox_hpc.doctor.facts import Asked
from scalebox_hpc.doctor.finding import Finding, fail, ok, warn
from scalebox_hpc.domain.site import Machine, Site
from scalebox_hpc.errors import SubmitRefused
from scalebox_hpc.units import show_duration, show_size

MIB: Final = 1 << 20
AGENT_CODES: Final = (4, 126, 127)  # of an element whose agent found no daemon, no folder, no Python
SHORT_KILL_S: Final = 5.0  # an agent needs some seconds to tell what became of its tasks
LEARNS: Final = "sbx asks for less when Slurm refuses, and tries more later"


def limits(seen: SlurmSite, site: Site) -> Finding:
    """How many elements we may have."""
    parts = []
    if seen.array_size is not None:
        parts.append(f"an array has up to {seen.array_size} elements (MaxArraySize)")
    if seen.queue is not None:
        parts.append(f"all users together have {seen.queue} in the queue (MaxJobCount)")
    bounds = [each for each in seen.allowances if each.elements is not None and _counts(each, seen)]
    tight = min(bounds, key=lambda each: each.elements or 0, default=None)
    if tight is None:
        return ok("limits", "; ".join(parts) or "Slurm does not tell its limits")
    parts.append(f"you may have {tight.elements} submitted ({tight.source})")
    wanted = site.limits.elements
    if wanted is not None and tight.elements is not None and wanted > tight.elements:
        remedy = f"write `elements = {tight.elements}` in [limits] of the site file; {LEARNS}"
        return warn("limits", f"{'; '.join(parts)}, fewer than the site's `elements = {wanted}`", remedy)
    return ok("limits", "; ".join([*parts, LEARNS]))


def _counts(allowance: Allowance, seen: SlurmSite) -> bool:
    """Whether Slurm holds to it, and it is ours: an association is, a QOS where one of ours uses it."""
    if "limits" not in seen.enforces and "safe" not in seen.enforces:
        return False
    ours = {each.qos for each in seen.allowances if each.account}
    return bool(allowance.account) or allowance.qos in ours


def endings(seen: SlurmSite, site: Site) -> Finding:
    """How elements end that do not end by themselves, and how soon we learn of it."""
    wait = "" if seen.kill_wait_s is None else f"; {seen.kill_wait_s:g} s between TERM and KILL (KillWait)"
    if seen.silent_node_s:
        lost = f"a silent node is lost after {show_duration(seen.silent_node_s)} (SlurmdTimeout)"
    else:
        lost = f"a silent node is lost after {show_duration(site.lost_after_s)} (`lost_after`)"
    fact = f"{lost}{wait}; preemption: {seen.preemption or 'unknown'}"
    if "SUSPEND" in seen.preemption:
        return warn(
            "endings",
            f"{fact}: a suspended agent looks lost, and its tasks are given to others",
            "raise `lost_after` in the site file above the time that elements stay suspended",
        )
    if seen.kill_wait_s is not None and seen.kill_wait_s < SHORT_KILL_S:
        return warn("endings", f"{fact}, which is little for an agent's last word", "nothing is lost by it")
    again = [code for code in AGENT_CODES if _holds(seen.requeued_codes, code)]
    if again:
        shown = ", ".join(map(str, again))
        return warn(
            "endings",
            f"Slurm starts elements again that exit with {shown} (RequeueExit = {seen.requeued_codes})",
            "an element that could not start may come back a few times; nothing is counted twice",
        )
    return ok("endings", fact)


def _holds(codes: str, code: int) -> bool:
    """Whether a list such as `1,3,10-20` holds a number."""
    spans = re.findall(r"(\d+)(?:-(\d+))?", codes)
    return any(int(first) <= code <= int(last or first) for first, last in spans)


def machine(asked: Asked, seen: SlurmSite) -> Finding:
    """Whether the elements of one machine fit into its partition."""
    name = asked.machine.name
    found = _partition(asked.machine, seen.partitions)
    if found is None:
        return _unknown_partition(asked, seen.partitions)
    fact = f"{name}: {_shown(found)}"
    if found.state in ("INACTIVE", "DRAIN"):
        return fail("machine", f"{fact}: it takes nothing", "choose another `partition`, or wait")
    problem = next(_misfits(asked, found, seen), None)
    if problem is not None:
        said, remedy = problem
        return fail("machine", f"{fact}: {said}", remedy)
    if asked.refusal is not None:
        tell = fail if isinstance(asked.refusal, SubmitRefused) else warn
        return tell("machine", f"{name}: {asked.refusal.fact}", asked.refusal.hint or "try again later")
    if found.state != "UP":
        return warn("machine", f"{fact}: elements wait until it is up", "choose another `partition`, or wait")
    return ok("machine", f"{fact}; would take {_element(asked.machine)} for {_walltime(asked)}")


def _partition(wanted: Machine, known: Sequence[Partition]) -> Partition | None:
    """The machine's partition, the first of several, else Slurm's default one."""
    if wanted.partition is None:
        return next((each for each in known if each.default), None)
    return next((each for each in known if each.name == wanted.partition.split(",")[0]), None)


def _unknown_partition(asked: Asked, known: Sequence[Partition]) -> Finding:
    name = asked.machine.name
    names = ", ".join(each.name for each in known)
    if asked.refusal is not None:
        return fail("machine", f"{name}: {asked.refusal.fact}", asked.refusal.hint)
    if not known or asked.machine.partition is None:
        return ok("machine", f"{name}: Slurm would take {_element(asked.machine)} for {_walltime(asked)}")
    return warn("machine", f"{name}: partition {asked.machine.partition} is not listed", f"there are {names}")


def _misfits(asked: Asked, found: Partition, seen: SlurmSite) -> Iterator[tuple[str, str]]:
    """What of a machine does not fit: what is so, and what to write."""
    wanted = asked.machine
    longest_s, source = _longest(wanted, found, seen)
    if longest_s is not None and asked.walltime_s > longest_s:
        where = f"for pool {asked.pool}" if asked.pool else "for each pool there"
        whose = f"pool {asked.pool} asks" if asked.pool else "a pool without `walltime` asks"
        yield (
            f"{whose} for {show_duration(asked.walltime_s)}, {source} allows {show_duration(longest_s)}",
            f'write walltime = "{show_duration(longest_s)}" or less {where} in pipeline.toml,'
            " or choose a machine of another partition",
        )
    if found.cpus_per_node is not None and (wanted.cpus or 1) > found.cpus_per_node:
        yield (
            f"an element has {wanted.cpus} cpus, MaxCPUsPerNode is {found.cpus_per_node}",
            f"write cpus = {found.cpus_per_node} or less in [machines.{wanted.name}] of the site file",
        )
    if found.shapes and not any(_fits(wanted, found, index) for index in range(len(found.shapes))):
        yield (
            f"no node there has room for {_element(wanted)}",
            f"write less in [machines.{wanted.name}] of the site file",
        )


def _longest(wanted: Machine, found: Partition, seen: SlurmSite) -> tuple[float | None, str]:
    """The longest walltime, and who says so: the partition, or what the user is allowed."""
    bounds = [] if found.longest_s is None else [(found.longest_s, f"MaxTime of {found.name}")]
    for each in seen.allowances:
        its = each.account in ("", wanted.account or each.account) and each.partition in ("", found.name)
        if its and each.longest_s is not None and _counts(each, seen) and wanted.qos in (None, each.qos):
            bounds.append((each.longest_s, f"MaxWall of {each.source}"))
    return min(bounds, default=(None, ""))


def _fits(wanted: Machine, found: Partition, index: int) -> bool:
    shape = found.shapes[index]
    return (
        (wanted.cpus or 1) <= shape.cpus
        and (wanted.memory_mib or 0) <= shape.memory_mib
        and wanted.gpus <= shape.gpus
    )


def _walltime(asked: Asked) -> str:
    return show_duration(asked.walltime_s) + (f" (pool {asked.pool})" if asked.pool else "")


def _element(wanted: Machine) -> str:
    sizes = [f"{wanted.cpus or 1} cpus"]
    if wanted.memory_mib is not None:
        sizes.append(show_size(wanted.memory_mib * MIB))
    if wanted.gpus:
        sizes.append(f"{wanted.gpus} gpus")
    return "an element of " + ", ".join(sizes)


def _shown(found: Partition) -> str:
    longest = "" if found.longest_s is None else f", up to {show_duration(found.longest_s)}"
    count = sum(shape.count for shape in found.shapes)
    largest = max(found.shapes, key=lambda shape: (shape.cpus, shape.memory_mib), default=None)
    nodes = (
        ""
        if largest is None
        else (
            f", {count} nodes of up to {largest.cpus} cpus, {show_size(largest.memory_mib * MIB)}"
            + (f", {largest.gpus} gpus" if largest.gpus else "")
        )
    )
    return f"partition {found.name} is {found.state}{longest}{nodes}"
