"""The words that start OpenSSH for a site, and the text that carries words to its login node.

Pure: nothing is started and no file is read.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from scalebox_hpc.domain.site import Ssh, jump_host
from scalebox_hpc.errors import SiteUnreachable
from scalebox_hpc.sites.base import Finished

CONNECT_S: Final = 15  # until a host answers and has said who it is
ALIVE_S: Final = 15  # a silent link is asked whether it lives
ALIVE_TIMES: Final = 3  # and given up after so many questions without an answer

_QUIET: Final = (
    "LogLevel=ERROR",  # no banners
    f"ConnectTimeout={CONNECT_S}",
    f"ServerAliveInterval={ALIVE_S}",
    f"ServerAliveCountMax={ALIVE_TIMES}",
    "ForwardAgent=no",
    "ForwardX11=no",
    "ClearAllForwardings=yes",  # the user's own would clash with those of his own sessions
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "RequestTTY=no",
)
_AWKWARD: Final = re.compile(r"[\n\r!\\]")


def ssh_words(ssh: Ssh) -> list[str]:
    """Return the `ssh` of a site with all its options; the destination and a command come after them.

    It never asks a person. Where a site wants the master of `sbx site login`, it goes through that or fails.
    """
    if ssh.master:
        return session_words(control_path(ssh))
    return ["ssh", *_options("BatchMode=yes", "ControlMaster=no", "ControlPath=none"), *direct_options(ssh)]


def destination(ssh: Ssh) -> str:
    """Return the host as `ssh` and rsync take it; user and port are among the options."""
    return ssh.host


def session_words(control: str) -> list[str]:
    """Return the `ssh` that opens a session through the master at that path, and through nothing else."""
    only = "ProxyCommand=false"  # what it would connect by if there were no master
    return [
        "ssh",
        *_options("BatchMode=yes", "ControlMaster=no", f"ControlPath={_in_file(control)}", only, *_QUIET),
    ]


def master_words(ssh: Ssh, control: str, *, persist: str, asks: bool = False) -> list[str]:
    """Return the command that opens a master at that path and returns once it is logged in.

    `persist` is how long it stays without a session: "yes", or a time. With `asks` it may ask a person.
    """
    first = ["ControlMaster=yes", f"ControlPath={_in_file(control)}", f"ControlPersist={persist}"]
    if asks:
        first += ["LogLevel=INFO", "ConnectTimeout=60", "StrictHostKeyChecking=ask"]
    else:
        first += ["BatchMode=yes"]
    return ["ssh", "-N", "-f", *_options(*first), *direct_options(ssh, asks=asks), destination(ssh)]


def direct_options(ssh: Ssh, *, asks: bool = False) -> list[str]:
    """Return the options of a connection of its own: who, where, by which key, through which hosts."""
    words = _hop_options(ssh, asks)
    if ssh.key:
        words += _options("IdentitiesOnly=yes")  # many keys of an agent would use up the tries of a login
    return words


def last_jump(ssh: Ssh) -> Ssh:
    """Return the last jump host on the way to a site, as if it were a site that is reached by the others."""
    jump = jump_host(ssh.jump[-1])
    if jump is None:  # a site file was checked; this came from ~/.ssh/config
        raise SiteUnreachable(f"{ssh.jump[-1]!r} is no jump host", "write ProxyJump [USER@]HOST[:PORT]")
    return replace(ssh, host=jump.host, user=jump.user, port=jump.port, jump=ssh.jump[:-1], master=False)


def control_path(ssh: Ssh) -> str:
    """Return where the socket of a site's master is.

    /tmp is of this machine alone, as a master is, and short, as the path of a socket must be. The name
    says all that makes a connection, so that a changed site file does not go through the master of before.
    """
    said = repr((ssh.host, ssh.user, ssh.port, ssh.key, ssh.jump, ssh.known_hosts, ssh.config))
    return f"{control_folder()}/{hashlib.sha256(said.encode()).hexdigest()[:16]}"


def control_folder() -> str:
    """Return the private folder of masters' sockets."""
    return f"/tmp/sbx-ssh-{os.getuid()}"


def command_text(words: Sequence[str], mark: str) -> str:
    """Return the text that runs words to their end, whatever the login shell, and says how they ended.

    `mark` stands before what they write, to tell it from what the login shell's start files write, and
    around the exit status at the end of stderr: that of `ssh` is 255 for a lost link and for a signal alike.
    """
    command = shlex.join(words)
    return _by_sh(f"printf %s {mark}; printf %s {mark} >&2; {command}; printf {mark}%s. $? >&2")


def stream_text(words: Sequence[str], mark: str) -> str:
    """Return the text that starts words after writing `mark` to stdout."""
    return _by_sh(f"printf %s {mark}; exec {shlex.join(words)}")


def finished(stdout: bytes, stderr: bytes, mark: str) -> Finished | None:
    """Read what a command of `command_text` wrote; None when it did not come to its end.

    >>> finished(b"Welcome!#out", b"#oops#3.", "#")
    Finished(exit_code=3, stdout=b'out', stderr=b'oops')
    """
    sign = mark.encode()
    _, began, out = stdout.partition(sign)
    body, ended, last = stderr.partition(sign)[2].rpartition(sign)
    code = re.match(rb"(\d+)\.", last)
    if not (began and ended and code):
        return None
    return Finished(int(code[1]), out, body)


def _by_sh(script: str) -> str:
    """Text that means the same to every login shell, csh and fish included.

    In their single quotes a newline, `!` or a backslash is not what it is to sh, so a script with one
    of them is sent in octal.
    """
    if _AWKWARD.search(script):
        octal = "".join(f"\\0{byte:03o}" for byte in script.encode("utf-8", "surrogateescape"))
        script = f'eval "$(printf %b "{octal}")"'
    return f"exec /bin/sh -c {shlex.quote(script)}"


def _hop_options(ssh: Ssh, asks: bool) -> list[str]:
    words = ["-F", ssh.config] if ssh.config else []
    words += [*(["-l", ssh.user] if ssh.user else []), *(["-p", str(ssh.port)] if ssh.port else [])]
    words += _options("StrictHostKeyChecking=yes", *_QUIET)
    if ssh.known_hosts:
        words += _options(f"UserKnownHostsFile={_in_file(ssh.known_hosts)}")
    if ssh.key:
        words += _options(f"IdentityFile={_in_file(ssh.key)}")
    if ssh.jump:
        words += _options(f"ProxyCommand={_through(last_jump(ssh), asks)}")
    return words


def _through(jump: Ssh, asks: bool) -> str:
    """The command that connects through a jump host; `ssh -J` would hand it none of our options."""
    first = ["StrictHostKeyChecking=ask"] if asks else ["BatchMode=yes"]
    words = ["ssh", *_options(*first, "ControlMaster=no", "ControlPath=none"), *_hop_options(jump, asks)]
    return f"{shlex.join(words).replace('%', '%%')} -W '[%h]:%p' {shlex.quote(jump.host)}"


def _options(*options: str) -> list[str]:
    return [word for option in options for word in ("-o", option)]


def _in_file(path: str) -> str:
    """A path as OpenSSH reads it in an option: quoted, without its own `%` meaning anything."""
    escaped = path.replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if re.search(r'[\s"\\]', path) else escaped
