"""What an element found on a node, judged; and what is said where it found nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from scalebox_hpc.doctor import judge_probe
from scalebox_hpc.doctor.facts import Probed
from scalebox_hpc.doctor.finding import Finding
from scalebox_hpc.domain.container import Containers
from scalebox_hpc.domain.site import Site
from scalebox_hpc.errors import SubmitRefused
from tests.unit.doctor.test_judge import verdict

SITE = Site("hpc1")
HERE = {"eth0": "10.0.0.1", "ib0": "10.1.0.1"}
FOUND: dict[str, Any] = {
    "node": "n7",
    "python": "3.9.2",
    "problem": "",
    "addresses": [],
    "scratch": "/scratch",
    "scratch_mib": 50_000,
    "scratch_problem": "",
    "cgroup": "/sys/fs/cgroup/x",
    "cpus": 1,
    "memory_mib": 512,
    "gpus": 0,
    "runtimes": {"apptainer": "1.4.5"},
    "seen": {"took_s": 0.4, "ahead_s": 0.1},
}
GOOD = Probed(True, "/shared", "77", "n7", 2.0)


def tried(address: str, status: int = 200, said: str = "") -> dict[str, Any]:
    return {"address": address, "status": status, "said": said, "took_s": 0.012}


REACHED = tried("10.0.0.1:4000")
REFUSED = tried("10.0.0.1:4000", 0, "10.0.0.1:4000: ECONNREFUSED")
LATE = tried("10.0.0.1:4000", 0, "10.0.0.1:4000: no connection within 5 s")
STRANGE = tried("10.0.0.1:4000", 0, "10.0.0.1:4000: its certificate 00... is not the one that contact.json")


def checks(site: Site = SITE, **change: Any) -> dict[str, Finding]:
    seen = replace(GOOD, found={**FOUND, "addresses": [REACHED], **change})
    found = judge_probe.probed(seen, site, HERE)
    return {finding.check: finding for finding in found}


def test_a_good_node() -> None:
    found = checks()
    assert {verdict(finding) for finding in found.values()} == {"ok"}
    assert found["probe"].fact == "an element began on n7 (Slurm job 77) after 2s"
    assert found["reach"].fact == "the daemon was reached from n7: 10.0.0.1:4000: reached in 12 ms"


@pytest.mark.parametrize(
    ("addresses", "wanted", "said", "remedy"),
    [
        ([REFUSED], "fail", "10.0.0.1:4000: refused", "eth0 10.0.0.1, ib0 10.1.0.1"),
        ([LATE], "fail", "10.0.0.1:4000: timed out", "write `ports`"),
        ([STRANGE], "fail", "its certificate 00", "something else answers there"),
        ([tried("10.0.0.1:4000", 401)], "fail", "answered 401", "something else answers there"),
        ([LATE, tried("10.1.0.1:4000")], "warn", "timed out; 10.1.0.1:4000: reached", '["10.1.0.1"]'),
        ([REACHED, tried("127.0.0.1:4000", 0, "ECONNREFUSED")], "ok", "reached in 12 ms", ""),
        ([tried("127.0.0.1:4000", 0, "ECONNREFUSED")], "fail", "127.0.0.1:4000: refused", "advertise"),
    ],
)
def test_whom_the_node_reached(addresses: list[Any], wanted: str, said: str, remedy: str) -> None:
    found = checks(addresses=addresses)["reach"]
    assert verdict(found) == wanted
    assert said in found.fact
    assert remedy in found.remedy


@pytest.mark.parametrize(
    ("check", "change", "wanted", "said"),
    [
        ("reach", {"problem": "contact.json cannot be read"}, "fail", "contact.json"),
        ("node python", {"python": "3.8.10"}, "fail", "Python 3.8.10 is too old"),
        ("node python", {"python": "3.10.1"}, "ok", "Python 3.10.1"),
        ("node shared", {"seen": {}}, "warn", "was not seen on n7"),
        ("node shared", {"seen": {"took_s": 45.0, "ahead_s": 1.0}}, "warn", "45s"),
        ("node scratch", {"scratch_problem": "/scratch: Permission denied"}, "fail", "Permission denied"),
        ("node scratch", {"scratch_mib": 100}, "warn", "100.0M free"),
        ("node images", {"runtimes": {}}, "warn", "no container runtime"),
        ("node clock", {"seen": {"took_s": 0.4, "ahead_s": -90.0}}, "warn", "1m30s behind this machine's"),
        ("node clock", {"seen": {"took_s": 30.0, "ahead_s": 16.0}}, "ok", "within 16s"),
        ("node clock", {"seen": {}}, "ok", "unknown"),
        ("node limits", {"cgroup": ""}, "ok", "no memory cgroup"),
    ],
)
def test_what_is_wrong_with_a_node(check: str, change: dict[str, Any], wanted: str, said: str) -> None:
    found = checks(**change)[check]
    assert verdict(found) == wanted
    assert said in found.fact


def test_a_runtime_that_the_site_wants_and_the_node_lacks() -> None:
    site = replace(SITE, containers=Containers(runtime="charliecloud"))
    assert verdict(checks(site)["node images"]) == "warn"


@pytest.mark.parametrize(
    ("change", "said", "remedy"),
    [
        ({"state": "PENDING", "reason": "Priority"}, "is PENDING after 5m (Priority)", "--wait 1h"),
        ({}, "did not list the element in 5m", "squeue --me"),
        ({"state": "FAILED", "ended": True}, "ended (FAILED) and left no word", "paths.shared"),
        ({"state": "FAILED", "ended": True, "last_words": "sbx: python9 was not found"}, "python9", "python"),
        ({"state": "RUNNING", "node": "n7"}, "on n7 was not done after 5m", "--wait 15m"),
        ({"state": "RUNNING"}, "is RUNNING after 5m", "--wait 1h"),
    ],
)
def test_an_element_that_told_nothing(change: dict[str, Any], said: str, remedy: str) -> None:
    seen = replace(Probed(False, "/shared", "77", waited_s=300.0), **change)
    [found] = judge_probe.probed(seen, SITE, HERE)
    assert verdict(found) == "fail"
    assert said in found.fact
    assert remedy in found.remedy


def test_a_probe_that_slurm_refused() -> None:
    found = judge_probe.unsent(SubmitRefused("Slurm refused the request: Invalid account", "check `account`"))
    assert verdict(found) == "fail"
    assert (found.fact, found.remedy) == ("Slurm refused the request: Invalid account", "check `account`")
