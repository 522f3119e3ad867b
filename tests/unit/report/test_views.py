from __future__ import annotations

import io
import time
from typing import Any

import pytest
from rich.console import Console

from scalebox_hpc.report.failures import AskedExamples, Example, Failure, NoExamples
from scalebox_hpc.report.live import LiveView
from scalebox_hpc.report.text import Line, cells, clip, printable, table
from scalebox_hpc.report.views import overview
from tests.cli.fake_daemon import START_US, DaemonSays, attempt, module, status, task

NOW_US = START_US + 60_000_000


class SameExample:
    """One example for all, however long its reason."""

    def of(self, run: str, failure: Failure) -> Example | None:
        return Example(f"{failure.module}.1", "exit status 1: " + "x" * 500)


def view(found: Any, height: int | None = 24, width: int = 80) -> list[Line]:
    return overview(found, width=width, height=height, now_us=NOW_US, examples=SameExample())


def text_of(lines: list[Line]) -> str:
    return "\n".join(line.text for line in lines)


def many_modules() -> list[Any]:
    closed = [module(f"early-{n}") for n in range(120)]
    busy = [
        module(f"busy-{n}", running=n, ready=5, closed=False, rate_per_s=1.0, eta_s=60.0) for n in range(40)
    ]
    idle = [module(f"late-{n}", succeeded=0, closed=False) for n in range(40)]
    return [*closed, *busy, *idle]


def test_200_modules_fit_a_terminal_and_the_finished_are_folded() -> None:
    lines = view(status("RUNNING", many_modules()))
    assert len(lines) <= 24
    text = text_of(lines)
    assert "… 120 modules finished: 1200 done" in text
    assert "… 40 modules without tasks so far" in text
    assert "more modules at work" in text
    assert "busy-39" in text


def test_without_a_height_nothing_is_folded() -> None:
    assert "early-119" in text_of(view(status("RUNNING", many_modules()), height=None))


def test_10_000_failures_are_a_line_per_module_and_cause() -> None:
    modules = [module(f"m{n}", failed=5000, causes={"exit": 4990, "oom": 10}) for n in range(10)]
    lines = view(status("RUNNING", modules))
    assert len(lines) <= 24
    text = text_of(lines)
    assert "m0: 4990 exit, such as m0.1 (exit status 1: xxx" in text
    assert "more in other modules or causes" in text
    assert "sbx ps primes-7f3a --state FAILED" in text


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    modules = [module("星" * 60, failed=1, causes={"exit": 1}), *many_modules()]
    assert max(cells(line.text) for line in view(status("FAILED", modules), width=width)) <= width


def test_paused_pools_come_first_with_their_reason() -> None:
    pool: dict[str, Any] = {
        "site": "hpc1", "machine": "cpu", "slots": 4, "elements_pending": 0, "elements_running": 1,
        "agents": 1,
        "busy": 1, "state": "ok", "reason": "",
    }  # fmt: skip
    pools = [pool | {"pool": f"p{n}"} for n in range(6)]
    pools.append(pool | {"pool": "bad", "state": "paused", "reason": "3 elements ended without a hello"})
    text = text_of(view(status("RUNNING", pools=pools)))
    assert "pools\n  bad at hpc1/cpu: paused: 3 elements ended without a hello\n" in text
    assert "… 3 more pools" in text


def test_examples_are_asked_for_once() -> None:
    class Counting(DaemonSays):
        asked_for = 0

        def tasks(self, *args: Any, **kwargs: Any) -> Any:
            self.asked_for += 1
            return super().tasks(*args, **kwargs)

    daemon: Any = Counting(tasks=[task()], attempts=[attempt(note="killed\x07")])
    examples = AskedExamples(daemon)
    found = [examples.of("r", Failure("count", "exit", 1)) for _ in range(5)]
    assert found[0] == Example("count.17", "exit status 3: killed\\x07: ValueError: no number")
    assert daemon.asked_for == 1


def test_the_live_view_draws_200_modules_and_10_000_failures_within_the_screen() -> None:
    modules = [module("bad", failed=10_000, causes={"exit": 10_000}, closed=False), *many_modules()]
    screen = Console(file=io.StringIO(), force_terminal=True, width=80, height=24)
    with LiveView(NoExamples(), lambda: NOW_US, "Ctrl-C stops following only", console=screen) as live:
        live.show(status("RUNNING", modules))
        assert isinstance(screen.file, io.StringIO)
        drawn = screen.file.getvalue()
    assert drawn.count("\n") <= 24
    assert "bad: 10000 exit" in drawn
    assert "Ctrl-C stops following only" in drawn


def test_an_overview_of_200_modules_is_cheap() -> None:
    found = status("RUNNING", many_modules())
    begin = time.perf_counter()
    view(found)
    assert time.perf_counter() - begin < 0.5


def test_text_is_made_harmless_and_fits() -> None:
    assert printable("a\x1b]0;x\x07") == "a\\x1b]0;x\\x07"
    assert clip("星星星", 5) == "星星…"
    assert clip("abc", 0) == ""
    assert table([["星", "x"], ["ab", "y"]]) == ["星  x", "ab  y"]


def site(name: str, **changes: Any) -> Any:
    counts = {"ready": 3, "leased": 1, "running": 1, "succeeded": 5, "failed": 0, "cancelled": 0, "tasks": 10}
    found = {
        "site": name,
        "remote": False,
        "state": "ok",
        "reason": "",
        "todo": "",
        "results": "/r",
        "agents": 2,
    }
    return {**found, **counts, **changes}


def test_sites_are_shown_where_there_are_several() -> None:
    there = site("b", remote=True, results="/scratch/results/primes-7f3a", failed=2)
    text = text_of(view(status("RUNNING", sites=[site("home"), there]), width=200))
    assert "  home: 2 agents; 3 waiting, 2 running, 5 done\n" in text
    assert (
        "  b: 2 agents; 3 waiting, 2 running, 5 done, 2 failed; results there in /scratch/results/primes-7f3a"
        in text
    )
    assert "sites" not in text_of(view(status("RUNNING", sites=[site("home")])))


def test_a_site_that_waits_says_why_and_what_to_type() -> None:
    away = site("b", remote=True, state="paused", reason="b: nobody is logged in", todo="sbx site login b")
    text = text_of(view(status("RUNNING", sites=[away]), width=200))
    assert (
        "site b cannot be reached, so its tasks wait: b: nobody is logged in\n  type: sbx site login b"
        in text
    )
