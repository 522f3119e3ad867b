"""Files that go with messages between two clusters, with the link cut while they travel."""

from __future__ import annotations

from tests.cluster.site_faults import cut_link
from tests.cluster.struck_sites import resume_nodes, until_paused
from tests.cluster.test_sites import shared_at
from tests.cluster.two_sites import TwoSites
from tests.scenarios.lab import Lab
from tests.scenarios.test_stage import MAKE, MANY, SEES, UPPER, members


def test_a_module_at_another_cluster_gets_its_files_and_sends_its_own_home(
    lab_of_two: Lab, two_sites: TwoSites
) -> None:
    lab = lab_of_two
    lab.pipeline(UPPER, make_sh=MAKE, upper_sh=SEES)
    lab.run()
    assert lab.result("all.txt").split() == ["ALSO", "ALSO", "ALSO", "ONE", "THREE", "TWO"]
    assert {row["site"] for row in lab.rows() if row["module"] == "upper"} == {"b"}
    for each in members(lab):
        path = each["headers"]["site"]
        assert lab.shell(f"cat {path}").stdout == "b\n"
    assert list((shared_at(lab, two_sites.b) / "runs").iterdir()) == []


def test_a_cable_pulled_while_files_travel_loses_and_doubles_none(
    lab_of_two: Lab, two_sites: TwoSites
) -> None:
    lab, count = lab_of_two, 12
    lab.pipeline(MANY)
    for number in range(count):
        lab.file(f"in/{number:02}", f"file {number:02}\n")
    begun = lab.sbx("run", "pipeline.toml", "--site", str(lab.place.site), "--detach")
    assert begun.exit_code == 0, str(begun)
    lab.wait(lambda: lab.module("upper-in")["succeeded"] >= 2, 90.0, "the first files there")
    with cut_link(two_sites.b):
        until_paused(lab)
    resume_nodes(two_sites.b)
    assert lab.wait_for_end(240.0)["state"] == "SUCCEEDED"
    assert lab.result("all.txt").splitlines() == [f"FILE {number:02}" for number in range(count)]
    for module in ("upper-in", "upper", "upper-out"):
        assert lab.states(module) == {"SUCCEEDED": count}


def test_phage_aligned_at_another_cluster_equals_the_same_tools_by_hand(
    lab_of_two: Lab, two_sites: TwoSites
) -> None:
    lab = lab_of_two
    site = (lab.directory / "site-configs" / "b.toml").read_text()
    lab.example("phage")
    lab.file("site-configs/b.toml", site)
    lab.run("-p", "pairs=2500", pipeline="pipeline-two-sites.toml", timeout_s=300.0)
    hosts = {row["host"] for row in lab.rows() if row["module"] == "align"}
    assert hosts
    assert hosts <= set(two_sites.b.nodes)
    compared = lab.shell(f"./compare.sh results/{lab.status()['run']}")
    assert compared.exit_code == 0, str(compared)
    assert compared.stdout.startswith("equal: ")
