"""What befalls the home and its daemon while primes run, from a kill in a commit to an old ledger."""

# ruff: noqa: F811 (the fixture `lab` has the name of what takes it)
import os
import platform
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.box import Site, wait_until
from tests.cluster.recovery import Fault, Tell, judge, now, start, until_done
from tests.cluster.site_faults import reboot_login
from tests.cluster.slurm import until_saved
from tests.cluster.test_scenarios import LoginNode, lab  # noqa: F401 (a fixture)
from tests.scenarios.lab import Lab, command_lines

KILLS = 10
WRITES = {"x86_64": {18, 74, 75}, "aarch64": {68, 82, 83}}  # pwrite64, fsync, fdatasync
BOOT_ID = "/proc/sys/kernel/random/boot_id"
DISK_MIB = 48


def start_daemon(lab: Lab) -> None:
    """`sbx daemon start`, which goes on with the runs."""
    started = lab.sbx("daemon", "start")
    assert started.exit_code == 0, str(started)


# ---- killed in a commit


def daemon_pid(lab: Lab) -> int:
    """The daemon's process id in this machine's numbering."""
    home = lab.place.inside(lab.home).encode()
    [pid] = [pid for pid, words in command_lines() if b"scalebox_hpc.daemon" in words and home in words]
    return pid


def is_committing(pid: int) -> bool:
    """Whether a thread is inside a call that writes the ledger's log or makes it durable."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError, ValueError):  # the thread is gone, or in no call
            call, descriptor, *_ = (thread / "syscall").read_text().split()
            file = os.readlink(f"/proc/{pid}/fd/{int(descriptor, 16)}")
            if int(call) in WRITES[platform.machine()] and file.endswith("/ledger.db-wal"):
                return True
    return False


def kill_in_a_commit(lab: Lab) -> None:
    """Kill -9 the daemon at a moment when it is seen to write its ledger."""
    pid, until_s = daemon_pid(lab), time.monotonic() + 60.0
    while not is_committing(pid):  # no rest between two looks: a commit takes a millisecond
        assert time.monotonic() < until_s, "no commit was seen"
    os.kill(pid, signal.SIGKILL)


def test_kill_9_of_the_daemon_in_a_commit(lab: Lab, record_property: Tell) -> None:
    start(lab, tasks=200)
    for _ in range(KILLS):
        kill_in_a_commit(lab)
        killed = now()
        start_daemon(lab)
    fault = Fault("kill -9 of the daemon in a commit", killed, set(), loses=False)
    judge(lab, fault, record_property)


# ---- the login node


@pytest.fixture
def own_boot_id(site: Site) -> Iterator[None]:
    """The login host has a boot id of its own, as a machine has; those of the box share the kernel's."""
    renew_boot_id(site)
    yield
    site.run(site.login, f"umount {BOOT_ID}", root=True)


def renew_boot_id(site: Site) -> None:
    drawn = f"cat /proc/sys/kernel/random/uuid > /run/boot_id && mount --bind /run/boot_id {BOOT_ID}"
    site.run(site.login, drawn, root=True)


@pytest.mark.usefixtures("own_boot_id")
def test_the_login_node_is_rebooted(lab: Lab, site: Site, record_property: Tell) -> None:
    """Daemon and slurmctld are gone with it; the lock of another boot is no obstacle."""
    start(lab, tasks=120, pause="0.5")
    until_done(lab, 20)
    until_saved(site, lab)
    reboot_login(site)
    renew_boot_id(site)
    up = now()
    start_daemon(lab)
    judge(lab, Fault("login node rebooted", up, set(), loses=False), record_property)


