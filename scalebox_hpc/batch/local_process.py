"""Processes of local elements: who they are, whether they live, and how to end them.

Knows /proc and signals, and no tries.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

REGISTER: Final = """\
cd "$sbx_shared" || exit 125
read -r sbx_stat </proc/$$/stat
sbx_rest=${sbx_stat##*) }
set -- $sbx_rest
shift 19
read -r sbx_boot </proc/sys/kernel/random/boot_id
sbx_claim=$sbx_dir/element-$sbx_element
echo "$$ $1 $sbx_boot $(uname -n) $sbx_inc" >"$sbx_claim.$$.new" || exit 125
ln "$sbx_claim.$$.new" "$sbx_claim.pid" 2>/dev/null || {
    rm -f "$sbx_claim.$$.new"
    exit 125
}
rm -f "$sbx_claim.$$.new"
trap 'echo $? >"$sbx_claim.$$.new" && mv "$sbx_claim.$$.new" "$sbx_claim.ended"' EXIT
"""
"""Shell lines by which an element claims its place: of two starts only one makes the link and goes on."""

DEFAULTED: Final = [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGPIPE]
"""Signals that we may ignore and an element must not: a shell cannot trap what it inherits as ignored."""

NEVER: Final = "never - - - -\n"
"""A claim made in an element's stead, so that it can start no more."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Which process an element is; a pid alone could have been given to another since."""

    pid: int
    started: str  # field 22 of /proc/PID/stat: clock ticks since boot
    boot: str
    host: str
    incarnation: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read an element's own claim; None for one made in its stead."""
        pid, started, boot, host, incarnation = text.split()
        return None if pid == "never" else cls(int(pid), started, boot, host, incarnation)


def start(command: Sequence[str], log: Path, environ: Mapping[str, str]) -> int:
    """Start a process in a session of its own, its output appended to `log`; return its pid.

    Raises OSError. It has neither our terminal nor our signals, and does not die with us.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(
        command[0],
        list(command),
        environ,
        file_actions=actions,
        setsid=True,
        setsigmask=[],
        setsigdef=DEFAULTED,
    )


def is_reaped(child: int) -> bool:
    """Collect the status of a child of ours if it has ended; say whether it had."""
    try:
        return os.waitpid(child, os.WNOHANG)[0] == child
    except ChildProcessError:
        return True


def boot_id() -> str:
    """Return the id that the kernel drew at this machine's boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def is_alive(claim: Claim) -> bool:
    """Say whether the very process that made the claim runs on this machine, now."""
    try:
        stat = Path(f"/proc/{claim.pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    after_name = stat.rpartition(") ")[2].split()
    return after_name[0] not in "ZX" and after_name[19] == claim.started and claim.boot == boot_id()


def send(claim: Claim, number: signal.Signals) -> None:
    """Signal the process of a claim; one that is gone is passed over."""
    if is_alive(claim):
        try:
            os.kill(claim.pid, number)
        except ProcessLookupError:
            pass


def kill_marked(incarnation: str) -> int:
    """Kill -9 all processes that carry an agent's marker; return how many were found.

    Reads the whole of /proc: for an element that died without sweeping up after itself.
    """
    marker = f"SBX_INCARNATION={incarnation}\0".encode()
    found = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal() and marker in _environ(entry.name):
            found += 1
            try:
                os.kill(int(entry.name), signal.SIGKILL)
            except ProcessLookupError:
                pass
    return found


def _environ(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes() + b"\0"
    except OSError:  # another's, or gone meanwhile
        return b""
