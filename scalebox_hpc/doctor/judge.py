"""Judges what was asked, one thing a function: values in, findings out. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from scalebox_hpc.doctor.facts import (
    Addresses,
    Clock,
    Containers,
    Daemon,
    HomeSeen,
    Ledger,
    Place,
    Runtime,
    Slurm,
)
from scalebox_hpc.doctor.finding import Finding, Verdict, fail, ok, warn
from scalebox_hpc.domain.site import Site
from scalebox_hpc.errors import PipelineErrors, SbxError
from scalebox_hpc.units import show_duration, show_size

PYTHON: Final = (3, 11)
OLDEST_SLURM: Final = (20, 11)
SCARCE_MIB: Final = 1024
NONE_LEFT_MIB: Final = 64
SCARCE_INODES: Final = 10_000
SLOW_FSYNC_S: Final = 0.5
CLOCK_OFF_S: Final = 5.0
CLOCK_UNIT_S: Final = 1.5  # below this the controller's whole seconds say nothing
IN_MEMORY: Final = ("tmpfs", "ramfs")
MIB: Final = 1 << 20
NO_SHELL: Final = "images without a shell: one container per task"
HOME_REMEDY: Final = "put the home elsewhere: SBX_HOME=/some/where"


def problem(check: str, error: SbxError) -> Finding:
    """What an error of ours says, on one line and another."""
    if isinstance(error, PipelineErrors):
        first, more = error.problems[0], len(error.problems) - 1
        fact = str(replace(first, remedy=""))
        return fail(check, fact + (f" (and {more} more)" if more else ""), first.remedy)
    return fail(check, error.fact, " ".join(error.hint.split()))


def python(version: tuple[int, int, int], ours: str) -> Finding:
    """The interpreter that runs sbx."""
    shown = ".".join(map(str, version))
    if version < PYTHON:
        wanted = ".".join(map(str, PYTHON))
        return fail("python", f"Python {shown} is too old", f"install sbx with Python {wanted} or newer")
    return ok("python", f"Python {shown}, sbx {ours}")


def home(seen: HomeSeen, place: Place) -> Finding:
    """The directory that holds the ledger: it needs room, links and locks."""
    if seen.problem is not None:
        return problem("home", seen.problem)
    if not place.problem and (lacks := _lacks(place)):
        return fail("home", f"{place.path}: {place.file_system} has no {lacks}", HOME_REMEDY)
    found = _writable("home", place, HOME_REMEDY)
    if found.verdict is Verdict.FAIL:
        return found
    if place.network:
        found = replace(found, fact=f"{found.fact}; the ledger, if SQLite, is for the daemon alone")
    if place.file_system in IN_MEMORY:
        return warn("home", f"{found.fact}, in memory: gone when this machine restarts", HOME_REMEDY)
    if place.fsync_s > SLOW_FSYNC_S:
        remedy = f"whatever is recorded waits for that: {HOME_REMEDY}, or the ledger in Postgres"
        return warn("home", f"{found.fact}; a write takes {_milliseconds(place.fsync_s)} to be safe", remedy)
    return found


def _lacks(place: Place) -> str:
    """What the home needs of a file system and this one has not; "" where it has all."""
    needs = {
        "hard links": place.links,
        "locks": place.locks,
        "rename over a file that is there": place.replaces,
    }
    return next((name for name, there in needs.items() if not there), "")


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _writable(check: str, place: Place, remedy: str) -> Finding:
    """A directory that files can be made in, with room for them."""
    if place.problem:
        return fail(check, f"{place.path} cannot be written: {place.problem}", remedy)
    kind = place.file_system or "an unknown file system"
    room = f"{show_size(place.free_mib * MIB)} free on {kind}{' (network)' if place.network else ''}"
    fact = f"{place.path}: {room}" + ("" if place.exists else "; made when it is needed")
    if place.free_mib < NONE_LEFT_MIB:
        return fail(check, fact, "make room there")
    if place.free_inodes is not None and place.free_inodes < SCARCE_INODES:
        said = f"{fact}; only {place.free_inodes} more files (inodes)"
        return (warn if place.free_inodes else fail)(check, said, "delete files there, or ask for more quota")
    if place.free_mib < SCARCE_MIB:
        return warn(check, fact, "that is little: make room there")
    return ok(check, fact)


def ledger(seen: Ledger | None) -> Finding:
    """The ledger of a home that no daemon serves."""
    if seen is None:
        return ok("ledger", "none yet: the first run makes it")
    if seen.problem is not None:
        return problem("ledger", seen.problem)
    fact = f"{seen.path}: format {seen.format}, {show_size(seen.size_mib * MIB)}"
    if seen.format > seen.newest_format:
        return fail(
            "ledger",
            f"{fact}; this program knows up to {seen.newest_format}",
            "use the release that wrote it",
        )
    return ok("ledger", fact)


def daemon(seen: Daemon) -> Finding:
    """Whether a daemon runs, or can be started."""
    if seen.problem is not None:
        return problem("daemon", seen.problem)
    if seen.answers:
        return ok("daemon", f"runs at {seen.at}")
    if seen.holder is None or seen.gone:
        return ok("daemon", "none runs; `sbx run` starts it")
    if seen.lives:
        return fail(
            "daemon", f"{seen.holder} does not answer", f"look into log/daemon.log, or kill {seen.holder.pid}"
        )
    return fail(
        "daemon",
        f"the home is held by {seen.holder}, of which nothing can be known from here",
        "work there; if it is gone for certain, say `sbx daemon takeover` here",
    )


def site(read: Site | SbxError, file: str, wanted: str) -> Finding:
    """The site file."""
    if isinstance(read, SbxError):
        return problem("site", read)
    machines = ", ".join(read.machines) or "none"
    return ok("site", f"{wanted} ({read.batch}; machines: {machines}) from {file}")


def clock(seen: Clock) -> Finding:
    """This machine's clock. It never keeps a run from working: agents' times are put in its frame."""
    offsets = {
        "the file server": seen.file_server_s,
        "Slurm's controller": seen.controller_s,
        "the login node": seen.login_node_s,
    }
    known = {whose: offset for whose, offset in offsets.items() if offset is not None}
    parts = [f"{_offset(offset)} {whose}" for whose, offset in known.items()]
    fact = "; ".join(parts) or "nothing here to compare it with"
    off = [whose for whose, offset in known.items() if abs(offset) > CLOCK_OFF_S]
    if off:
        said = "times in reports are this machine's; a wrong clock makes walltimes look longer or shorter"
        return warn("clock", fact, f"{said}: ask the staff to set the clocks of this machine and {off[0]}")
    if seen.kept is False:
        fact += "; nothing sets it, says the kernel"
    return ok("clock", fact)


def _offset(seconds: float) -> str:
    if abs(seconds) < CLOCK_UNIT_S:
        return f"within {CLOCK_UNIT_S:g} s of"
    return f"{show_duration(abs(seconds))} {'ahead of' if seconds > 0 else 'behind'}"


def results(place: Place) -> Finding:
    """Where tasks publish what they made."""
    return _writable("results", place, "run where results/ beside the pipeline can be written")


def slurm(seen: Slurm | None, there: str = "") -> Finding:
    """Slurm; None where the site does without. `there`: the login node, where that is another machine."""
    if seen is None:
        return ok("slurm", "not needed: the site is this machine")
    if seen.missing and there:
        remedy = "a command over ssh must find them: add Slurm's directory to PATH in ~/.bashrc there"
        return fail("slurm", f"not in PATH on {there}: {', '.join(seen.missing)}", remedy)
    if seen.missing:
        return fail(
            "slurm", f"not in PATH: {', '.join(seen.missing)}", "work on a login node; or use `--site local`"
        )
    if seen.version is None:
        return fail(
            "slurm", "the controller does not answer", "try `scontrol show config`; ask the site's staff"
        )
    shown = f"Slurm {seen.version[0]}.{seen.version[1]:02}"
    if seen.version < OLDEST_SLURM:
        oldest = f"{OLDEST_SLURM[0]}.{OLDEST_SLURM[1]:02}"
        return fail("slurm", f"{shown} is older than {oldest}", "ask the site's staff for a newer one")
    kept = {True: "with slurmdbd", False: "without slurmdbd (it is not needed)", None: "slurmdbd unknown"}
    return ok("slurm", f"{shown}, {kept[seen.accounting]}")


def address(seen: Addresses, batch: str) -> Finding:
    """Whether agents on other nodes could reach a daemon here."""
    if seen.problem is not None:
        return problem("address", seen.problem)
    fact = f"agents look for the daemon at {', '.join(seen.found)}"
    if batch != "local" and all(each.startswith("127.") for each in seen.found):
        return fail("address", fact, "compute nodes cannot reach that: set `advertise` in the site file")
    return ok("address", fact)


def shared(place: Place, batch: str) -> Finding:
    """The folder that compute nodes must reach."""
    found = _writable("shared", place, "set `paths.shared` in the site file")
    if batch != "local" and place.file_system in IN_MEMORY:
        return fail(
            "shared",
            f"{place.path} is in the memory of one machine",
            "set `paths.shared` to what nodes see too",
        )
    return found


def scratch(path: str, place: Place | None) -> Finding:
    """Where tasks work; None where that is on other machines."""
    if place is None:
        return ok("scratch", f"{path} on each compute node; its agent looks at it")
    return _writable("scratch", place, "set `paths.scratch` in the site file, or TMPDIR")


def images(wanted: str | None, place: Place) -> Finding:
    """Where images are kept."""
    found = _writable("images", place, "set `paths.images` in the site file")
    if wanted is not None and wanted != place.path:
        return warn(
            "images", f"{wanted} cannot be written; {found.fact}", "other users' images are not shared"
        )
    return found


def containers(seen: Containers) -> list[Finding]:
    """The container runtimes here: the one that modules with `image` get, then the others."""
    usable = [each for each in seen.runtimes if not _is_another_name(each, seen)]
    chosen = next((each for each in seen.runtimes if seen.wanted in ("", each.name)), None)
    if chosen is None:
        fact = (
            f"{seen.wanted or 'no container runtime'} is {'not ' if seen.wanted else ''}in PATH {seen.where}"
        )
        remedy = (
            f"modules without `image` work; else load it {seen.where}, and on nodes in the site's `prologue`"
        )
        return [warn("containers", fact, remedy)]
    others = [ok("containers", f"also {seen.where}: {_name(each)}") for each in usable if each != chosen]
    return [_used(chosen, seen), *others]


def _is_another_name(runtime: Runtime, seen: Containers) -> bool:
    """Whether this is a program called singularity that is the Apptainer found already."""
    names = [each.name for each in seen.runtimes]
    return runtime.name == "singularity" and runtime.family in names and runtime.family != runtime.name


def _name(runtime: Runtime) -> str:
    also = f", which is {runtime.family}" if runtime.family not in ("", runtime.name) else ""
    return f"{runtime.name} {runtime.version or 'of unknown version'}{also} ({runtime.path})"


def _used(runtime: Runtime, seen: Containers) -> Finding:
    """How its containers would be used on a node that is like this machine."""
    if runtime.setuid and not seen.root:
        return ok("containers", f"{_name(runtime)}: warm by a shell loop, for it is setuid; {NO_SHELL}")
    if seen.namespaces and not seen.root:
        return warn(
            "containers",
            f"{_name(runtime)}: cannot run {seen.where}: no user namespaces ({seen.namespaces}),"
            " no setuid starter",
            "ask the site's staff to allow one of them; modules without `image` work",
        )
    fact = f"{_name(runtime)}: warm by entering namespaces; {NO_SHELL}"
    if not seen.squashfuse and not seen.root:
        return warn(
            "containers",
            f"{fact}; no squashfuse or /dev/fuse: an image file is unpacked at each start",
            'ask the site\'s staff for squashfuse, or write `local_copy = "unpacked"` in the site file',
        )
    if not seen.root and runtime.name != "charliecloud":
        fact = f'{fact}; image files are read through squashfuse, unless `local_copy` is "unpacked"'
    return ok("containers", fact)
