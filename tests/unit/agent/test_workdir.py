"""Work directories: used again while clean, put aside otherwise."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from scalebox_hpc.agent.logs import Segment
from scalebox_hpc.agent.workdir import Slot, Slots, WorkDirs, link_bin, removal

LINKS = [("tool", "/bin/true"), ("lib/x", "/bin/false")]


@pytest.fixture
def dirs(tmp_path: Path) -> WorkDirs:
    dirs = WorkDirs(str(tmp_path))
    dirs.make()
    return dirs


@pytest.fixture
def slot(tmp_path: Path, dirs: WorkDirs) -> Slot:
    slot = Slot(0, str(tmp_path), (Segment(str(tmp_path / "o")), Segment(str(tmp_path / "e"))))
    dirs.prepare(slot, LINKS)
    return slot


def test_it_holds_the_links_and_is_private(slot: Slot) -> None:
    assert sorted(os.listdir(slot.work)) == ["lib", "tool"]
    assert os.readlink(f"{slot.work}/lib/x") == "/bin/false"
    assert os.stat(slot.work).st_mode & 0o777 == 0o700


def test_clean_it_is_used_again(slot: Slot, dirs: WorkDirs) -> None:
    before = os.stat(slot.work).st_ino
    left = dirs.names(slot)
    assert left == {}
    dirs.clear(slot, left)
    dirs.prepare(slot, list(LINKS))
    assert os.stat(slot.work).st_ino == before


def test_a_few_plain_files_are_removed_on_the_spot(slot: Slot, dirs: WorkDirs) -> None:
    before = os.stat(slot.work).st_ino
    Path(slot.work, "messages.txt").touch()
    left = dirs.names(slot)
    assert left == {"messages.txt": True}
    dirs.clear(slot, left)
    assert sorted(os.listdir(slot.work)) == ["lib", "tool"]
    dirs.prepare(slot, LINKS)
    assert os.stat(slot.work).st_ino == before
    assert dirs.names(slot) == {}


def spoil(change: str) -> Callable[[str], object]:
    return lambda work: subprocess.run(["sh", "-c", change], cwd=work, check=True)


@pytest.mark.parametrize(
    "change",
    [
        "mkdir d",
        "ln -s / l",
        "rm tool",
        "rm tool; ln -s /bin/sh other; mv other tool",
        "touch lib/y",
        "rm lib/x",
        "seq 20 | xargs touch",
        "chmod 500 .",
        "mv ../work ../elsewhere",
        "mv ../work ../elsewhere; mkdir ../work; ln -s /bin/true ../work/tool",
        "mkfifo p",
        "mkdir d; chmod 0 d",
        "rm -r ../work",
    ],
)
def test_spoilt_it_is_made_anew(slot: Slot, dirs: WorkDirs, change: str) -> None:
    spoil(change)(slot.work)
    dirs.clear(slot, dirs.names(slot))
    dirs.prepare(slot, LINKS)
    assert sorted(os.listdir(slot.work)) == ["lib", "tool"]
    assert os.readlink(f"{slot.work}/tool") == "/bin/true"
    assert os.listdir(f"{slot.work}/lib") == ["x"]
    assert os.stat(slot.work).st_mode & 0o777 == 0o700
    assert dirs.names(slot) == {}


def test_other_links_make_another_directory_and_the_first_is_kept(slot: Slot, dirs: WorkDirs) -> None:
    before = os.stat(slot.work).st_ino
    dirs.prepare(slot, [("other", "/bin/sh")])
    assert os.listdir(slot.work) == ["other"]
    dirs.prepare(slot, LINKS)
    assert os.stat(slot.work).st_ino == before
    assert dirs.names(slot) == {}
    assert not dirs.has_waiting


def test_no_more_are_kept_than_there_is_reason_for(slot: Slot, dirs: WorkDirs) -> None:
    for number in range(20):
        dirs.prepare(slot, [(f"link{number}", "/bin/sh")])
        assert os.listdir(slot.work) == [f"link{number}"]
    assert len(os.listdir(slot.path)) <= 10


def test_what_was_put_aside_can_be_removed_whatever_its_mode(slot: Slot, dirs: WorkDirs) -> None:
    spoil("mkdir d; touch d/x; chmod 500 d; chmod 500 .")(slot.work)
    dirs.clear(slot, dirs.names(slot))
    dirs.prepare(slot, LINKS)
    assert dirs.has_waiting
    subprocess.run(dirs.to_remove(), check=True)
    assert os.listdir(dirs.aside) == []
    assert not dirs.has_waiting
    subprocess.run(removal([dirs.root]), check=True)
    assert not os.path.exists(dirs.root)


def test_the_lowest_free_slot_is_taken(tmp_path: Path) -> None:
    segments = (Segment(str(tmp_path / "o")), Segment(str(tmp_path / "e")))
    slots = Slots(lambda number: Slot(number, str(tmp_path), segments))
    taken = [slots.take() for _ in range(3)]
    assert [slot.number for slot in taken] == [0, 1, 2]
    slots.give(taken[1])
    slots.give(taken[0])
    assert [slots.take().number for _ in range(3)] == [0, 1, 3]


def test_bin_is_one_directory_of_links(tmp_path: Path) -> None:
    path = link_bin(str(tmp_path), 7, [("tool", "/bin/true")])
    assert os.readlink(f"{path}/tool") == "/bin/true"
    assert link_bin(str(tmp_path), 8, []) == ""


def test_a_segment_knows_the_ends_of_each_attempt(tmp_path: Path) -> None:
    segment = Segment(str(tmp_path / "s"))
    segment.begin(b"=== one\n")
    os.write(segment.fd, b"no newline")
    assert segment.end() == (8, 18)
    segment.begin(b"=== two\n")
    assert segment.end() == (27, 27)
    segment.begin(b"=== three\n")
    os.write(segment.fd, b"x" * 10 + b"\xff\n")
    start, end = segment.end()
    assert segment.tail(start, end, 3) == ("x\ufffd\n", True)
    assert segment.tail(8, 18, 2048) == ("no newline", False)
    assert segment.tail(27, 27, 2048) == ("", False)
    assert (tmp_path / "s").read_bytes().startswith(b"=== one\nno newline\n=== two\n=== three\n")


def test_a_segment_emptied_by_a_program_does_no_harm(tmp_path: Path) -> None:
    segment = Segment(str(tmp_path / "s"))
    segment.begin(b"=== a long frame\n")
    os.truncate(tmp_path / "s", 0)
    os.write(segment.fd, b"short")
    assert segment.end() == (0, 5)
    assert segment.tail(0, 5, 2048) == ("short", False)


def test_a_spoilt_one_does_not_keep_a_kept_one_from_being_used_again(slot: Slot, dirs: WorkDirs) -> None:
    first, second = [("a", "/bin/true")], [("b", "/bin/false")]
    dirs.prepare(slot, first)
    dirs.prepare(slot, second)
    Path(slot.work, "deep").mkdir()
    dirs.clear(slot, dirs.names(slot))
    dirs.prepare(slot, first)
    assert sorted(os.listdir(slot.work)) == ["a"]
