"""The example dir-copy at its full size between two sites, killed in the middle: S79."""

from __future__ import annotations

import shutil

from tests.cluster.trees import differences
from tests.cluster.two_sites import TwoSites
from tests.scenarios.lab import Lab

FILES = 10_000 + 3 + 1  # small ones, large ones, and the list of their checksums
MAKE = "python3 make_data.py {source} --large-mib 32"


def test_s79_ten_thousand_files_and_some_large_ones_are_copied_and_a_kill_loses_none(
    lab_of_two: Lab, two_sites: TwoSites
) -> None:
    lab, a, b = lab_of_two, two_sites.a, two_sites.b
    site_file = (lab.directory / "site-configs" / "b.toml").read_text()
    lab.example("dir-copy")
    lab.file("site-configs/b.toml", site_file)
    source, target = a.scratch / "dir-copy", b.scratch / "dir-copy"
    made = lab.shell(MAKE.format(source="/scratch/dir-copy"))
    assert made.exit_code == 0, str(made)
    words = ["-p", "source=/scratch/dir-copy", "-p", "target=b:/scratch/dir-copy"]
    try:
        lab.run("--detach", *words)
        lab.wait(lambda: lab.module("copy")["succeeded"] >= 2, 120, "the first parts there")
        lab.kill_all()
        started = lab.sbx("daemon", "start")
        assert started.exit_code == 0, str(started)
        status = lab.wait_for_end(240)
        assert status["state"] == "SUCCEEDED", status["notes"]
        assert differences(source, target) == []
        assert lab.result("copied.txt") == f"{FILES}\n"
        assert lab.states("verify") == {"SUCCEEDED": 1}
        done = [row for row in lab.rows() if row["outcome"] == "SUCCEEDED"]
        copied = [row["task"] for row in done if row["module"] == "copy"]
        assert len(copied) == len(set(copied)) == len(lab.tasks("copy")), "each part counted once"
    finally:
        lab.close()
        for left in (source, target):
            shutil.rmtree(left, ignore_errors=True)
