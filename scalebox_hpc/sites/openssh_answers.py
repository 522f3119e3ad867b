"""Read what OpenSSH says when it cannot log in. Pure."""

from __future__ import annotations

import re
from typing import Final

from scalebox_hpc.errors import HostKeyChanged, HostKeyUnknown, LoginRefused, SiteUnreachable

_CHANGED: Final = re.compile(
    r"REMOTE HOST IDENTIFICATION HAS CHANGED|host key for .* has changed", re.IGNORECASE
)
_UNKNOWN: Final = re.compile(r"No .* host key is known for|Host key verification failed")
_REFUSED: Final = re.compile(
    r"Permission denied \(|Too many authentication failures|No more authentication methods"
)
_ASKING: Final = re.compile(r"Permission denied \([^)]*(?:keyboard-interactive|password)")
_OFFENDING: Final = re.compile(r"Offending .* key in (?P<file>.+):(?P<line>\d+)")


def problem_of(site: str, host: str, stderr: bytes) -> SiteUnreachable:
    """Return the error that OpenSSH's words mean, for a link to `site` by way of `host`."""
    said = stderr.decode("utf-8", "replace").strip()
    last = said.splitlines()[-1].strip() if said else "ssh ended without a word"
    if _CHANGED.search(said):
        return host_key_changed(site, host, _offending(said))
    if _UNKNOWN.search(said):
        return host_key_unknown(site, host)
    if _REFUSED.search(said):
        return login_refused(site, host, last, asks=bool(_ASKING.search(said)))
    return SiteUnreachable(f"{site}: {host} cannot be reached: {last}", f"try by hand: ssh {host}")


def host_key_unknown(site: str, host: str, fingerprint: str = "") -> HostKeyUnknown:
    """Return the error for a host whom the user does not know."""
    shown = f" ({fingerprint})" if fingerprint else ""
    return HostKeyUnknown(
        f"{site}: you have never accepted the host key of {host}{shown}",
        f"compare it with what the site publishes and accept it: sbx site login {site}",
    )


def host_key_changed(site: str, host: str, where: str) -> HostKeyChanged:
    """Return the error for a host that shows another key than the one accepted; `where` is that one."""
    return HostKeyChanged(
        f"{site}: the host key of {host} is not the one you accepted{f' ({where})' if where else ''}",
        "somebody may be listening in: ask the site whether it changed the key. If so, take the old one out\n"
        f"(ssh-keygen -R {host}) and accept the new one: sbx site login {site}",
    )


def login_refused(site: str, host: str, why: str, *, asks: bool) -> LoginRefused:
    """Return the error for a host that takes none of the user's keys; `asks` if it would ask for a code."""
    hint = (
        "put your public key there (ssh-copy-id), or name the right one: [ssh] key\n"
        "a key with a passphrase is used only where an ssh-agent holds it: ssh-add"
    )
    if asks:
        hint += f"\nwhere it wants a password or a code: [ssh] master = true, then sbx site login {site}"
    return LoginRefused(f"{site}: {host} does not let you in: {why}", hint)


def _offending(said: str) -> str:
    match = _OFFENDING.search(said)
    return f"{match['file']}, line {match['line']}" if match else ""
