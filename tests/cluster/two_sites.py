"""Two sites: that of the labs, and another that is reached through ssh alone.

The other site's user, homes, partition and Python are not where the first one has them, and its compute hosts
are reached from nowhere else.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from scalebox_hpc.testing.delay_proxy import Line
from tests.cluster.box import Settings, Site
from tests.cluster.recovery import home_id
from tests.cluster.site_faults import end_processes
from tests.cluster.test_scenarios import lab_on
from tests.scenarios.lab import Lab

OTHER = Settings(
    private=True, user="lab", homes="/users", partition="batch", python_at="/opt/python/bin/python3"
)
SECOND_FACTOR_PORT = 2222  # of the sshd that wants a second factor too
SECOND_FACTOR = "123456"

SITE_FILE = """
batch = "slurm_cli"
python = "{python}"
prologue = [{prologue}]
interval = "1s"

[ssh]
host = "{host}"
user = "{user}"
python = "{python}"
{ssh}

[machines.cpu]
partition = "{partition}"
cpus = 2
memory = "2G"
default = true
"""


@dataclass(frozen=True)
class TwoSites:
    """The sites; the user of `a` may go to any host of `b` by ssh without a question, and back."""

    a: Site
    b: Site

    def file_of_b(self, *, host: str = "", ssh: str = "") -> str:
        """The text of a site file for b, as `site_file` makes it."""
        return site_file(self.b, host=host, ssh=ssh)

    def ssh(self, host: str, *options: str) -> str:
        """The words that go from a to a host of b, or fail without a question; the command comes behind."""
        return " ".join(["ssh", "-o", "BatchMode=yes", *options, f"{self.b.settings.user}@{host}"])


def site_file(site: Site, *, host: str = "", ssh: str = "") -> str:
    """The text of a site file; `host`: another name for its login host; `ssh`: more lines of its table."""
    settings = site.settings
    at = settings.python_at
    return SITE_FILE.format(
        host=host or site.login,
        user=settings.user,
        python=at or "python3",
        prologue=f'"export PATH=$PATH:{Path(at).parent}"' if at else "",
        ssh=ssh,
        partition=settings.partition,
    )


@contextmanager
def lab_of(two: TwoSites) -> Iterator[Lab]:
    """A lab on a's login node, whose site file `b` is for b; nothing of it is left at b."""
    with contextmanager(lab_on)(two.a) as lab:
        lab.file("site-configs/b.toml", two.file_of_b())
        try:
            yield lab
        finally:
            forget(lab, two.b)


def forget(lab: Lab, site: Site) -> None:
    """End and remove what the lab has at another site; its home's id is in every name there."""
    with suppress(FileNotFoundError):  # it was never used
        home = home_id(lab)
        lab.close()
        listed = site.run(site.login, "squeue --me --noheader --format='%A %j'").stdout.splitlines()
        for job in {line.split()[0] for line in listed if home in line}:
            site.run(site.login, f"scancel {job}", check=False)
        for host in (site.login, *site.nodes):
            end_processes(site, host, home)
        for left in site.home.glob(f".sbx/shared/*{home}*"):
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def known_key(at: Site, of: Site, key: str | None) -> Iterator[None]:
    """What the user of a site believes to be the host key of another: `key` ("TYPE BASE64"), or none."""
    file = at.home / ".ssh" / "known_hosts"
    own = file.read_text()
    names = {of.login, *of.nodes}
    kept = [line for line in own.splitlines() if not names & set(line.split()[0].split(","))]
    if key is not None:
        kept.append(f"{of.login},[{of.login}]:{SECOND_FACTOR_PORT} {key}")
    at.write(file, "\n".join([*kept, ""]), mode=0o600)
    try:
        yield
    finally:
        at.write(file, own, mode=0o600)


def host_key(site: Site) -> str:
    """A site's host key: its type and the key."""
    return " ".join(site.run(site.login, "cat /etc/ssh/ssh_host_ed25519_key.pub").stdout.split()[:2])


@contextmanager
def long_line(two: TwoSites, line: Line) -> Iterator[int]:
    """A port of localhost at a's login host that leads to b's sshd over a long line; its host key is known.

    A site file of it: `two.file_of_b(host="localhost", ssh=f"port = {port}")`.
    """
    python, b = str(Path(two.a.sbx).with_name("python")), two.b
    window = f"--round-trip-ms {line.round_trip_s * 1000:g} --window-kib {line.window_bytes // 1024}"
    command = f"exec {python} -m scalebox_hpc.testing.delay_proxy {b.login}:22 {window}"
    process = two.a.start(two.a.login, command)
    known = two.a.home / ".ssh" / "known_hosts"
    own = known.read_text()
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        two.a.write(known, f"{own}[localhost]:{port} {host_key(b)}\n", mode=0o600)
        yield port
    finally:
        two.a.write(known, own, mode=0o600)
        two.a.stop(process)


def answering(site: Site, answer: str = SECOND_FACTOR) -> str:
    """Words before a command of the site's user that give the second factor to whatever ssh asks for it."""
    script = site.write(site.home / f"answer-{answer}", f"#!/bin/sh\necho {answer}\n", mode=0o755)
    return f"env SSH_ASKPASS={site.inside(script)} SSH_ASKPASS_REQUIRE=force"
