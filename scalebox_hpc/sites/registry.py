"""The transport that fits a site."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

from scalebox_hpc.domain.site import Site, Ssh
from scalebox_hpc.sites.base import Finished, Stream, Transport
from scalebox_hpc.sites.host_keys import known_keys
from scalebox_hpc.sites.local import LocalTransport
from scalebox_hpc.sites.opening import by_this_machine
from scalebox_hpc.sites.openssh import OpenSshTransport
from scalebox_hpc.sites.resolved import way_to

CERTIFIED: Final = "@cert-authority"


def transport_of(site: Site) -> Transport:
    """Return a way to the login node of a site; nothing is opened or asked before it is used."""
    if site.ssh is None:
        return LocalTransport(site.name)
    if site.ssh.master:
        return OpenSshTransport(site.name, site.ssh)
    return _FirstUse(site.name, site.ssh)


def only_openssh(ssh: Ssh) -> str:
    """Return what of the user's OpenSSH files only OpenSSH itself can do; "" for nothing.

    Raises SiteUnreachable where `ssh` does not understand them.
    """
    for hop in way_to(ssh):
        if hop.odd:
            return hop.odd
        if any(key.marker == CERTIFIED for key in known_keys(hop.host_key_name, hop.known_hosts)):
            return CERTIFIED
    return ""


class _FirstUse:
    """A Transport that is chosen once it is used, for choosing asks `ssh`."""

    def __init__(self, site: str, ssh: Ssh) -> None:
        self._site, self._ssh = site, ssh
        self._lock = threading.Lock()
        self._chosen: Transport | None = None

    def run(self, words: Sequence[str], *, stdin: bytes = b"", timeout_s: float) -> Finished:
        """See Transport."""
        return self._choose().run(words, stdin=stdin, timeout_s=timeout_s)

    def open(self, words: Sequence[str]) -> Stream:
        """See Transport."""
        return self._choose().open(words)

    def close(self) -> None:
        """See Transport."""
        if self._chosen is not None:
            self._chosen.close()

    def _choose(self) -> Transport:
        from scalebox_hpc.sites.ssh import SshTransport

        with self._lock, by_this_machine(self._site):
            if self._chosen is None:
                fits = SshTransport if not only_openssh(self._ssh) else OpenSshTransport
                self._chosen = fits(self._site, self._ssh)
            return self._chosen
