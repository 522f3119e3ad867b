"""Why a transfer failed, read from what commands say; each cause has an exit code, for `retry` rules."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from scalebox_hpc.errors import EnvironmentProblem


class Cause(IntEnum):
    """The exit codes of transfer modules; 1 and 2 are those of any program."""

    OTHER = 1
    USAGE = 2
    NETWORK = 10  # the link, or the other side of it, is gone for now
    SPACE = 11  # no room, or no quota, at the target
    PERMISSION = 12  # something may not be read, or not be written
    MISSING = 13  # the source is not there, or went away
    CHANGED = 14  # the source changed each time while it was being copied
    CHECKSUM = 15  # what arrived is not what was sent
    LOGIN = 16  # the site does not let us in: key, host key, or a person has to log in
    TOOL = 17  # rsync or Python is not there


HINTS: Final = {
    Cause.NETWORK: "what has arrived is kept; the same transfer goes on from there",
    Cause.SPACE: "make room at the target, or ask for more quota",
    Cause.PERMISSION: "look at owner and mode there",
    Cause.MISSING: "look at the source's name",
    Cause.CHANGED: "copy it once nobody writes to it any more",
    Cause.CHECKSUM: "copy again; if it stays so, suspect the disk or memory of one of the two",
    Cause.LOGIN: "try `sbx site check` for that site",
    Cause.TOOL: "install rsync and Python 3.9 there, or name them in the site file",
}


class TransferFailed(EnvironmentProblem):
    """Data did not get from one place to another, or not provably so."""

    def __init__(self, cause: Cause, fact: str, hint: str = "") -> None:
        super().__init__(fact, hint or HINTS.get(cause, ""))
        self.cause = cause


_SAID: Final = (
    (Cause.SPACE, r"No space left on device|Disk quota exceeded|\((28|122)\)$"),
    (
        Cause.LOGIN,
        r"Permission denied \([a-z,-]*(?:publickey|password|keyboard-interactive|gssapi|hostbased)[a-z,-]*\)"
        r"|Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED"
        r"|Too many authentication failures|Bad owner or permissions|UNPROTECTED PRIVATE KEY",
    ),
    (Cause.TOOL, r"(?:rsync|python\S*): (?:command )?not found|No such file or directory\) while executing"),
    (Cause.PERMISSION, r"Permission denied|Operation not permitted|Read-only file system|\((?:13|1|30)\)$"),
    (Cause.MISSING, r"link_stat .* failed|file has vanished|change_dir .* failed: No such file"),
)
_OF_RSYNC: Final = {
    5: Cause.NETWORK,  # starting the protocol
    10: Cause.NETWORK,  # socket
    12: Cause.NETWORK,  # the stream of the protocol
    20: Cause.NETWORK,  # a signal ended the other side
    23: Cause.OTHER,
    24: Cause.MISSING,  # vanished source files
    30: Cause.NETWORK,  # nothing came for too long
    35: Cause.NETWORK,
    127: Cause.TOOL,
    255: Cause.NETWORK,  # ssh
}
_OF_SYSTEM: Final = {
    errno.ENOSPC: Cause.SPACE,
    errno.EDQUOT: Cause.SPACE,
    errno.EACCES: Cause.PERMISSION,
    errno.EPERM: Cause.PERMISSION,
    errno.EROFS: Cause.PERMISSION,
    errno.ENOENT: Cause.MISSING,
    errno.ENOTDIR: Cause.MISSING,
}


def cause_of_command(exit_code: int, stderr: str) -> Cause:
    """Why rsync, or ssh, ended like this. What it said comes before its exit code."""
    for cause, pattern in _SAID:
        if re.search(pattern, stderr, re.MULTILINE):
            return cause
    if exit_code < 0:
        return Cause.NETWORK  # killed here: what arrived is kept
    return _OF_RSYNC.get(exit_code, Cause.OTHER)


def cause_of_error(number: int) -> Cause:
    """Why the system refused a call."""
    return _OF_SYSTEM.get(number, Cause.OTHER)


def last_words(stderr: str, most: int = 3) -> str:
    """The lines of a command's errors that say most, on one line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    telling = [line for line in lines if not re.match(r"rsync error:|rsync: connection unexpectedly", line)]
    return "; ".join((telling or lines)[-most:])


def some(names: Sequence[str]) -> str:
    """The first of some names, as a part of a sentence."""
    return ", ".join(map(repr, names[:5])) + (" ..." if names[5:] else "")
