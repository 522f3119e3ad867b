"""What a test does to the Slurm of a site in the box, as its root or its user."""

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.box import Site, wait_until
from tests.cluster.recovery import home_id
from tests.scenarios.lab import Lab


def root(site: Site, command: str, host: str = "", *, check: bool = True) -> str:
    """Run a command as root, on the login host unless told otherwise."""
    return site.run(host or site.login, command, root=True, check=check).stdout


def stop_controller(site: Site) -> None:
    """Kill -9 slurmctld, and see it gone."""
    root(site, "kill -9 $(cat /run/slurmctld.pid)")
    wait_until(lambda: not root(site, "pidof slurmctld", check=False), 10, "the end of slurmctld")


def start_controller(site: Site) -> None:
    """Start slurmctld and wait until it has heard of its nodes: a trial submission is refused before."""
    root(site, "slurmctld")

    def knows_its_nodes() -> bool:
        told = site.run(site.login, "sinfo --noheader --Node --format=%T", check=False)
        return told.returncode == 0 and "unknown" not in told.stdout

    wait_until(knows_its_nodes, 60, "what slurmctld knows of its nodes")


def until_saved(site: Site, lab: Lab) -> None:
    """Wait until slurmctld has the running elements on its disk: others a kill -9 makes it forget."""
    until_jobs_saved(site, running(lab, site))


def until_jobs_saved(site: Site, jobs: Iterable[str]) -> None:
    """Wait until slurmctld has on its disk what it knows of these jobs now."""
    mark = f"seen-{secrets.token_hex(8)}"
    for job in jobs:
        root(site, f"scontrol update jobid={job} comment={mark}")
    saved = site.box.state / site.name / "spool" / "slurmctld" / "job_state"
    wait_until(lambda: mark.encode() in saved.read_bytes(), 30, "the saved state of slurmctld")


@contextmanager
def without_controller(site: Site) -> Iterator[None]:
    """Kill -9 slurmctld; start it afterwards."""
    stop_controller(site)
    try:
        yield
    finally:
        start_controller(site)


def settings(site: Site) -> Path:
    """The site's slurm.conf, from outside."""
    return site.box.state / site.name / "etc" / "slurm" / "slurm.conf"


@contextmanager
def other_settings(site: Site, *lines: str) -> Iterator[None]:
    """Restart slurmctld with these lines of slurm.conf instead of its own; put all back afterwards."""
    file = settings(site)
    own = file.read_text()
    keys = tuple(line.partition("=")[0] + "=" for line in lines)
    kept = [line for line in own.splitlines() if not line.startswith(keys)]
    try:
        file.write_text("\n".join([*kept, *lines, ""]))
        with without_controller(site):
            pass
        yield
    finally:
        file.write_text(own)
        with without_controller(site):
            pass


def running(lab: Lab, site: Site) -> dict[str, str]:
    """The running elements of the lab, as `squeue` numbers them, and the node of each."""
    listed = site.run(site.login, "squeue --me --noheader --array --states=R --format='%i %N %j'")
    words = [line.split() for line in listed.stdout.splitlines() if home_id(lab) in line]
    return {word[0]: word[1] for word in words}


def in_the_way(lab: Lab, command: str, text: str) -> None:
    """Put a shell script before one of Slurm's commands in the PATH of the lab's daemon."""
    file = lab.file(f"in-the-way/{command}", f"#!/bin/sh\n{text}")
    lab.env["PATH"] = f"{lab.place.inside(file.parent)}:/usr/local/bin:/usr/bin:/bin"


def state_of(site: Site, job: str) -> str:
    """The name and the state of a job that Slurm knows."""
    command = f"squeue --jobs={job} --states=all --noheader --format='%j %T'"
    return site.run(site.login, command).stdout.strip()
