"""`sbx site login`: the one place where a person is asked for what a site wants."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scalebox_hpc.cli import say
from scalebox_hpc.cli.options import AsJson

if TYPE_CHECKING:
    from scalebox_hpc.domain.site import Ssh
    from scalebox_hpc.sites.host_keys import ShownKey

WORKS_S = 30.0  # a command that does nothing


def login(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The site.", show_default=False)],
    accept: Annotated[
        list[str] | None,
        typer.Option(
            "--accept", metavar="FINGERPRINT", help="Accept this host key unasked; may be repeated."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Log in at a site, and accept its host key.

    Shows the key of a host that you do not know yet and asks whether it is right. Where the site
    file says `master = true` it then asks for whatever the site wants, and leaves the connection
    open for the daemon; else it tries whether the daemon can log in by itself.

    \b
    Example:
      sbx site login hpc2
      sbx site login hpc2 --accept SHA256:uGf0CmTYXRBtzGRSnCJHyvbYFVwkBZ2KnmVnGzIDw6c
    """
    from scalebox_hpc.config.site import read_site
    from scalebox_hpc.errors import UsageError
    from scalebox_hpc.sites.openssh import log_in
    from scalebox_hpc.sites.registry import transport_of

    site = read_site(file_of(name))
    if site.ssh is None:
        raise UsageError(f"{name} is reached without a login", "its file has no table [ssh]")
    accepted = _trust(name, site.ssh, accept or [])
    transport = transport_of(site)
    try:
        if site.ssh.master:
            log_in(name, site.ssh, transport, WORKS_S)
        transport.run(["true"], timeout_s=WORKS_S)
    finally:
        transport.close()
    if as_json:
        say.json_object(
            {"site": name, "host": site.ssh.host, "accepted": accepted, "master": site.ssh.master}
        )
    else:
        say.text(f"logged in at {name}" if site.ssh.master else f"{name}: the daemon can log in by itself")


def file_of(name: str) -> Path:
    """The file of a site. Raises UsageError for an unknown name, listing those there are."""
    from scalebox_hpc.config.notes import did_you_mean
    from scalebox_hpc.config.site import find_sites, search_path
    from scalebox_hpc.errors import UsageError

    found = find_sites(search_path(Path.cwd()))
    if name not in found:
        raise UsageError(f"there is no site {name!r}", did_you_mean(name, found, "sites"))
    return found[name]


def _trust(site: str, ssh: Ssh, fingerprints: list[str]) -> list[str]:
    """Have every host on the way known; return the fingerprints that were accepted now."""
    from scalebox_hpc.errors import EnvironmentProblem
    from scalebox_hpc.sites.host_keys import accept, unknown_key

    accepted: list[ShownKey] = []
    while (key := unknown_key(site, ssh)) is not None:
        if key in accepted:
            raise EnvironmentProblem(
                f"{site}: {key.host} stays unknown: {key.file} does not keep its host key",
                "name a file of your own: [ssh] known_hosts",
            )
        _judge(site, key, fingerprints)
        accept(key)
        accepted.append(key)
        say.remark(f"accepted: {key.host} {key.fingerprint}, written to {key.file}")
    return [key.fingerprint for key in accepted]


def _judge(site: str, key: ShownKey, fingerprints: list[str]) -> None:
    from scalebox_hpc.errors import HostKeyUnknown

    if key.fingerprint in fingerprints:
        return
    say.remark(f"{key.host} shows a host key that you have never accepted:\n  {key.kind} {key.fingerprint}")
    hint = f"compare it with what the site publishes, then: sbx site login {site} --accept {key.fingerprint}"
    if fingerprints or not sys.stdin.isatty():
        raise HostKeyUnknown(f"{site}: the host key of {key.host} is not accepted", hint)
    if not typer.confirm("Does the site publish this fingerprint?", err=True):
        raise HostKeyUnknown(f"{site}: the host key of {key.host} was not accepted", hint)
