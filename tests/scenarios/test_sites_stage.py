"""Files that go with messages to a second site behind a real sshd, and home again. S14, S70-S77."""

from __future__ import annotations

import pytest

from tests.scenarios.lab import Lab, has
from tests.scenarios.test_sites import Other, other, site_b  # noqa: F401  a fixture
from tests.scenarios.test_stage import MANY


def test_phage_aligned_at_another_site_equals_the_same_tools_by_hand(lab: Lab, other: Other) -> None:  # noqa: F811
    if not all(map(has, ("bowtie2", "samtools", "bcftools"))):
        pytest.skip("needs bowtie2, bowtie2-examples, samtools and bcftools: apt-get install them")
    site = (lab.directory / "site-configs" / "b.toml").read_text()
    lab.example("phage")
    lab.file("site-configs/b.toml", site)
    lab.run("-p", "pairs=2500", pipeline="pipeline-two-sites.toml", timeout_s=300.0)
    for module in ("align-in", "align", "align-out"):
        assert lab.states(module) == {"SUCCEEDED": 4}
    assert {row["site"] for row in lab.rows() if row["module"] == "align"} == {"b"}
    assert len(list(lab.results().glob("align.*/piece-*.bam"))) == 4
    compared = lab.shell(f"./compare.sh results/{lab.status()['run']}")
    assert compared.exit_code == 0, str(compared)
    assert compared.stdout.startswith("equal: ")


def test_a_link_cut_while_files_travel_loses_and_doubles_none(lab: Lab, other: Other) -> None:  # noqa: F811
    count = 8
    lab.pipeline(MANY)
    for number in range(count):
        lab.file(f"in/{number:02}", f"file {number:02}\n")
    assert lab.sbx("run", "pipeline.toml", "--detach").exit_code == 0
    lab.wait(lambda: lab.module("upper-in")["succeeded"] >= 2, 90.0, "the first files there")
    other.server.stop()
    lab.wait(lambda: site_b(lab)["state"] == "paused", 60.0, "word of the lost link")
    other.server.start()
    assert lab.wait_for_end(180.0)["state"] == "SUCCEEDED"
    assert lab.result("all.txt").splitlines() == [f"FILE {number:02}" for number in range(count)]
    for module in ("upper-in", "upper", "upper-out"):
        assert lab.states(module) == {"SUCCEEDED": count}
    lab.wait(lambda: not list(other.folder.glob("runs/*/shared/*")), 60.0, "the run's files to go there")
