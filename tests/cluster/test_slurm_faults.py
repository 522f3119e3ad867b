"""What Slurm and its people do to a run of primes in its middle: it stays exact, and says what happened."""

from tests.cluster.box import Site, wait_until
from tests.cluster.recovery import Fault, Tell, judge, now, start, until_done
from tests.cluster.test_scenarios import lab  # noqa: F401 (a fixture)
from tests.scenarios.lab import Lab

MIDDLE = 40  # of 120 ranges


def controller_down(site: Site) -> None:
    """Kill -9 slurmctld; it is gone when this returns."""
    site.run(site.login, "kill -9 $(cat /run/slurmctld.pid)", root=True)
    wait_until(lambda: site.run(site.login, "pidof slurmctld", root=True, check=False).returncode, 10)


def controller_up(site: Site) -> None:
    """Start slurmctld and wait until it answers."""
    site.run(site.login, "slurmctld", root=True)
    wait_until(lambda: site.run(site.login, "squeue", check=False).returncode == 0, 30, "slurmctld's answer")


def test_kill_9_of_slurmctld(lab: Lab, site: Site, record_property: Tell) -> None:  # noqa: F811
    start(lab)
    until_done(lab, MIDDLE)
    controller_down(site)
    try:
        until_done(lab, 2 * MIDDLE)
    finally:
        controller_up(site)
    judge(lab, Fault("kill -9 of slurmctld", now(), set(), loses=False), record_property)
