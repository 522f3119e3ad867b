"""How far running tasks are, as people read it."""

from __future__ import annotations

from typing import Any

from scalebox_hpc.report.failures import NoExamples
from scalebox_hpc.report.progress import progress_lines, progress_text
from scalebox_hpc.report.tasks import task_lines, task_text
from scalebox_hpc.report.views import overview
from tests.cli.fake_daemon import START_US, module, status, task


def far(**changes: Any) -> Any:
    known = {"done": 3 << 30, "total": 5 << 30, "rate_per_s": 120 << 20, "unit": "", "eta_s": 17.07}
    return {**known, **changes}


def test_bytes_are_sizes_and_anything_else_is_counted() -> None:
    assert progress_text(far()) == "3.0G of 5.0G, 120.0M/s, 17s left"
    assert progress_text(far(unit="laps", done=2.5, total=40, rate_per_s=0.05)) == (
        "2.5 of 40 laps, 3/min, 17s left"
    )


def test_what_is_not_known_is_left_out() -> None:
    assert progress_text(far(total=None, rate_per_s=None, eta_s=None)) == "3.0G"


def test_a_unit_steers_no_terminal() -> None:
    assert "\x1b" not in progress_text(far(unit="\x1b[2J"))


def test_a_run_shows_its_modules_at_work_and_folds_many() -> None:
    modules = [module(f"m{n}", closed=False, progress=far(tasks=n + 1)) for n in range(6)]
    found = status("RUNNING", [module("quiet", progress=None), module("old"), *modules])
    lines = overview(found, width=60, height=30, now_us=START_US, examples=NoExamples())
    text = "\n".join(line.text for line in lines)
    assert "\nprogress\n  m0: 3.0G of 5.0G, 120.0M/s, 17s left (1 running task)\n  m1: " in text
    assert "  … 2 more modules" in text
    assert all(len(line.text) <= 60 for line in lines)
    assert progress_lines([module("quiet")]) == []


def test_a_running_task_shows_its_own() -> None:
    running = task("copy.1", state="RUNNING", cause=None, body="b:/raw/x", progress=far())
    shown = list(task_lines([running, task("copy.2", progress=None)], 120))
    assert shown[1].endswith("  [3.0G of 5.0G, 120.0M/s, 17s left] b:/raw/x")
    assert shown[2].endswith("  10 20")
    detail: Any = {"task": running, "attempts": [], "sent": 0, "sender": None}
    assert "progress  3.0G of 5.0G, 120.0M/s, 17s left" in task_text(detail, "r", 80)
