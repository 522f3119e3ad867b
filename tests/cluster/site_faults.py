"""What befalls a site that is reached by ssh: its cable, sshd, login host, room and processes."""

import importlib.util
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.cluster.box import USER_ID, Site, wait_until
from tests.scenarios.lab import command_lines

SSHD = "'sshd|sshd-session|sshd-auth'"  # the listeners, and what serves a connection


# ---- the cable


@contextmanager
def cut_link(site: Site) -> Iterator[None]:
    """Pull the cable of the login host: it is alone, its compute hosts cannot reach it either."""
    site.link(site.login, up=False)
    try:
        yield
    finally:
        site.link(site.login, up=True)


@contextmanager
def parted(one: Site, other: Site) -> Iterator[None]:
    """Lose all that two sites send each other; each goes on by itself."""
    one.box.call("wan", one.name, other.name, "down")
    try:
        yield
    finally:
        one.box.call("wan", one.name, other.name, "up")


# ---- sshd, and its host


def end_connections(site: Site) -> None:
    """Kill -9 what serves the connections to the login host; new ones are taken."""
    site.run(site.login, "pkill -9 -x 'sshd-session|sshd-auth'", root=True, check=False)


def kill_sshd(site: Site) -> None:
    """Kill -9 sshd on the login host with all its connections."""
    site.run(site.login, f"pkill -9 -x {SSHD}", root=True, check=False)
    gone = f"! pgrep -x {SSHD}"
    wait_until(lambda: site.run(site.login, gone, root=True, check=False).returncode == 0, 10, "no sshd")


def start_sshd(site: Site) -> None:
    """Start what `kill_sshd` killed."""
    site.run(site.login, "/usr/sbin/sshd && /usr/sbin/sshd -f /etc/ssh/sshd_second_factor", root=True)


@contextmanager
def without_sshd(site: Site) -> Iterator[None]:
    """Kill sshd and start it afterwards."""
    kill_sshd(site)
    try:
        yield
    finally:
        start_sshd(site)


def reboot_login(site: Site) -> None:
    """Stop the login host as by loss of power and boot it; back when Slurm answers, with its state kept."""
    site.node_stop(site.login)
    site.node_start(site.login)
    wait_until(lambda: site.run(site.login, "squeue", check=False).returncode == 0, 30, "slurmctld's answer")


# ---- room


@contextmanager
def little_room(site: Site, directory: str, *, mib: int = 8, files: int = 0) -> Iterator[None]:
    """A disk of its own in place of a directory of the login host, which only that host sees.

    `directory` is its name inside; `files`: how many it may hold, 0 for any number.
    """
    room = f"size={mib}m,nr_inodes={files},uid={USER_ID},gid={USER_ID},mode=755"
    made = f"mkdir -p {directory} && mount -t tmpfs -o {room} tmpfs {directory}"
    site.run(site.login, made, root=True)
    try:
        yield
    finally:
        site.run(site.login, f"umount --lazy {directory}", root=True)


def more_room(site: Site, directory: str, *, mib: int) -> None:
    """Make the disk of `little_room` larger."""
    site.run(site.login, f"mount -o remount,size={mib}m {directory}", root=True)


@contextmanager
def full_quota(site: Site, directory: str, *, most_bytes: int) -> Iterator[None]:
    """On the login host the user may have so many bytes below a directory (its name inside), and no more.

    Writing more is "Disk quota exceeded", though `df` shows room. What was written is there afterwards.
    """
    with poor_disk(site, "quota", directory, str(most_bytes), hosts=(site.login,)):
        yield


@contextmanager
def poor_disk(site: Site, *words: str, hosts: Sequence[str]) -> Iterator[None]:
    """A directory lies on a poor disk, as these hosts see it; `words`: as `poor_disk.py` takes them."""
    found = importlib.util.find_spec("mfusepy")
    if found is None or found.origin is None:
        pytest.skip("mfusepy is not installed")
    for source in (Path(found.origin), Path(__file__).with_name("poor_disk.py")):
        shutil.copy(source, site.scratch)
    serve = f"exec {site.settings.python_at or 'python3'} /scratch/poor_disk.py {' '.join(words)}"
    servers = [site.start(host, serve, root=True) for host in hosts]
    try:
        kind = f"stat -f -c %T {words[1]}"
        wait_until(lambda: all(site.run(host, kind).stdout == "fuse\n" for host in hosts), 30, "the disk")
        yield
    finally:
        for host, server in zip(hosts, servers, strict=True):
            site.stop(server)
            site.run(host, f"umount --lazy {words[1]}", root=True, check=False)


# ---- processes


def processes(site: Site, host: str, *words: str) -> list[int]:
    """The processes of a host, as this machine numbers them, whose command line has all these texts in it."""
    first = (site.box.state / site.name / "hosts" / host / "pid").read_text().split()[0]
    space, found = os.readlink(f"/proc/{first}/ns/pid"), []
    for pid, line in command_lines():
        with suppress(OSError):  # it has ended
            text = b"\0".join(line)
            if all(word.encode() in text for word in words) and os.readlink(f"/proc/{pid}/ns/pid") == space:
                found.append(pid)
    return found


def end_processes(site: Site, host: str, *words: str) -> int:
    """Kill -9 such processes; returns how many there were."""
    pids = processes(site, host, *words)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(pids)


def relays(site: Site, verb: str = "serve") -> list[int]:
    """The relays of the login host, or what else of them (`attach`, `depot`) runs there."""
    return processes(site, site.login, "/relay", f".pyz\0{verb}\0")


def kill_relay(site: Site) -> int:
    """Kill -9 the relays of the login host; what is attached to them is left to find out."""
    return end_processes(site, site.login, "/relay", ".pyz\0serve\0")
