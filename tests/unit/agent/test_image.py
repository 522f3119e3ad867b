"""An image on a node's own disk, as a file or unpacked: one for all agents, whole, the one asked for."""

from __future__ import annotations

import hashlib
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from scalebox_hpc.agent import image as module
from scalebox_hpc.agent.image import (
    ENTRIES,
    IMAGE,
    TREE,
    WRONG,
    CannotCopy,
    LocalCopy,
    WrongImage,
    copy_once,
    plan_copy,
)
from tests.cluster.box import wait_until

CONTENT = os.urandom(3 << 20)
DIGEST = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
# What it makes has a directory that only its owner may look into and nobody may write to, as images do.
UNPACK = f"""
set -e
echo "$$" >>"$0.pids"
test "$(stat -c %s {IMAGE})" = {len(CONTENT)}
mkdir -p {TREE}/usr/bin {TREE}/closed
head -c 9 {IMAGE} >{TREE}/usr/bin/true
touch {TREE}/closed/file
ln -s usr/bin {TREE}/bin
chmod 500 {TREE}/closed
chmod 555 {TREE}
"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    (tmp_path / "i.sif").write_bytes(CONTENT)
    return tmp_path / "i.sif"


def planned(tmp_path: Path, unpack: str = "") -> LocalCopy:
    """A copy of the image, unpacked by a shell script if one is given."""
    words = ["/bin/sh", "-c", unpack, str(tmp_path / "unpack")] if unpack else []
    return plan_copy(str(tmp_path / "scratch"), str(tmp_path / "i.sif"), DIGEST, words)


def make(copy: LocalCopy) -> None:
    _, source, target, digest, *unpack = copy.words
    copy_once(source, target, digest, unpack)


def helper(copy: LocalCopy) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "scalebox_hpc.agent", *copy.words]
    return subprocess.Popen(words, stderr=subprocess.PIPE, start_new_session=True)


def beside(copy: LocalCopy) -> list[str]:
    """How the names end of what is kept."""
    directory = Path(copy.words[2]).parent
    return sorted(path.name.partition(".")[2] for path in directory.iterdir())


def unpackers(tmp_path: Path) -> list[int]:
    """Those that were started so far."""
    path = tmp_path / "unpack.pids"
    return [int(pid) for pid in path.read_text().split()] if path.exists() else []


@pytest.mark.parametrize("unpack", ["", UNPACK], ids=["file", "unpacked"])
def test_ten_agents_make_one_copy(tmp_path: Path, image: Path, unpack: str) -> None:
    copy = planned(tmp_path, unpack)
    started = [helper(copy) for _ in range(10)]
    said = b"".join(process.communicate(timeout=60)[1] for process in started)
    assert [process.returncode for process in started] == [0] * 10, said
    if unpack:
        assert len(unpackers(tmp_path)) == 1
        assert (Path(copy.path) / "bin/true").read_bytes() == CONTENT[:9]
        assert beside(copy) == ["dir", "dir.lock"]
        assert sorted(os.listdir(copy.words[2])) == [ENTRIES, TREE]
    else:
        assert Path(copy.path).read_bytes() == CONTENT
        assert beside(copy) == ["sif", "sif.lock"]


@pytest.mark.parametrize("unpack", ["", UNPACK], ids=["file", "unpacked"])
def test_an_image_that_was_changed_is_not_copied(tmp_path: Path, image: Path, unpack: str) -> None:
    image.write_bytes(CONTENT[:-1])
    copy = planned(tmp_path, unpack)
    with pytest.raises(WrongImage, match="is not what the run began with"):
        make(copy)
    assert beside(copy) == ["dir.lock" if unpack else "sif.lock"]
    process = helper(copy)
    assert b"sbx image verify" in process.communicate(timeout=60)[1]
    assert process.returncode == WRONG


def test_a_directory_that_others_may_write_is_refused(tmp_path: Path, image: Path) -> None:
    copy = planned(tmp_path)
    directory = Path(copy.path).parent
    directory.mkdir(parents=True)
    directory.chmod(0o777)
    with pytest.raises(CannotCopy, match="is not ours alone"):
        make(copy)


def test_of_an_unpacker_killed_in_the_middle_nothing_stays(tmp_path: Path, image: Path) -> None:
    os.mkfifo(tmp_path / "never")
    stuck = planned(tmp_path, f"{UNPACK}\ncat {shlex.quote(str(tmp_path / 'never'))}")
    process = helper(stuck)
    closed = lambda: list(Path(stuck.words[2]).parent.glob(f"*.new-*/{TREE}/closed/file"))  # noqa: E731
    wait_until(closed, 30, "the tree")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert len(beside(stuck)) == 2  # the lock, and what is not finished
    assert not os.path.exists(stuck.path)
    make(planned(tmp_path, UNPACK))
    assert beside(stuck) == ["dir", "dir.lock"]


def test_an_agent_waits_for_the_other_that_unpacks(tmp_path: Path, image: Path) -> None:
    os.mkfifo(tmp_path / "go")
    copy = planned(tmp_path, f"{UNPACK}\ncat {shlex.quote(str(tmp_path / 'go'))}")
    first = helper(copy)
    wait_until(lambda: unpackers(tmp_path), 30, "the first unpacker")
    second = helper(copy)
    waits = lambda: f"-> FLOCK  ADVISORY  WRITE {second.pid} " in Path("/proc/locks").read_text()  # noqa: E731
    wait_until(waits, 30, "the second agent to wait")
    (tmp_path / "go").write_text("")
    for process in (first, second):
        assert (process.communicate(timeout=60)[1], process.returncode) == (b"", 0)
    assert len(unpackers(tmp_path)) == 1


def test_what_was_swept_away_in_part_is_unpacked_anew(tmp_path: Path, image: Path) -> None:
    copy = planned(tmp_path, UNPACK)
    make(copy)
    in_use = os.open(copy.path, os.O_RDONLY)
    (Path(copy.path) / "usr/bin/true").unlink()
    make(copy)
    assert len(unpackers(tmp_path)) == 2
    assert (Path(copy.path) / "bin/true").read_bytes() == CONTENT[:9]
    assert sorted(os.listdir(in_use)) == ["bin", "closed", "usr"]  # containers may be open in it
    os.close(in_use)
    make(copy)
    assert len(unpackers(tmp_path)) == 2


@pytest.mark.parametrize(
    ("unpack", "text"),
    [
        (f"mkdir {TREE}; echo 'failed because No space left on device'; exit 1", "No space left on device"),
        ("echo 'FATAL:   not an image'; exit 255", "could not be unpacked: not an image"),
        ("exit 4", "exit code 4"),
        ("exit 0", "exit code 0"),
    ],
)
def test_what_cannot_be_unpacked_leaves_nothing_and_says_why(
    tmp_path: Path, image: Path, unpack: str, text: str
) -> None:
    copy = planned(tmp_path, unpack)
    with pytest.raises(CannotCopy, match=text):
        make(copy)
    assert beside(copy) == ["dir.lock"]


def test_a_disk_without_room_is_not_filled(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = SimpleNamespace(f_bavail=2 * len(CONTENT), f_frsize=1)
    monkeypatch.setattr(module.os, "statvfs", lambda path: room)
    copy = planned(tmp_path, UNPACK)
    with pytest.raises(CannotCopy, match=r"no room to unpack it .* 6 MiB are free, 12 MiB may be needed"):
        make(copy)
    assert unpackers(tmp_path) == []
    assert beside(copy) == ["dir.lock"]


def test_an_unpacker_finds_its_own_place_for_temporary_files(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/of/this/python")
    check = 'test -z "$LD_LIBRARY_PATH"; test "$TMPDIR" = "$PWD/tmp"; touch "$TMPDIR/x"\n'
    make(planned(tmp_path, UNPACK + check))
