"""All checks in order. What a check is about is asked in `ask` and judged in `judge`."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scalebox_hpc import __version__
from scalebox_hpc.client import home_here
from scalebox_hpc.config.site import find_sites, load_site, search_path, usual_site
from scalebox_hpc.containers.store import directory_for
from scalebox_hpc.daemon.home import NO_HOME_YET, Home, shared_path
from scalebox_hpc.doctor import ask, back_end, judge
from scalebox_hpc.doctor.facts import HomeSeen
from scalebox_hpc.doctor.finding import Finding, Verdict, ok, worst
from scalebox_hpc.domain.site import Site
from scalebox_hpc.errors import SbxError

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


def examine(directory: Path, site_name: str | None) -> Examination:
    """Everything that a run in this directory needs.

    The site is the one named, else that of the `pipeline.toml` there, else `local`. What needs the
    site is left out where its file cannot be used.
    """
    pipeline = directory / PIPELINE
    wanted, path = site_name or usual_site(pipeline), home_here(pipeline)
    seen = ask.home(path)
    findings = [judge.python(sys.version_info[:3], __version__), judge.home(seen, ask.place(path))]
    findings += _served(seen)
    site, file = _site(wanted, directory)
    findings.append(judge.site(site, file, wanted))
    if isinstance(site, Site):
        findings += _at(site, seen)
    return Examination(socket.gethostname(), wanted, tuple(findings))


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


def _at(site: Site, seen: HomeSeen) -> list[Finding]:
    """What depends on the site."""
    here = site.batch == "local"  # else tasks run on other machines
    shared = shared_path(seen.opened or Home(Path(seen.path), NO_HOME_YET), site.shared)
    scratch = Path(site.scratch or os.environ.get("TMPDIR") or tempfile.gettempdir())
    return [
        judge.slurm(None if here else ask.slurm()),
        back_end.check(site.batch),
        judge.address(ask.addresses(site.advertise), site.batch),
        judge.shared(ask.place(shared), site.batch),
        judge.scratch(site.scratch or "$TMPDIR or /tmp", ask.place(scratch) if here else None),
        *judge.containers(ask.containers(site.containers.runtime)),
        judge.images(site.images, ask.place(directory_for(site.images, shared))),
    ]
