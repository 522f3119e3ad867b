"""A module that names several sites and stages files: tasks go where they start first, their files follow."""

from __future__ import annotations

from collections import Counter

from tests.scenarios.lab import Lab
from tests.scenarios.test_burst import two  # noqa: F401  a fixture

UPPER = """
sbx = 1
[pipeline]
name = "follow"
[modules.upper]
run = ["./upper.sh"]
seed = { glob = "in/*" }
site = SITES
pool = { slots = 2 }
stage = { in = ["{body}"], out = ["*.up"] }
to = ["join"]
resources = { memory = "100M", time = "5m" }
[modules.join]
run = "sort $(cat {bodies}) > $SBX_RESULTS/all.txt"
gather = { by = "all" }
resources = { memory = "100M", time = "5m" }
"""
WORK = """#!/bin/sh
sleep 0.2
[ "$SBX_SITE" = "$OF_SITE" ] || exit 1
tr a-z A-Z < "$SBX_STAGED" > "$SBX_STAGED.up"
echo "$SBX_STAGED.up" > messages.txt
"""
COUNT = 16


def files(lab: Lab) -> None:
    """What each task needs."""
    for number in range(COUNT):
        lab.file(f"in/{number:02}", f"file {number:02}\n")


def check(lab: Lab) -> Counter[str]:
    """All files are home and right, nothing counts twice; return how many tasks each site did."""
    assert lab.result("all.txt").splitlines() == [f"FILE {number:02}" for number in range(COUNT)]
    assert sorted(path.name for path in lab.results().glob("upper.*/*.up")) == [
        f"{n:02}.up" for n in range(COUNT)
    ]
    for module in ("upper-in", "upper"):
        assert lab.states(module) == {"SUCCEEDED": COUNT}
    rows = [row for row in lab.rows() if row["module"] == "upper" and row["outcome"] == "SUCCEEDED"]
    assert sorted(row["task"] for row in rows) == sorted(f"upper.{n}" for n in range(1, COUNT + 1))
    return Counter(row["site"] for row in rows)


def test_files_follow_the_tasks_to_both_sites(two: Lab) -> None:  # noqa: F811
    two.pipeline(UPPER.replace("SITES", '["a", "b"]'), upper_sh=WORK)
    files(two)
    two.run()
    done = check(two)
    assert set(done) == {"a", "b"}
    assert sum(two.states(f"upper-out-{site}").get("SUCCEEDED", 0) for site in "ab") == COUNT
