"""A whole agent on disks that are full, read-only or broken: tasks are given back, results are kept."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from scalebox_hpc.agent import disk
from scalebox_hpc.agent.contract import Place, collect
from scalebox_hpc.agent.logs import Segment
from scalebox_hpc.agent.messages import Rules
from scalebox_hpc.agent.publish import PublishError, publish
from scalebox_hpc.agent.spool import Spool
from scalebox_hpc.agent.workdir import Slot, WorkDirs
from tests.full_disk import files_of_at_most
from tests.unit.agent.conftest import Agents
from tests.unit.agent.fake_daemon import FakeDaemon

MOUNT = 'place=$1 how=$2 then=$3; shift 3; mount -t tmpfs -o "$how" tmpfs "$place"; eval "$then"; exec "$@"'
NO_INODES = 'i=0; while : 2>/dev/null >"$place/$i"; do i=$((i + 1)); done'
NO_BLOCKS = 'head -c 2M /dev/zero 2>/dev/null >"$place/filler" || :'

Disk = Callable[..., None]


@pytest.fixture
def disk_at(agents: Agents) -> Disk:
    """Let the agent find a disk of its own at a place; nobody else sees it."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small disk")
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs a mount namespace of its own")

    def mount(place: Path, how: str, then: str = ":") -> None:
        place.mkdir(parents=True, exist_ok=True)
        agents.before = ["unshare", "-m", "/bin/bash", "-ec", MOUNT, "mount", str(place), how, then]

    return mount


def fill(agent: subprocess.Popen[str], scratch: Path) -> None:
    """Use up the inodes of an agent's own disk, from outside."""
    outside = Path(f"/proc/{agent.pid}/root{scratch}")
    number = 0
    while os.statvfs(outside).f_ffree:
        number += 1
        (outside / str(number)).touch()


def left_for_a_disk(daemon: FakeDaemon, agent: subprocess.Popen[str], path: Path, error: str) -> None:
    """It said why, held nothing any more and ended in good order."""
    assert agent.wait(20) == 0
    last = daemon.syncs[-1]
    assert (last["leaving"], last["held"]) == ("disk", [])
    assert str(path) in last["reason"]
    assert error in last["reason"]
    assert agent.stderr is not None
    said = agent.stderr.read()
    assert last["reason"] in said.splitlines()[-1]
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("how", "then", "error"),
    [("size=1M,nr_inodes=9", NO_INODES, "ENOSPC"), ("size=1M,ro", ":", "EROFS")],
)
def test_without_any_room_it_leaves_before_it_takes_a_task(
    daemon: FakeDaemon, agents: Agents, scratch: Path, disk_at: Disk, how: str, then: str, error: str
) -> None:
    disk_at(scratch, how, then)
    daemon.sheet(1)
    daemon.add("x")
    left_for_a_disk(daemon, agents.start(), scratch, error)
    assert daemon.results == {}
    assert len(daemon.pending) == 1


def test_without_room_for_another_work_directory_it_gives_the_task_back(
    daemon: FakeDaemon, agents: Agents, scratch: Path, disk_at: Disk
) -> None:
    disk_at(scratch, "size=1M,nr_inodes=40")
    daemon.sheet(1)
    daemon.sheet(2, files=[["tool", "/bin/true"]])
    agent = agents.start()
    daemon.wait_for_result(daemon.add("x"))
    fill(agent, scratch)
    lease = daemon.add("y", module=2)
    left_for_a_disk(daemon, agent, scratch, "ENOSPC")
    assert lease not in daemon.results
    assert [offer["lease"] for offer in daemon.pending] == [lease]


def test_what_runs_ends_in_peace(daemon: FakeDaemon, agents: Agents, scratch: Path, disk_at: Disk) -> None:
    disk_at(scratch, "size=1M,nr_inodes=40")
    daemon.sheet(1, words=["/bin/sh", "-c", 'until [ -e "$SBX_BODY" ]; do sleep 0.05; done'])
    daemon.sheet(2)
    go = daemon.shared / "go"
    running = daemon.add(str(go))
    agent = agents.start()
    daemon.wait_for(lambda: any([running, 1] in sync["held"] for sync in daemon.syncs))
    fill(agent, scratch)
    other = daemon.add("y", module=2)
    daemon.wait_for(lambda: daemon.syncs[-1]["leaving"] == "disk")
    go.touch()
    assert daemon.wait_for_result(running)["outcome"] == "ok"
    left_for_a_disk(daemon, agent, scratch, "ENOSPC")
    assert other not in daemon.results


