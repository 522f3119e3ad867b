"""One holder at a time; the lock changes hands by itself only where the holder is provably gone."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from scalebox_hpc.daemon import lock as locks
from scalebox_hpc.daemon.home import Home, create
from scalebox_hpc.errors import ConflictError, EnvironmentProblem
from scalebox_hpc.holder import Holder, ProcFs, link

ME = Holder("login1", "m1", "boot-a", "pid:[1]", 100, "5000", "n1")


@dataclass
class FakeProcesses:
    """A machine on which `running` processes run."""

    me: Holder
    running: dict[int, str] = field(default_factory=dict)

    def myself(self) -> Holder:
        return replace(self.me, nonce=os.urandom(8).hex())

    def started(self, pid: int) -> str | None:
        return self.running.get(pid)


def machine(**changes: object) -> FakeProcesses:
    me = replace(ME, **changes)  # type: ignore[arg-type]
    return FakeProcesses(me, {me.pid: me.started})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return create(tmp_path / ".sbx")


def remains(home: Home) -> list[str]:
    return sorted(path.name for path in home.path.iterdir() if "lock" in path.name)


def test_a_second_daemon_is_refused_and_told_who_holds_the_lock(home: Home) -> None:
    held = locks.acquire(home, machine())
    neighbour = machine(pid=101)
    neighbour.running[100] = "5000"
    with pytest.raises(ConflictError, match="process 100 on login1") as refused:
        locks.acquire(home, neighbour)
    assert "sbx daemon stop" in refused.value.hint
    assert held.still_held()
    assert remains(home) == ["lock"]


def test_a_released_lock_is_free(home: Home) -> None:
    held = locks.acquire(home, machine())
    held.release()
    assert not held.still_held()
    assert locks.read_holder(home) is None
    assert locks.acquire(home, machine(pid=101)).still_held()


@pytest.mark.parametrize(
    ("holder", "here", "gone"),
    [
        ({}, {"pid": 7}, True),  # the same boot, and no such process
        ({}, {"pid": 100, "started": "6000"}, True),  # the number was given to another process
        ({}, {"pid": 7, "boot": "boot-b"}, True),  # the machine was booted since
        ({}, {"pid": 7, "pid_space": "pid:[2]"}, False),  # a container sees other processes
        ({}, {"pid": 7, "pid_space": "pid:[2]", "boot": "boot-b"}, True),
        ({}, {"pid": 7, "host": "login2"}, False),
        ({}, {"pid": 7, "host": "login2", "boot": "boot-b"}, False),
        ({}, {"pid": 7, "machine": "m2", "boot": "boot-b"}, False),  # another host of the same name
        ({}, {"pid": 7, "boot": ""}, False),
    ],
)
def test_a_lock_is_taken_over_only_from_who_is_provably_gone(
    home: Home, holder: dict[str, object], here: dict[str, object], gone: bool
) -> None:
    first = locks.acquire(home, machine(**holder))
    if gone:
        second = locks.acquire(home, machine(**here))
        assert second.still_held()
        assert not first.still_held()
        first.release()
        assert second.still_held()
    else:
        with pytest.raises(ConflictError) as refused:
            locks.acquire(home, machine(**here))
        assert "sbx daemon takeover" in refused.value.hint
        assert first.still_held()
    assert remains(home) == ["lock"]


def test_takeover_takes_from_whom_we_cannot_judge_but_not_from_who_lives(home: Home) -> None:
    first = locks.acquire(home, machine(host="login2", boot="boot-z"))
    second = locks.acquire(home, machine(), takeover=True)
    assert second.still_held()
    assert not first.still_held()
    rival = machine(pid=101)
    rival.running[100] = "5000"
    with pytest.raises(ConflictError, match="is running"):
        locks.acquire(home, rival, takeover=True)


def test_a_holder_started_in_a_slurm_job_is_named_with_it(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    assert ProcFs().myself().job == "77"
    locks.acquire(home, machine(host="n3", boot="boot-z", job="77"))
    with pytest.raises(ConflictError, match="on n3, started in Slurm job 77, and from login1") as refused:
        locks.acquire(home, machine())
    assert "scontrol show job 77" in refused.value.hint


def test_a_lock_of_before_there_was_a_job_in_it_is_read(home: Home) -> None:
    held = locks.acquire(home, machine())
    held.path.write_text(held.path.read_text().replace(', "job": ""', ""))
    assert locks.read_holder(home) == held.holder


def test_of_many_who_take_over_at_once_one_wins(home: Home) -> None:
    for round_ in range(20):
        alive = {pid: "1" for pid in range(200, 208)}
        home.lock.unlink(missing_ok=True)
        locks.acquire(home, machine(pid=100 + round_))

        def take(pid: int, alive: dict[int, str] = alive) -> bool:
            try:
                locks.acquire(home, FakeProcesses(replace(ME, pid=pid, started="1"), alive))
            except ConflictError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(take, alive)) == 1
        assert remains(home) == ["lock"]


def test_one_who_died_while_taking_over_is_followed(home: Home) -> None:
    locks.acquire(home, machine(pid=1))
    gone = locks.read_holder(home)
    assert gone is not None
    died = replace(ME, pid=2, nonce="dead")
    assert link(home.lock.with_name(f"lock.after.{gone.nonce}"), died, locks.KIND)
    assert locks.acquire(home, machine(pid=3)).still_held()
    assert remains(home) == ["lock"]


def test_a_lock_that_cannot_be_read_is_not_taken(home: Home) -> None:
    home.lock.write_text("{")
    with pytest.raises(EnvironmentProblem, match="cannot be read") as refused:
        locks.acquire(home, machine())
    assert str(home.lock) in refused.value.hint


def test_a_real_process_that_ended_is_gone(home: Home) -> None:
    code = "import sys, pathlib; from scalebox_hpc.daemon import home, lock; "
    code += "lock.acquire(home.open_home(pathlib.Path(sys.argv[1])))"
    subprocess.run([sys.executable, "-c", code, home.path], check=True, timeout=30)
    before = locks.read_holder(home)
    held = locks.acquire(home)
    assert before is not None
    assert held.holder.pid == os.getpid() != before.pid
    with pytest.raises(ConflictError, match="is running"):
        locks.acquire(home)
    held.release()


def test_a_zombie_is_gone() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert ProcFs().started(child) is None
    os.waitpid(child, 0)
    assert ProcFs().started(child) is None
    assert ProcFs().started(os.getpid()) == ProcFs().myself().started
