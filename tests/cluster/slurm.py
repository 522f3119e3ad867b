"""What a test does to the Slurm of a site in the box, as its root or its user."""

from collections.abc import Iterator
from contextlib import contextmanager

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
    """Start slurmctld and wait until it answers and knows its nodes."""
    root(site, "slurmctld")
    wait_until(lambda: site.run(site.login, "squeue", check=False).returncode == 0, 30, "its answer")


@contextmanager
def without_controller(site: Site) -> Iterator[None]:
    """Kill -9 slurmctld; start it afterwards."""
    stop_controller(site)
    try:
        yield
    finally:
        start_controller(site)


@contextmanager
def other_settings(site: Site, *lines: str) -> Iterator[None]:
    """Restart slurmctld with these lines of slurm.conf instead of its own; put all back afterwards."""
    file = site.box.state / site.name / "etc" / "slurm" / "slurm.conf"
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