def test_what_a_task_filled_is_removed_before_the_next_one_is_given_back(
    daemon: FakeDaemon, agents: Agents, scratch: Path, disk_at: Disk
) -> None:
    disk_at(scratch, "size=1M,nr_inodes=60")
    daemon.terms["resources"]["cpus"] = 1
    fill = "i=0; while : 2>/dev/null >$i; do i=$((i + 1)); done; exit 9"
    daemon.sheet(1, words=["/bin/bash", "-c", f'if [ "$SBX_BODY" = fill ]; then {fill}; fi'])
    leases = [daemon.add(body) for body in ("fill", "a", "fill", "b")]
    agent = agents.start()
    found = [daemon.wait_for_result(lease)["exit_code"] for lease in leases]
    assert found == [9, 0, 9, 0]
    assert agent.wait(20) == 0
    assert daemon.syncs[-1]["leaving"] == "idle"


def test_without_room_for_logs_it_gives_the_task_back(
    daemon: FakeDaemon, agents: Agents, disk_at: Disk
) -> None:
    disk_at(daemon.shared / "logs", "size=1M", NO_BLOCKS)
    daemon.sheet(1)
    daemon.add("x")
    left_for_a_disk(daemon, agents.start(), daemon.shared / "logs", "ENOSPC")
    assert daemon.results == {}


def test_without_room_for_the_members_it_gives_the_gather_task_back(
    daemon: FakeDaemon, agents: Agents, scratch: Path, disk_at: Disk
) -> None:
    disk_at(scratch, "size=1M", NO_BLOCKS)
    daemon.sheet(1, is_gather=True)
    lease = daemon.add("all", gather={"members": 1, "missing": 0, "generation": 1})
    daemon.rows[lease, "members"] = [[1, 0, "work.1", "b", None, None]]
    left_for_a_disk(daemon, agents.start(), scratch / f"sbx-0-{agents.incarnation}" / "gather", "ENOSPC")
    assert daemon.results == {}


def test_a_log_that_cannot_be_written_ends_nothing(daemon: FakeDaemon, agents: Agents) -> None:
    agents.before = ["/bin/sh", "-c", 'exec "$@" 2>/dev/full', "sh"]
    daemon.sheet(1)
    agent = agents.start()
    daemon.wait_for_result(daemon.add("x"))
    daemon.stop()
    daemon.start()
    daemon.wait_for_result(daemon.add("y"))
    assert agent.wait(20) == 0


def test_results_that_cannot_be_spooled_are_kept_for_the_daemon(
    daemon: FakeDaemon, agents: Agents, disk_at: Disk
) -> None:
    disk_at(daemon.shared / "spool", "size=64k", NO_BLOCKS)
    daemon.terms |= {"spool_after_s": 0.1, "lost_after_s": 0.2}
    daemon.sheet(
        1,
        words=["/bin/sh", "-c", 'until [ -e "$SBX_BODY" ]; do sleep 0.05; done; seq 1 20000 >messages.txt'],
        to=["next"],
    )
    go = daemon.shared / "go"
    lease = daemon.add(str(go))
    agent = agents.start()
    daemon.wait_for(lambda: any([lease, 1] in sync["held"] for sync in daemon.syncs))
    daemon.stop()
    go.touch()
    assert agent.stderr is not None
    while "cannot be kept in the spool" not in (line := agent.stderr.readline()):
        assert line, "it ended"
    assert "ENOSPC" in line
    assert str(daemon.shared / "spool") in line
    daemon.start()
    assert daemon.wait_for_result(lease, 40.0)["outcome"] == "ok"
    assert agent.wait(20) == 0


# its parts


def test_half_a_line_in_the_spool_hides_nothing_that_follows(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), "inc")
    spool.add({"lease": "1.e.1"})
    with files_of_at_most(200), pytest.raises(OSError, match="too large"):
        spool.add({"lease": "2.e.1", "chunks": 2}, [(0, b'[["a","b",null]]'), (1, b"[" + b" " * 300 + b"]")])
    spool.add({"lease": "3.e.1"})
    lines = [json.loads(line) for line in Path(spool.path).read_bytes().splitlines()]
    assert [line["result"]["lease"] for line in lines] == ["1.e.1", "3.e.1"]


