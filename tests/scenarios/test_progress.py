"""Real programs that say how far they are, watched while they run."""

from pathlib import Path
from typing import Any

from tests.scenarios.lab import Lab

PIPELINE = """
sbx = 1
[pipeline]
name = "far"
[defaults]
resources = { memory = "50M", time = "5m" }
[modules.copy]
run = ["./far.sh", "{body}"]
seed = ["1", "2"]
[modules.fib]
run = ["./fib.sh"]
seed = ["x"]
"""
FAR = """#!/bin/sh
echo "{\\"done\\": $1, \\"total\\": 4, \\"rate\\": 0.5, \\"unit\\": \\"widgets\\"}" > new
mv new progress.json
while [ ! -e "$SBX_PIPELINE/gate" ]; do sleep 0.1; done
"""
FIB = """#!/bin/sh
ln -s /etc/passwd progress.json
while [ ! -e "$SBX_PIPELINE/gate" ]; do sleep 0.1; done
"""
WHOLE = {"done": 3, "total": 8, "rate_per_s": 1.0, "unit": "widgets", "eta_s": 5.0, "tasks": 2}


def told(lab: Lab, name: str) -> Any:
    return lab.module(name)["progress"]


def in_the_ledger(home: Path, text: bytes) -> bool:
    return any(text in path.read_bytes() for path in home.glob("ledger.db*"))


def test_how_far_tasks_are_is_seen_while_they_run_and_nowhere_after(lab: Lab) -> None:
    lab.pipeline(PIPELINE, far_sh=FAR, fib_sh=FIB)
    assert lab.sbx("run", "--detach", "pipeline.toml").exit_code == 0
    lab.wait(lambda: told(lab, "copy") == WHOLE, 60.0, "word of both tasks")
    assert told(lab, "fib") is None, "a link is no word of a program"
    assert "copy: 3 of 8 widgets, 1/s, 5s left (2 running tasks)" in lab.sbx("status").stdout
    assert "[1 of 4 widgets, 30/min, 6s left] 1" in lab.sbx("ps").stdout
    assert "progress  2 of 4 widgets, 30/min, 4s left" in lab.sbx("show", "copy.2").stdout
    shown = lab.json("show", "copy.2")["task"]["progress"]
    assert shown == {"done": 2, "total": 4, "rate_per_s": 0.5, "unit": "widgets", "eta_s": 4.0}
    lab.kill_daemon()  # what it knew was in memory; agents say it again
    assert lab.sbx("daemon", "start").exit_code == 0
    lab.wait(lambda: told(lab, "copy") == WHOLE, 60.0, "word of both tasks, said again")
    lab.file("gate", "open")
    assert lab.wait_for_end()["state"] == "SUCCEEDED"
    assert told(lab, "copy") is None
    assert {task["progress"] for task in lab.tasks()} == {None}
    assert in_the_ledger(lab.home, b"far.sh"), "else this looks in the wrong place"
    assert not in_the_ledger(lab.home, b"widgets")
