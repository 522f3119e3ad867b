"""All checks in order. What a check is about is asked in `ask` and judged in `judge`."""

from __future__ import annotations

import getpass
import os
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from scalebox_hpc import __version__
from scalebox_hpc.batch.slurm_cli import SlurmCli
from scalebox_hpc.client import home_here
from scalebox_hpc.config.pipeline import load
from scalebox_hpc.config.site import find_sites, load_site, search_path, usual_site
from scalebox_hpc.containers.store import directory_for
from scalebox_hpc.daemon.home import NO_HOME_YET, REMOTE_SHARED, Home, shared_path
from scalebox_hpc.doctor import ask, ask_slurm, back_end, judge, judge_probe, judge_slurm
from scalebox_hpc.doctor.examine_site import examine_site
from scalebox_hpc.doctor.facts import Asked, Clock, HomeSeen, Probing
from scalebox_hpc.doctor.finding import Finding, Verdict, ok, worst
from scalebox_hpc.doctor.wishes import machine_of, wishes
from scalebox_hpc.domain.pipeline import Pool
from scalebox_hpc.domain.site import Site
from scalebox_hpc.errors import SbxError, UsageError
from scalebox_hpc.sites.base import Transport
from scalebox_hpc.sites.registry import transport_of

PIPELINE = "pipeline.toml"


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found on this machine."""

    host: str
    site: str
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of all."""
        return worst(self.findings)


def examine(directory: Path, site_name: str | None, probing: Probing | None = None) -> Examination:
    """Everything that a run in this directory needs; with `probing` from a compute node too.

    The site is the one named, else that of the `pipeline.toml` there, else `local`. What needs the
    site is left out where its file cannot be used. Raises UsageError for a machine that is none.
    """
    pipeline = directory / PIPELINE
    wanted, path = site_name or usual_site(pipeline), home_here(pipeline)
    seen = ask.home(path)
    findings = [judge.python(sys.version_info[:3], __version__), judge.home(seen, ask.place(path))]
    findings += _served(seen)
    findings.append(judge.results(ask.place(directory / "results")))
    site, file = _site(wanted, directory)
    findings.append(judge.site(site, file, wanted))
    if isinstance(site, Site) and site.ssh is not None:
        findings += check_site(site, pipeline, probing)
    elif isinstance(site, Site):
        findings += _at(site, seen, _pools(pipeline, site))
        if probing is not None:
            findings += _from_a_node(site, seen, probing)
    return Examination(socket.gethostname(), wanted, tuple(findings))


def check_site(site: Site, pipeline: Path, probing: Probing | None) -> Iterator[Finding]:
    """What a site is like, in order and up to the first failure, as it is found out.

    Its shared folder, and what is asked of its machines, are those of the pipeline, which need not be there.
    Raises UsageError at once for a machine to probe that is none.
    """
    if probing is not None:
        machine_of(site, probing.machine)
    return _site_findings(site, pipeline, probing)


def _site_findings(site: Site, pipeline: Path, probing: Probing | None) -> Iterator[Finding]:
    seen = ask.home(home_here(pipeline))
    transport = transport_of(site)
    if site.ssh is None:
        shared = str(shared_path(seen.opened or Home(Path(seen.path), NO_HOME_YET), site.shared))
    else:
        shared = site.shared or REMOTE_SHARED
    probe = None if probing is None else partial(_from_a_node, site, seen, probing, transport)
    try:
        yield from examine_site(site, transport, shared, wishes(site, _pools(pipeline, site)), probe)
    finally:
        transport.close()


def _pools(pipeline: Path, site: Site) -> tuple[Pool, ...]:
    """The pools of the pipeline here; none where there is none, or a wrong one, as `sbx check` says."""
    if not pipeline.exists():
        return ()
    try:
        found = load(pipeline, site=site.name).pipeline
    except SbxError:
        return ()
    return tuple(pool for pool in found.pools.values() if pool.site == site.name)


def _site(name: str, directory: Path) -> tuple[Site | SbxError, str]:
    """The site, or why there is none, and its file."""
    search = search_path(directory)
    try:
        return load_site(name, search), str(find_sites(search)[name])
    except SbxError as error:
        return error, ""


def _served(seen: HomeSeen) -> list[Finding]:
    """The ledger, which only a daemon opens while one runs, and the daemon."""
    daemon = ask.daemon(Path(seen.path))
    if daemon.answers:
        return [ok("ledger", "open in the daemon"), judge.daemon(daemon)]
    return [judge.ledger(ask.ledger(seen.opened) if seen.opened else None), judge.daemon(daemon)]


def _at(site: Site, seen: HomeSeen, pools: Sequence[Pool]) -> list[Finding]:
    """What depends on the site."""
    here = site.batch == "local"  # else tasks run on other machines
    shared = shared_path(seen.opened or Home(Path(seen.path), NO_HOME_YET), site.shared)
    scratch = Path(site.scratch or os.environ.get("TMPDIR") or tempfile.gettempdir())
    folder = ask.place(shared)
    slurm = None if here else ask.slurm()
    limits, controller_s = _limits(site, pools) if slurm is not None and slurm.version else ([], None)
    server_s = folder.ahead_s if folder.network and not folder.problem else None
    return [
        judge.clock(Clock(ask.clock_is_kept(), server_s, controller_s)),
        judge.slurm(slurm),
        back_end.check(site.batch),
        *limits,
        judge.address(ask.addresses(site.advertise), site.batch),
        judge.shared(folder, site.batch),
        judge.scratch(site.scratch or "$TMPDIR or /tmp", ask.place(scratch) if here else None),
        *judge.containers(ask.containers(site.containers.runtime)),
        judge.images(site.images, ask.place(directory_for(site.images, shared))),
    ]


def _limits(site: Site, pools: Sequence[Pool]) -> tuple[list[Finding], float | None]:
    """What Slurm allows, and each machine of the site; and our clock's lead over the controller's."""
    slurm = SlurmCli(NO_HOME_YET)
    allowed, ahead_s = ask_slurm.allowed(slurm, getpass.getuser())
    machines = [
        judge_slurm.machine(replace(asked, refusal=_refusal(slurm, asked)), allowed)
        for asked in wishes(site, pools)
    ]
    return [judge_slurm.limits(allowed, site), judge_slurm.endings(allowed, site), *machines], ahead_s


def _refusal(slurm: SlurmCli, asked: Asked) -> SbxError | None:
    return ask_slurm.would_take(slurm, asked.machine, asked.walltime_s)


def _from_a_node(
    site: Site, seen: HomeSeen, wanted: Probing, transport: Transport | None = None
) -> list[Finding]:
    """What an element finds. Raises UsageError for a machine that is none."""
    from scalebox_hpc.doctor import probing, probing_there  # they take a server to load

    try:
        if site.ssh is None:
            return judge_probe.probed(probing.probe(site, seen, wanted), site, ask.interfaces_here())
        assert transport is not None
        return judge_probe.probed(probing_there.probe(site, site.ssh, transport, seen, wanted), site, {})
    except UsageError:
        raise
    except SbxError as error:
        return [judge_probe.unsent(error)]