def test_a_spool_that_somebody_removed_is_begun_again(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path), "inc")
    spool.add({"lease": "1.e.1"})
    os.unlink(spool.path)
    spool.add({"lease": "2.e.1"})
    assert json.loads(Path(spool.path).read_bytes())["result"] == {"lease": "2.e.1"}


def test_a_frame_that_does_not_fit_names_the_log() -> None:
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        Segment("/dev/full").begin(b"=== x\n")


def test_half_a_frame_is_no_frame(tmp_path: Path) -> None:
    segment = Segment(str(tmp_path / "s"))
    with files_of_at_most(4), pytest.raises(OSError, match="No space"):
        segment.begin(b"=== one\n")
    segment.begin(b"=== two\n")
    assert (tmp_path / "s").read_bytes() == b"=== \n=== two\n"
    assert segment.end() == (13, 13)


def test_a_broken_log_costs_only_its_text(tmp_path: Path) -> None:
    segment = Segment(str(tmp_path / "s"))
    segment.begin(b"=== one\n")
    os.close(segment.fd)
    assert segment.end() == (8, 8)
    assert segment.tail(0, 8, 100) == ("", True)


def test_a_work_directory_that_a_disk_hides_is_not_held_for_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dirs = WorkDirs(str(tmp_path))
    dirs.make()
    slot = Slot(0, str(tmp_path), (Segment(str(tmp_path / "o")), Segment(str(tmp_path / "e"))))
    dirs.prepare(slot, [])
    Path(slot.work, "messages.txt").write_text("x\n")

    def broken(path: str) -> object:
        raise OSError(errno.EIO, "Input/output error", path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", broken)
        with pytest.raises(OSError, match="Input/output error"):
            dirs.names(slot)
    assert slot.tree is None


def test_results_that_do_not_fit_name_their_path(tmp_path: Path) -> None:
    (tmp_path / "publish").mkdir()
    (tmp_path / "publish" / "x").write_bytes(b"x" * 1000)
    with files_of_at_most(100), pytest.raises(PublishError) as caught:
        list(publish(str(tmp_path / "publish"), str(tmp_path / "results")))
    assert f"publish/x could not be written to {tmp_path}/results/x: File too large" in str(caught.value)
    assert list((tmp_path / "results").iterdir()) == []


def test_messages_that_do_not_fit_name_their_path(tmp_path: Path) -> None:
    (tmp_path / "messages.txt").write_text("x\n" * 100_000)
    place = Place(str(tmp_path), {"messages.txt": True}, "", "b", {}, str(tmp_path / "chunk"))
    rules = Rules({"to": ["next"], "modules": ["work", "next"], "name": "work", "gathers": {}})
    collection = collect(place, rules, succeeded=True)
    with files_of_at_most(1000):
        try:
            while True:
                next(collection)
        except StopIteration as done:
            found = done.value
    assert f"{tmp_path}/chunk.0: File too large (EFBIG)" in found.problem
    assert found.messages == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE])
def test_a_disk_is_at_fault(number: int) -> None:
    assert disk.is_of_the_disk(OSError(number, os.strerror(number)))


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.E2BIG, errno.ENAMETOOLONG])
def test_what_was_asked_of_a_disk_is_at_fault(number: int) -> None:
    assert not disk.is_of_the_disk(OSError(number, os.strerror(number)))


def test_an_error_of_two_paths_is_put_with_the_one_that_was_written() -> None:
    problem = OSError(errno.ENOSPC, "No space left on device", "/target", None, "/scratch/link")
    assert disk.describe(problem) == "/scratch/link: No space left on device (ENOSPC)"


def test_a_path_that_is_no_text_or_too_long_can_be_told_all_the_same() -> None:
    problem = OSError(errno.EIO, "Input/output error", "/\udcff" + "x" * 5000)
    assert len(disk.describe(problem)) == disk.LONGEST
    problem = OSError(errno.EIO, "Input/output error", "/\udcff")
    assert disk.describe(problem) == "/\\udcff: Input/output error (EIO)"
