"""A module that names several sites and stages files: tasks go where they start first, their files follow."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from contextlib import suppress

from tests.scenarios.lab import Lab, command_lines
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
    transfers = [each["module"] for each in lab.status()["modules"] if each["module"].startswith("upper-in")]
    assert sum((lab.states(module) for module in transfers), Counter()) == {"SUCCEEDED": COUNT}
    assert lab.states("upper") == {"SUCCEEDED": COUNT}
    rows = [row for row in lab.rows() if row["module"] == "upper" and row["outcome"] == "SUCCEEDED"]
    assert sorted(row["task"] for row in rows) == sorted(f"upper.{n}" for n in range(1, COUNT + 1))
    return Counter(row["site"] for row in rows)


def test_files_follow_the_tasks_to_both_sites(two: Lab) -> None:  # noqa: F811
    """One is this machine, where tasks and transfers share what room there is."""
    pipeline = UPPER.replace("SITES", '["local", "b"]').replace("pool = { slots = 2 }\n", "")
    two.pipeline(pipeline, upper_sh=WORK.replace("$OF_SITE", "${OF_SITE:-local}"))
    files(two)
    two.run()
    done = check(two)
    assert set(done) == {"local", "b"}
    assert two.states("upper-out") == {"SUCCEEDED": done["b"]}, "what was left at home was there"


STUCK_AT_B = WORK.replace(
    "sleep 0.2\n", '[ $SBX_SITE != b ] || { touch "$SBX_PIPELINE/stuck-$SBX_TASK"; sleep 600; }\n'
)
PYTHON = """#!/bin/sh
[ ! -e {directory}/b-is-down ] && exec {python} "$@"
"""


def test_what_was_brought_to_a_site_that_goes_down_is_brought_to_the_other(two: Lab) -> None:  # noqa: F811
    directory = two.directory
    python = two.place.write(
        directory / "python-b", PYTHON.format(directory=directory, python=sys.executable), mode=0o755
    )
    two.file(
        "site-configs/b.toml",
        f'interval = "1s"\npython = "{python}"' + (directory / "site-configs/b.toml").read_text(),
    )
    two.pipeline(UPPER.replace("SITES", '["a", "b"]'), upper_sh=STUCK_AT_B)
    files(two)
    assert two.sbx("run", "pipeline.toml", "--detach").exit_code == 0
    two.wait(lambda: len(list(directory.glob("stuck-*"))) == 2, 60.0, "two tasks at b")
    two.wait(lambda: two.module("upper")["succeeded"] == COUNT - 4, 60.0, "all that is not at b")
    two.wait(lambda: two.module("upper")["ready"] == 2, 30.0, "two tasks whose files lie at b")
    (directory / "b-is-down").touch()
    for pid, words in command_lines():
        if any(word.endswith(b"agent.pyz") and b"/at-b/" in word for word in words):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    assert two.wait_for_end()["state"] == "SUCCEEDED"
    assert check(two) == {"a": COUNT}
    assert any("files at site b are brought to other sites" in note for note in two.status()["notes"])
    brought = [row for row in two.rows() if row["module"] == "upper-in"]
    assert len(brought) == COUNT + 4
    assert two.sbx("daemon", "stop").exit_code == 0
    assert two.sbx("ledger", "check").exit_code == 0


CHAIN = (
    UPPER.replace('name = "follow"', 'name = "chain"').replace('seed = { glob = "in/*" }\n', "")
    + """
[modules.make]
run = ["./make.sh", "{body}"]
seed = { command = "seq -f %02g 0 15" }
site = SITES
to = ["upper"]
resources = { memory = "100M", time = "5m" }
"""
)
MAKE = """#!/bin/sh
sleep 0.2
echo "file $1" > "$SBX_SHARED/$1"
echo "$SBX_SHARED/$1" > messages.txt
"""


def test_what_was_made_at_several_sites_is_found_by_the_next_module(two: Lab) -> None:  # noqa: F811
    """Daemon and agents are killed in the middle."""
    two.pipeline(CHAIN.replace("SITES", '["a", "b"]'), upper_sh=WORK, make_sh=MAKE)
    assert two.sbx("run", "pipeline.toml", "--detach").exit_code == 0
    two.wait(lambda: two.module("upper")["succeeded"] >= 4, 60.0, "some tasks")
    two.kill_all()
    assert two.sbx("daemon", "start").exit_code == 0
    assert two.wait_for_end()["state"] == "SUCCEEDED"
    check(two)
    made = [row["site"] for row in two.rows() if row["module"] == "make" and row["outcome"] == "SUCCEEDED"]
    brought = {site: sum(two.states(f"upper-in-{site}").values()) for site in "ab"}
    assert brought == Counter(made)
    assert set(made) == {"a", "b"}
