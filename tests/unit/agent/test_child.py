"""Processes: how they end, their time limit, and that nothing of an attempt stays alive.

One suite for both ways to learn of an end, and once more where the kernel has no list of children.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scalebox_hpc.agent import child
from scalebox_hpc.agent.child import Children, PidfdWatch, Process, SigchldWatch, best_watch
from scalebox_hpc.agent.loop import Loop
from scalebox_hpc.agent.signals import PASSED_OVER, Signals

MARKER = (b"SBX_INCARNATION=i", b"SBX_TASK=t.1", b"SBX_ATTEMPT=1")
ENV = {b"PATH": b"/usr/bin:/bin", **dict(pair.split(b"=") for pair in MARKER)}
WATCHES: dict[str, Callable[[Loop, Signals], object]] = {
    "pidfd": lambda loop, signals: PidfdWatch(loop),
    "sigchld": lambda loop, signals: SigchldWatch(signals),
    "no list of children": lambda loop, signals: PidfdWatch(loop),
}


class Bench:
    """A loop with children, turned by hand."""

    def __init__(self, loop: Loop, children: Children, directory: Path) -> None:
        self.loop, self.children, self.directory = loop, children, directory
        self.ended: list[Process] = []
        self.out = os.open(directory / "out", os.O_RDWR | os.O_CREAT | os.O_APPEND)

    def start(self, script: str, time_s: float = 60.0, marker: tuple[bytes, ...] = MARKER) -> Process:
        redirections = self.children.redirections(self.out, self.out)
        argv = ["sh", "-c", script]
        env = {**ENV, **dict(pair.split(b"=") for pair in marker)}
        place = str(self.directory)
        self.loop.turn(0)
        return self.children.start(
            "/bin/sh", argv, env, place, redirections, frozenset(marker), time_s, self.ended.append
        )

    def turn_until(self, is_true: Callable[[], bool], seconds: float = 20.0) -> None:
        until = time.monotonic() + seconds
        while not is_true():
            assert time.monotonic() < until, "not in time"
            self.loop.turn(min(until, self.children.wake_at, self.loop.now + 0.1))
            if self.loop.now >= self.children.wake_at:
                self.children.tick()

    def run(self, script: str, time_s: float = 60.0) -> Process:
        process = self.start(script, time_s)
        self.turn_until(lambda: process in self.ended)
        return process

    def output(self) -> str:
        return (self.directory / "out").read_text()

    def says(self, text: str) -> Callable[[], bool]:
        return lambda: text in self.output()


@pytest.fixture(params=list(WATCHES))
def bench(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    handlers = {number: signal.getsignal(number) for number in (*PASSED_OVER, signal.SIGCHLD)}
    here = os.getcwd()
    if request.param == "no list of children":
        monkeypatch.setattr(child, "_open_children_list", lambda: -1)
    loop = Loop()
    signals = Signals(loop)
    children = Children(loop, WATCHES[request.param](loop, signals))  # type: ignore[arg-type]
    yield Bench(loop, children, tmp_path)
    children.kill_all()
    signal.set_wakeup_fd(-1)
    ctypes.CDLL(None).prctl(child.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    for number, handler in handlers.items():
        signal.signal(number, handler)
    os.chdir(here)


@pytest.fixture(scope="module")
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    """A child of this process that is no business of the agent's."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def test_what_other_tests_have_started_lives_on(bystander: subprocess.Popen[bytes], bench: Bench) -> None:
    bench.run("(setsid sleep 60 &)")
    bench.children.kill_all()
    assert bystander.poll() is None


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_an_exit_code_and_usage_come_back(bench: Bench) -> None:
    process = bench.run("exit 7")
    assert os.WEXITSTATUS(process.status) == 7
    assert process.rusage.ru_maxrss > 0


def test_it_runs_in_its_directory_in_its_own_session_with_no_input(bench: Bench) -> None:
    process = bench.run("pwd; ps -o sid= -p $$; cat; echo end")
    place, session, end = bench.output().split("\n")[:3]
    assert (place, int(session), end) == (str(bench.directory), process.pid, "end")


def test_signals_have_their_default_meaning_in_a_program(bench: Bench) -> None:
    assert os.WTERMSIG(bench.run("kill -PIPE $$").status) == signal.SIGPIPE


def test_what_does_not_start_raises(bench: Bench) -> None:
    with pytest.raises(FileNotFoundError):
        bench.children.start("/no/such", ["x"], ENV, "/", bench.children.silent, frozenset(), 1.0, print)


def test_many_at_once_all_end(bench: Bench) -> None:
    markers = [(*MARKER[:2], b"SBX_ATTEMPT=%d" % n) for n in range(20)]
    processes = [bench.start(f"exit {n}", marker=marker) for n, marker in enumerate(markers)]
    bench.turn_until(lambda: len(bench.ended) == 20)
    assert sorted(os.WEXITSTATUS(process.status) for process in processes) == list(range(20))


def test_term_comes_first_and_may_be_obeyed(bench: Bench) -> None:
    process = bench.run("trap 'echo bye; exit 3' TERM; echo on; while :; do sleep 0.05; done", time_s=0.5)
    assert (process.why, os.WEXITSTATUS(process.status)) == ("timeout", 3)
    assert bench.output().startswith("on\n")
    assert bench.output().endswith("bye\n")


def test_kill_comes_after_the_grace(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "GRACE_S", 0.5)
    process = bench.run("trap '' TERM; while :; do sleep 0.05; done", time_s=0.5)
    assert (process.why, os.WTERMSIG(process.status)) == ("timeout", signal.SIGKILL)


def test_a_stop_by_hand_keeps_its_reason(bench: Bench) -> None:
    process = bench.start("echo on; sleep 60")
    bench.turn_until(bench.says("on"))
    bench.children.stop(process, "term")
    bench.turn_until(lambda: process in bench.ended)
    assert process.why == "term"


@pytest.mark.parametrize(
    "leftover",
    [
        "sleep 60 & echo $!",
        "(setsid sh -c 'echo $$; exec sleep 60' &)",
        'setsid sh -c \'(setsid sh -c "trap \\"\\" TERM; echo \\$\\$; while :; do sleep 1; done" &)\'',
    ],
    ids=["in the group", "another session", "twice removed and deaf to TERM"],
)
def test_what_is_left_is_killed_before_the_end_is_told(bench: Bench, leftover: str) -> None:
    bench.run(leftover + "; while ! grep -q . out; do sleep 0.01; done")
    assert not is_alive(int(bench.output().split()[0]))


def test_another_attempt_keeps_what_it_started(bench: Bench) -> None:
    other = (b"SBX_INCARNATION=i", b"SBX_TASK=t.2", b"SBX_ATTEMPT=1")
    long = bench.start("(setsid sh -c 'echo $$; exec sleep 60' &); sleep 60", marker=other)
    bench.turn_until(bench.says("\n"))
    orphan = int(bench.output().split()[0])
    bench.run("(setsid sleep 60 &)")
    assert is_alive(orphan)
    bench.children.stop(long, "dead")
    bench.turn_until(lambda: long in bench.ended)
    assert not is_alive(orphan)


def test_orphans_that_end_by_themselves_are_reaped(bench: Bench) -> None:
    bench.run("(sh -c 'exit 0' &); sleep 0.1")
    bench.run(":")
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    assert [pid for pid in children if not is_alive(int(pid))] == []


def test_the_best_watch_of_this_kernel_works(bench: Bench) -> None:
    watch = best_watch(bench.loop, Signals(bench.loop))
    assert isinstance(watch, PidfdWatch) == hasattr(os, "pidfd_open")
