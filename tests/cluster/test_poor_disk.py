"""A home on a file system without hard links or without locks: refused, and what is told instead works."""

# ruff: noqa: F811 (the fixture `lab` has the name of what takes it)
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.box import Site
from tests.cluster.recovery import check_counts, start
from tests.cluster.site_faults import poor_disk
from tests.cluster.test_scenarios import lab  # noqa: F401 (a fixture)
from tests.scenarios.lab import Done, Lab


@dataclass
class Elsewhere(Lab):
    """A lab whose home is not beside its pipeline."""

    @property
    def home(self) -> Path:
        return self.directory.with_name(f"{self.directory.name}.home")


@contextmanager
def poor_lab(lab: Lab, site: Site, lacks: str) -> Iterator[None]:
    """The lab's directory lies on a disk that lacks something, on all hosts."""
    with poor_disk(site, lacks, site.inside(lab.directory), hosts=(site.login, *site.nodes)):
        yield


def refusal(lab: Lab) -> tuple[Done, str]:
    """What `sbx run` says, and what `sbx doctor` says of the home."""
    said = lab.sbx("doctor").stdout
    found = re.search(r"^fail +home (.*\n.*)$", said, re.MULTILINE)
    assert found is not None, said
    assert "SBX_HOME" in found[1]
    return lab.run(exit_code=4), found[1]


def test_a_home_where_there_are_no_locks_is_refused(lab: Lab, site: Site) -> None:
    lab.example("hello")
    with poor_lab(lab, site, "locks"):
        refused, doctor = refusal(lab)
    assert "(fuse) has no locks" in refused.stderr
    assert "SBX_HOME" in refused.stderr
    assert "fuse has no locks" in doctor
    assert not (lab.home / "ledger.db").exists(), "half a ledger would be in the way of one elsewhere"


def test_a_home_where_there_are_no_hard_links_is_refused_and_all_else_may_lie_there(
    lab: Lab,
    site: Site,
) -> None:
    lab.example("hello")
    elsewhere = Elsewhere(lab.place, lab.directory, lab.env)
    with poor_lab(lab, site, "links"):
        refused, doctor = refusal(lab)
        start(elsewhere, tasks=12, pause="0.1")
        status = elsewhere.wait_for_end()
        rows = elsewhere.rows()
        elsewhere.close()
    assert "on a file system with hard links (SBX_HOME)" in refused.stderr
    assert "fuse has no hard links" in doctor
    assert status["state"] == "SUCCEEDED"
    check_counts(rows)
    assert (lab.directory / "results" / status["run"] / "total.txt").read_text() == "78498\n"
