"""What dies at one end, or at both, while primes are counted at the other site and data is copied to it."""

from __future__ import annotations

from tests.cluster.recovery import Fault, Tell, home_id, now, until_done
from tests.cluster.site_faults import (
    end_processes,
    kill_relay,
    parted,
    reboot_login,
    relays,
    without_sshd,
)
from tests.cluster.slurm import running, until_saved
from tests.cluster.struck_sites import (
    check_copies,
    check_nothing_left_at,
    copying,
    judge_both,
    start_both,
    until_paused,
)
from tests.cluster.two_sites import TwoSites
from tests.scenarios.lab import Lab


def test_relay_and_attach_are_killed(lab_of_two: Lab, two_sites: TwoSites, record_property: Tell) -> None:
    b = two_sites.b
    start_both(lab_of_two, tasks=120)
    assert kill_relay(b) == 1
    end_processes(b, b.login, "/relay", ".pyz\0attach\0")
    fault = Fault("relay killed", now(), set(), loses=False)
    judge_both(lab_of_two, two_sites, fault, record_property)


def test_the_login_node_of_the_other_site_is_rebooted(
    lab_of_two: Lab, two_sites: TwoSites, record_property: Tell
) -> None:
    """slurmctld, relay, sshd and all connections are gone with it."""
    with copying(two_sites) as copies:
        start_both(lab_of_two, copies)
        until_saved(two_sites.b, lab_of_two)
        reboot_login(two_sites.b)
        copies.sent = 0  # the counters begin anew: what came before is not in them
        fault = Fault("login node of the other site rebooted", now(), set(), loses=False)
        judge_both(lab_of_two, two_sites, fault, record_property, copies)


def test_the_daemon_is_killed_while_others_work_for_it(
    lab_of_two: Lab, two_sites: TwoSites, record_property: Tell
) -> None:
    with copying(two_sites) as copies:
        start_both(lab_of_two, copies)
        before = relays(two_sites.b)
        lab_of_two.kill_daemon()
        killed = now()
        start_daemon(lab_of_two)
        fault = Fault("kill -9 of the daemon, of which another site holds work", killed, set(), loses=False)
        until_done(lab_of_two, lab_of_two.module("count")["succeeded"] + 4)
        assert relays(two_sites.b) == before, "the daemon found it alive"
        rows = judge_both(lab_of_two, two_sites, fault, record_property)
        check_copies(copies, rows)


def start_daemon(lab: Lab) -> None:
    started = lab.sbx("daemon", "start")
    assert started.exit_code == 0, str(started)


def test_daemon_and_relay_are_killed_while_the_sites_are_parted(
    lab_of_two: Lab, two_sites: TwoSites, record_property: Tell
) -> None:
    """The new daemon has never seen the site; agents hold what they did until it does."""
    a, b = two_sites.a, two_sites.b
    start_both(lab_of_two)
    with parted(a, b):
        lab_of_two.kill_daemon()
        assert kill_relay(b) == 1
        start_daemon(lab_of_two)
        until_paused(lab_of_two)
    fault = Fault("daemon and relay killed while the sites are parted", now(), set(), loses=False)
    judge_both(lab_of_two, two_sites, fault, record_property)


def test_what_is_cancelled_while_nobody_gets_there_ends_there_later(
    lab_of_two: Lab, two_sites: TwoSites
) -> None:
    start_both(lab_of_two, pause="15", done=0)
    lab_of_two.wait(lambda: lab_of_two.states("count")["RUNNING"], 60, "work at b")
    with without_sshd(two_sites.b):
        until_paused(lab_of_two)
        cancelled = lab_of_two.sbx("cancel")
        assert cancelled.exit_code == 0, str(cancelled)
        assert lab_of_two.wait_for_end(30)["state"] == "CANCELLED"
        assert running(lab_of_two, two_sites.b)
    check_nothing_left_at(two_sites.b, home_id(lab_of_two), of_run=False)
