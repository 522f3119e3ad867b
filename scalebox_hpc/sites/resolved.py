"""What OpenSSH's own files say of a host, as `ssh -G` tells it: nobody else reads them as it does."""

from __future__ import annotations

import os
import pwd
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from scalebox_hpc.domain.site import Ssh
from scalebox_hpc.errors import SiteUnreachable
from scalebox_hpc.sites.command_line import direct_options, last_jump

ASK_S: Final = 20.0  # its files may run commands of the user's
MOST_JUMPS: Final = 8
_ONLY_OPENSSH: Final = ("certificatefile", "pkcs11provider", "knownhostscommand", "revokedhostkeys")


@dataclass(frozen=True, slots=True)
class Hop:
    """One host on the way to a site, with all that is needed to log in there."""

    host: str
    port: int
    user: str
    host_key_name: str  # what it is called in files of known hosts
    known_hosts: tuple[str, ...]
    keys: tuple[str, ...]  # files, in the order to try
    keys_only: bool  # no other keys of the agent
    jump: str = ""  # the user's own ProxyJump
    odd: str = ""  # what only OpenSSH itself can do


def way_to(ssh: Ssh) -> tuple[Hop, ...]:
    """Return the jump hosts, the nearest first, and the site's own. Raises SiteUnreachable."""
    hops: list[Hop] = []
    at: Ssh | None = ssh
    while at is not None:
        if len(hops) > MOST_JUMPS:
            raise SiteUnreachable(f"{ssh.host}: ~/.ssh/config leads through jump hosts in a circle")
        hop = hop_of(at)
        hops.insert(0, hop)
        if not at.jump and hop.jump:
            at = replace(at, jump=tuple(hop.jump.removeprefix("ssh://").split(",")))
        at = last_jump(at) if at.jump else None
    return tuple(hops)


def hop_of(ssh: Ssh) -> Hop:
    """Return what is needed to log in at a host, once one is connected to it. Raises SiteUnreachable."""
    return read_hop(asked(ssh), os.environ, known_hosts=ssh.known_hosts)


def asked(ssh: Ssh) -> str:
    """Return what `ssh -G` says of a host. Raises SiteUnreachable where it says no."""
    words = ["ssh", "-G", *direct_options(replace(ssh, jump=())), ssh.host]
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=ASK_S, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError as error:
        raise SiteUnreachable(
            "there is no `ssh` here", "install OpenSSH's client, or load its module"
        ) from error
    except subprocess.TimeoutExpired as error:
        fact = f"`ssh -G {ssh.host}` did not end in {ASK_S:.0f} s"
        raise SiteUnreachable(fact, "look for `Match exec` in ~/.ssh/config") from error
    if done.returncode != 0:
        raise SiteUnreachable(f"{ssh.host}: {done.stderr.strip()}", "mend ~/.ssh/config")
    return done.stdout


def read_hop(text: str, environ: Mapping[str, str], known_hosts: str | None = None) -> Hop:
    """Read what `ssh -G` printed. `known_hosts` is a file that was named to it, which it prints unquoted.

    >>> hop = read_hop("hostname a.example\\nport 2222\\nuser me\\nproxyjump gate", {})
    >>> hop.host_key_name, hop.jump
    ('[a.example]:2222', 'gate')
    """
    said: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        said.setdefault(key.lower(), []).append(value)
    one = {key: values[0] for key, values in said.items() if values[0] not in ("", "none")}
    host, port = one["hostname"], int(one["port"])
    name = host.lower() if port == 22 else f"[{host.lower()}]:{port}"
    users = [known_hosts] if known_hosts else shlex.split(one.get("userknownhostsfile", ""))
    files = [*users, *shlex.split(one.get("globalknownhostsfile", ""))]
    return Hop(
        host=host,
        port=port,
        user=one["user"],
        host_key_name=one.get("hostkeyalias", name),
        known_hosts=tuple(map(at_home, files)),
        keys=tuple(at_home(each) for each in said.get("identityfile", []) if each != "none"),
        keys_only=one.get("identitiesonly") == "yes",
        jump=one.get("proxyjump", ""),
        odd=_odd(one, environ),
    )


def _odd(one: Mapping[str, str], environ: Mapping[str, str]) -> str:
    if "proxycommand" in one:
        return "ProxyCommand"
    if one.get("verifyhostkeydns") in ("yes", "true"):
        return "VerifyHostKeyDNS"
    if one.get("gssapiauthentication") == "yes" and "KRB5CCNAME" in environ:
        return "GSSAPIAuthentication"
    if one.get("identityagent", "SSH_AUTH_SOCK") not in ("SSH_AUTH_SOCK", "$SSH_AUTH_SOCK"):
        return "IdentityAgent"
    return next((key for key in _ONLY_OPENSSH if key in one), "")


def at_home(path: str) -> str:
    """Fill `~` into a path as OpenSSH does, which does not ask $HOME."""
    return path.replace("~", pwd.getpwuid(os.getuid()).pw_dir, 1) if path.startswith("~/") else path
