"""The way to the other site is lost, while primes are counted there and data is copied to it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from tests.cluster.box import Site, wait_until
from tests.cluster.recovery import Fault, Tell, now
from tests.cluster.site_faults import cut_link, end_connections, without_sshd
from tests.cluster.struck_sites import copying, judge_both, resume_nodes, site_b, start_both, until_paused
from tests.cluster.two_sites import SECOND_FACTOR_PORT, TwoSites, answering
from tests.scenarios.lab import Lab

MINUTE_S = 60.0
AWAY_S = 10.0  # transfers try again within a second or two
OF_SLURM = {"agent_lost", "node_lost", "preempted"}  # slurmctld is cut off from its nodes too, and loses them


@pytest.mark.parametrize(
    ("name", "lost", "least_s", "causes"),
    [
        ("cable of the other site's login node out for a minute", cut_link, MINUTE_S, OF_SLURM),
        ("sshd of the other site killed, and started when its loss was seen", without_sshd, 0.0, set()),
    ],
)
def test_the_way_to_the_other_site_is_lost(
    name: str,
    lost: Callable[[Site], AbstractContextManager[None]],
    least_s: float,
    causes: set[str],
    lab_of_two: Lab,
    two_sites: TwoSites,
    record_property: Tell,
) -> None:
    with copying(two_sites) as copies:
        start_both(lab_of_two, copies)
        with lost(two_sites.b):
            struck = now()
            paused = until_paused(lab_of_two)
            assert f"site b cannot be reached, so its tasks wait: {paused['reason']}" in said(lab_of_two)
            wait_until(lambda: (now() - struck).total_seconds() >= least_s, MINUTE_S + 5, "a minute")
        fault = Fault(name, now(), causes, loses=False)
        resume_nodes(two_sites.b)
        judge_both(lab_of_two, two_sites, fault, record_property, copies)
        assert "note: site b could not be reached for " in said(lab_of_two)


def said(lab: Lab) -> str:
    """What `sbx status` says to a person, on one line."""
    return " ".join(lab.sbx("status").text.split())


def test_a_login_with_a_second_factor_is_lost(
    lab_of_two: Lab, two_sites: TwoSites, record_property: Tell
) -> None:
    """Nobody but the user can bring it back, so `sbx status` says what to type; then all goes on."""
    lab, a, b = lab_of_two, two_sites.a, two_sites.b
    lab.file("site-configs/b.toml", two_sites.file_of_b(ssh=f"port = {SECOND_FACTOR_PORT}\nmaster = true"))
    log_in(lab, a)
    with copying(two_sites) as copies:
        start_both(lab, copies)
        end_connections(b)
        struck = now()
        until_paused(lab)  # first that the line is over; at the next try that nobody is logged in
        lab.wait(lambda: site_b(lab)["todo"] == "sbx site login b", 40, "what to type")
        assert "sbx site login b" in said(lab)
        wait_until(lambda: (now() - struck).total_seconds() >= AWAY_S, 60, "the user, who was away")
        log_in(lab, a)
        fault = Fault("OpenSSH master ended, and logged in again", now(), set(), loses=False)
        judge_both(lab, two_sites, fault, record_property, copies)
    end_connections(b)


def log_in(lab: Lab, site: Site) -> None:
    """Type `sbx site login b`, and the second factor."""
    done = lab.shell(f"{answering(site)} {lab.place.sbx} site login b")
    assert done.exit_code == 0, str(done)
