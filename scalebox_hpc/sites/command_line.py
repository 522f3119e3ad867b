"""The system's `ssh` with all options of a site, as words. Stand-in until the transports are merged."""

from __future__ import annotations

from scalebox_hpc.domain.site import Ssh


def ssh_words(ssh: Ssh) -> list[str]:
    """The command without its destination."""
    words = ["ssh", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"]
    if ssh.port is not None:
        words += ["-p", str(ssh.port)]
    if ssh.key is not None:
        words += ["-i", ssh.key, "-o", "IdentitiesOnly=yes"]
    if ssh.known_hosts is not None:
        words += ["-o", f"UserKnownHostsFile={ssh.known_hosts}"]
    if ssh.jump:
        words += ["-J", ",".join(ssh.jump)]
    return words


def destination(ssh: Ssh) -> str:
    """[USER@]HOST."""
    return f"{ssh.user}@{ssh.host}" if ssh.user else ssh.host