@dataclass(frozen=True)
class OtherLogin(LoginNode):
    """Another host of the site, used as a login node."""

    name: str = ""

    def shell(self, command: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
        return self.host.run(self.name, command, check=False, timeout_s=timeout_s)


@pytest.fixture
def other_login(site: Site) -> Iterator[OtherLogin]:
    """A host that Slurm does not use; somebody else's job has the other one until it is cancelled."""
    busy, free = site.nodes
    site.run(site.login, f"scontrol update nodename={free} state=drain reason=login", root=True)
    site.run(site.login, f"sbatch -J foreign -w {busy} --exclusive -o /dev/null --wrap 'sleep 1000'")
    listed = "squeue -h -n foreign -o %T"
    wait_until(lambda: site.run(site.login, listed).stdout == "RUNNING\n", 60, "the foreign job")
    yield OtherLogin(site, name=free)
    site.run(site.login, "scancel -n foreign")
    site.run(site.login, f"scontrol update nodename={free} state=resume", root=True)


def test_the_daemon_moves_to_another_login_node_while_an_array_is_pending(
    lab: Lab,
    site: Site,
    other_login: OtherLogin,
    record_property: Tell,
) -> None:
    start(lab, tasks=30)
    lab.wait(lambda: lab.status()["pools"][0]["elements_pending"], 30, "a pending array")
    lab.kill_daemon()
    there = Lab(other_login, lab.directory, lab.env)
    refused = there.sbx("daemon", "start")
    assert refused.exit_code == 3, str(refused)
    assert f"say `sbx daemon takeover` on {other_login.name}" in refused.text
    taken = there.sbx("daemon", "takeover")
    assert taken.exit_code == 0, str(taken)
    site.run(site.login, "scancel -n foreign")
    freed = now()
    judge(there, Fault("daemon moved to another login node", freed, set(), loses=False), record_property)
    assert there.sbx("daemon", "stop").exit_code == 0


# ---- the ledger


def test_the_ledger_is_restored_from_an_old_copy(lab: Lab, record_property: Tell) -> None:
    """The agent at work is of a try that the copy does not know; what was done since is done again."""
    start(lab, tasks=44, pause="0.5")
    until_done(lab, 10)
    assert lab.sbx("ledger", "backup", "old.db").exit_code == 0
    for pid in lab.agents():
        os.kill(pid, signal.SIGKILL)
    until_done(lab, 30)
    assert lab.sbx("daemon", "stop").exit_code == 0
    assert lab.agents(), "no agent lives on"
    restored = lab.sbx("ledger", "restore", "old.db")
    assert restored.exit_code == 0, str(restored)
    back = now()
    start_daemon(lab)
    assert lab.module("count")["succeeded"] < 30
    fault = Fault("ledger restored from an old copy", back, {"agent_lost", "node_lost"})
    judge(lab, fault, record_property)


# ---- the disk of the home


@pytest.fixture
def small_disk(lab: Lab, site: Site) -> Iterator[None]:
    """A small disk for the home alone, which all hosts share."""
    image, inside = site.write(lab.directory / "disk.img", ""), site.inside(lab.home)
    lab.home.mkdir()
    os.truncate(image, DISK_MIB << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-E", "root_owner=1000:1000", image], check=True)
    made = subprocess.run(["losetup", "--find", "--show", image], check=True, capture_output=True, text=True)
    device = made.stdout.strip()
    subprocess.run(["mount", device, lab.home], check=True)
    for host in (site.login, *site.nodes):
        site.run(host, f"mount {device} {inside}", root=True)
    yield
    lab.close()
    for host in (site.login, *site.nodes):
        site.run(host, f"umount --lazy {inside}", root=True)
    subprocess.run(["umount", "--lazy", lab.home], check=True)
    subprocess.run(["losetup", "--detach", device], check=True)


def no_room(lab: Lab) -> str:
    """What `sbx status` says of a full disk, if it does."""
    done = lab.sbx("status")
    return done.stderr if done.exit_code == 4 and "no room" in done.stderr else ""


@pytest.mark.usefixtures("small_disk")
def test_the_home_is_full(lab: Lab, record_property: Tell) -> None:
    start(lab, tasks=50, pause="0.5")
    until_done(lab, 20)
    assert "No space left" in lab.shell("dd if=/dev/zero of=.sbx/ballast bs=1k").stderr
    said = lab.wait(lambda: no_room(lab), 30, "a word of the full disk")
    assert lab.place.inside(lab.home / "ledger.db") in said
    (lab.home / "ballast").unlink()
    roomy = now()
    lab.wait(lambda: lab.sbx("status").exit_code == 0, 30, "the daemon to go on")
    # An agent that found no room for a log leaves; what was on its way to it goes round again.
    judge(lab, Fault("home full", roomy, {"agent_lost"}, loses=False), record_property)
    log = (lab.home / "log" / "daemon.log").read_text()
    assert "no room for the ledger" in log
    assert "Traceback" not in log
