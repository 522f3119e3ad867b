"""Host keys: which of them the user trusts, what a host shows, and how one is accepted.

Files of known hosts are read and matched by OpenSSH's own tools. Nothing is accepted but by `accept`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from scalebox_hpc.disk import problem_with
from scalebox_hpc.domain.site import Ssh
from scalebox_hpc.errors import HostKeyUnknown, LoginRefused, SiteUnreachable
from scalebox_hpc.sites.command_line import last_jump
from scalebox_hpc.sites.openssh import knock
from scalebox_hpc.sites.processes import OPEN_S, call
from scalebox_hpc.sites.resolved import at_home, hop_of

_NO_LOGIN: Final = "PreferredAuthentications=none"


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A line of a file of known hosts that is about some host."""

    marker: str  # "", "@cert-authority", "@revoked"
    kind: str  # such as ssh-ed25519
    blob: str  # in base64


@dataclass(frozen=True, slots=True)
class ShownKey:
    """The key that a host shows whom the user does not know yet."""

    host: str  # as it is called in files of known hosts
    kind: str
    fingerprint: str  # SHA256:...
    line: str  # for the file
    file: str


def known_keys(name: str, files: Iterable[str]) -> list[KnownKey]:
    """Return the keys of a host in these files; hashed names are found too."""
    found: list[KnownKey] = []
    for file in files:
        if os.path.exists(file):
            done = call(["ssh-keygen", "-F", name, "-f", file], timeout_s=OPEN_S)
            lines = done.stdout.decode("utf-8", "replace").splitlines()
            found += [key for key in map(_known_key, lines) if key is not None]
    return found


def _known_key(line: str) -> KnownKey | None:
    fields = line.split()
    if not fields or line.startswith("#"):
        return None
    marker = fields.pop(0) if fields[0].startswith("@") else ""
    return KnownKey(marker, fields[1], fields[2]) if len(fields) >= 3 else None


def fingerprint_of(blob: str) -> str:
    """Return the fingerprint of a key as OpenSSH prints it.

    >>> fingerprint_of("AAAA")
    'SHA256:cJ6AyISHokEeHuTfufqhhSSxT0gZRUMCGdsR7OZJVtI'
    """
    try:
        data = base64.b64decode(blob, validate=True)
    except binascii.Error:
        return ""
    return "SHA256:" + base64.b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def unknown_key(site: str, ssh: Ssh) -> ShownKey | None:
    """Return the key of the first host on the way whose key the user has never accepted; None for none.

    Hosts are asked in order, each through those before. Raises HostKeyChanged, and what else keeps us
    from a host.
    """
    for hop in _hops(ssh):
        problem = knock(site, hop, _NO_LOGIN)
        match problem:
            case None | LoginRefused():  # it got as far as asking for a key of ours
                continue
            case HostKeyUnknown():
                return _shown(site, hop)
            case _:
                raise problem
    return None


def accept(key: ShownKey) -> None:
    """Add a key to the file of known hosts that it goes to. Raises an SbxError for what the disk refuses."""
    file = Path(key.file)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with open(descriptor, "rb+", buffering=0) as opened:
            whole = opened.read()
            gap = b"" if not whole or whole.endswith(b"\n") else b"\n"
            opened.write(gap + key.line.encode() + b"\n")
    except OSError as error:
        raise problem_with(file, error, "write", "name a file of your own: [ssh] known_hosts") from error


def _hops(ssh: Ssh) -> list[Ssh]:
    hops = [replace(ssh, master=False)]
    while hops[0].jump:
        hops.insert(0, last_jump(hops[0]))
    return hops


def _shown(site: str, ssh: Ssh) -> ShownKey:
    hop = hop_of(ssh)
    with tempfile.TemporaryDirectory(prefix="sbx-") as folder:
        seen = Path(folder) / "known_hosts"
        files = (f"UserKnownHostsFile={seen}", "GlobalKnownHostsFile=/dev/null", "HashKnownHosts=no")
        problem = knock(site, ssh, _NO_LOGIN, "StrictHostKeyChecking=accept-new", "UpdateHostKeys=no", *files)
        line = seen.read_text().splitlines()[:1] if seen.exists() else []
    key = _known_key(line[0]) if line else None
    if key is None:
        raise problem or SiteUnreachable(f"{ssh.host} shows no host key")
    file = ssh.known_hosts or next(iter(hop.known_hosts), at_home("~/.ssh/known_hosts"))
    return ShownKey(hop.host_key_name, key.kind, fingerprint_of(key.blob), line[0], file)
