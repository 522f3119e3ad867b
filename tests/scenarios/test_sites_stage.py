"""Files that go with messages to a second site behind a real sshd, and home again."""

from __future__ import annotations

import pytest

from tests.scenarios.lab import Lab, has
from tests.scenarios.test_sites import Other, other  # noqa: F401  a fixture


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
