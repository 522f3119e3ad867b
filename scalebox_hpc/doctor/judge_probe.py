"""Judges what an element found that was sent to a compute node. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from scalebox_hpc.doctor.facts import Probed
from scalebox_hpc.doctor.finding import Finding, fail, ok, warn
from scalebox_hpc.domain.site import Site
from scalebox_hpc.errors import SbxError
from scalebox_hpc.units import show_duration, show_size

PYTHON: Final = (3, 9)
MIB: Final = 1 << 20
SLOW_FOLDER_S: Final = 30.0
CLOCK_OFF_S: Final = 5.0
SCARCE_MIB: Final = 1024
LOOPBACK: Final = "127."
REFUSED: Final = ("ECONNREFUSED", "Connection refused")
LATE: Final = ("no connection within", "no answer within", "ETIMEDOUT")
NO_WAY: Final = ("EHOSTUNREACH", "ENETUNREACH", "No route to host", "Network is unreachable")
NO_NAME: Final = ("Name or service not known", "name resolution", "No address associated")


def unsent(error: SbxError) -> Finding:
    """The batch system took nothing, or there was no place for its files."""
    return fail("probe", error.fact, " ".join(error.hint.split()) or "see the checks above")


def probed(seen: Probed, site: Site, here: Mapping[str, str]) -> list[Finding]:
    """All that was found; where nothing was, why. `here` are the interfaces of this machine."""
    if seen.found is None:
        return [_silent(seen)]
    said = seen.found
    job = f" (Slurm job {seen.job_id})" if seen.job_id else ""
    return [
        ok("probe", f"an element began on {said['node']}{job} after {show_duration(seen.after_s)}"),
        *_reach(seen, said, site, here),
        _python(said),
        _folder(seen, said),
        _scratch(said),
        _runtimes(said, site),
        _clock(said),
        _room(said),
    ]


def _silent(seen: Probed) -> Finding:
    """Nothing was heard of the element."""
    waited = show_duration(seen.waited_s)
    if seen.ended:
        words = f": {seen.last_words}" if seen.last_words else " and left no word"
        return fail(
            "probe",
            f"the element ended ({seen.state}){words}",
            f"see that compute nodes reach {seen.shared} (`paths.shared`) and have `python` of the site file",
        )
    if seen.node:
        return fail(
            "probe",
            f"the element on {seen.node} was not done after {waited}",
            "look what keeps that node busy, or wait longer: `--wait 15m`",
        )
    if not seen.state:
        return fail("probe", f"Slurm did not list the element in {waited}", "try `squeue --me`")
    why = f" ({seen.reason})" if seen.reason else ""
    if seen.state == "PENDING" or not seen.last_words:
        remedy = "wait longer: `--wait 1h`; or take another machine: `--machine NAME`"
        return fail("probe", f"the element is {seen.state} after {waited}{why}; it was cancelled", remedy)
    return fail(
        "probe",
        f"the element is {seen.state} after {waited}, and no file of its own is to be seen:"
        f" {seen.last_words}",
        "set `paths.shared` to a folder that login and compute nodes share",
    )


def _reach(seen: Probed, said: Mapping[str, Any], site: Site, here: Mapping[str, str]) -> Iterator[Finding]:
    """Whom the element could greet: the addresses in the order in which agents try them."""
    whom = "the daemon" if seen.via_daemon else "a listener in the daemon's place"
    if said["problem"]:
        yield fail("reach", str(said["problem"]), "see `paths.shared` in the site file")
        return
    far = [each for each in said["addresses"] if not str(each["address"]).startswith(LOOPBACK)]
    tried = far or said["addresses"]  # the loopback is the last resort of agents on this very machine
    outcomes = "; ".join(f"{each['address']}: {_outcome(each)}" for each in tried)
    good = [index for index, each in enumerate(tried) if each["status"] == 200]
    if not good:
        yield fail(
            "reach", f"{whom} was not reached from {said['node']}: {outcomes}", _remedy(tried, site, here)
        )
    elif good[0] > 0:
        first = tried[good[0]]["address"].rpartition(":")[0]
        yield warn(
            "reach",
            f"{whom} was reached from {said['node']}, but not at once: {outcomes}",
            f'write advertise = ["{first}"] in the site file, or agents lose time at each connection',
        )
    else:
        yield ok("reach", f"{whom} was reached from {said['node']}: {outcomes}")


def _outcome(tried: Mapping[str, Any]) -> str:
    """What came of one address."""
    if tried["status"] == 200:
        return f"reached in {max(1, round(tried['took_s'] * 1000))} ms"
    if tried["status"]:
        return f"answered {tried['status']}"
    text = str(tried["said"])
    kinds = {"refused": REFUSED, "timed out": LATE, "no way there": NO_WAY, "unknown name": NO_NAME}
    for kind, words in kinds.items():
        if any(word in text for word in words):
            return kind
    return text.removeprefix(f"{tried['address']}: ")


def _remedy(tried: Sequence[Mapping[str, Any]], site: Site, here: Mapping[str, str]) -> str:
    """What to write where no address was good."""
    outcomes = [_outcome(each) for each in tried]
    if any(outcome.startswith("answered") or "certificate" in outcome for outcome in outcomes):
        return "something else answers there: set `ports` in the site file to a range that is yours"
    known = ", ".join(f"{name} {address}" for name, address in here.items())
    whose = f"this machine ({known})" if site.ssh is None else "the login node"
    say = f"set `advertise` in the site file to what compute nodes reach of {whose}"
    if any(outcome in ("timed out", "refused") for outcome in outcomes):
        ports = "others in `ports`" if site.ports else "`ports`"
        return f"{say}; or a firewall is between: ask the staff which ports are open, and write {ports}"
    return say


def _python(said: Mapping[str, Any]) -> Finding:
    version = str(said["python"])
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < PYTHON:
        wanted = ".".join(map(str, PYTHON))
        remedy = f"set `python` in the site file to one of {wanted} or newer, or load it in `prologue`"
        return fail("node python", f"Python {version} is too old", remedy)
    return ok("node python", f"Python {version}")


def _folder(seen: Probed, said: Mapping[str, Any]) -> Finding:
    """The shared folder, seen from both sides."""
    took_s = said["seen"].get("took_s")
    if took_s is None:
        return warn(
            "node shared",
            f"a new file in {seen.shared} was not seen on {said['node']} in time",
            "agents will find a daemon that moved, and the daemon what they spooled, late",
        )
    fact = f"written and read there; word by new files went there and back in {show_duration(took_s)}"
    if took_s > SLOW_FOLDER_S:
        return warn("node shared", fact, "agents will find a daemon that moved, late; nothing is lost")
    return ok("node shared", fact)


def _scratch(said: Mapping[str, Any]) -> Finding:
    room = f"{said['scratch']}: {show_size(said['scratch_mib'] * MIB)} free"
    if said["scratch_problem"]:
        return fail("node scratch", str(said["scratch_problem"]), "set `paths.scratch` in the site file")
    if said["scratch_mib"] < SCARCE_MIB:
        return warn("node scratch", room, "that is little: set `paths.scratch` in the site file")
    return ok("node scratch", room)


def _runtimes(said: Mapping[str, Any], site: Site) -> Finding:
    """The container runtimes in PATH there, after the site's prologue."""
    there = said["runtimes"]
    shown = ", ".join(f"{name} {version}".strip() for name, version in there.items())
    wanted = site.containers.runtime
    remedy = "modules without `image` work; else load it in the site's `prologue`"
    if not there:
        return warn("node images", "no container runtime is in PATH there", remedy)
    if wanted and wanted not in there:
        return warn("node images", f"{wanted} is not in PATH there, but {shown}", remedy)
    return ok("node images", shown)


def _clock(said: Mapping[str, Any]) -> Finding:
    """The node's clock beside ours; it cannot be known better than the way of the files took."""
    seen = said["seen"]
    if not seen:
        return ok("node clock", "unknown: the files between us took too long")
    ahead_s, doubt_s = seen["ahead_s"], seen["took_s"] / 2
    if abs(ahead_s) - doubt_s > CLOCK_OFF_S:
        side = "ahead of" if ahead_s > 0 else "behind"
        return warn(
            "node clock",
            f"{show_duration(abs(ahead_s))} {side} this machine's",
            "a run works all the same; agents there misjudge the end of their walltime: tell the staff",
        )
    return ok("node clock", f"as this machine's, within {show_duration(max(doubt_s, abs(ahead_s)))}")


def _room(said: Mapping[str, Any]) -> Finding:
    """What the agent believes to have there."""
    sizes = f"{said['cpus']} cpus, {show_size(said['memory_mib'] * MIB)}, {said['gpus']} gpus"
    if said["cgroup"]:
        return ok("node limits", f"{sizes}; memory of an element is watched by the kernel (cgroup)")
    return ok("node limits", f"{sizes}; no memory cgroup: the kernel's kills for want of memory are not told")
