"""Where the relay's socket lies: in a directory that nobody else may enter, or elsewhere, or nowhere."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from scalebox_hpc.relay.options import RelayProblem
from scalebox_hpc.relay.place import find_place, kill_holder, leave, read_record, take_lock, write_whole

HOME = "0123456789abcdef"
OWN = f"sbx-{os.geteuid()}"


def test_it_is_short_and_differs_by_home_and_folder(tmp_path: Path) -> None:
    roots = [str(tmp_path)]
    places = {
        find_place("/shared/" + "x" * 300, HOME, roots),
        find_place("/shared/b", HOME, roots),
        find_place("/shared/b", "f" * 16, roots),
    }
    assert len(places) == 3
    assert all(len(place.socket) < len(str(tmp_path)) + 60 for place in places)
    assert (tmp_path / OWN).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("trouble", ["a link", "a file", "open to others", "somebody else's"])
def test_a_directory_that_is_not_ours_alone_is_not_used(trouble: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for root in (first, second):
        root.mkdir()
    directory = first / OWN
    if trouble == "a link":
        (first / "elsewhere").mkdir(mode=0o700)
        directory.symlink_to(first / "elsewhere")
    elif trouble == "a file":
        directory.write_text("")
    elif trouble == "open to others":
        directory.mkdir()
        directory.chmod(0o750)
    elif os.geteuid() == 0:
        directory.mkdir(mode=0o700)
        os.chown(directory, 65534, 65534)
    else:
        pytest.skip("only root can make a directory of somebody else's")
    assert find_place("/shared", HOME, [str(first), str(second)]).socket.startswith(str(second))
    with pytest.raises(RelayProblem, match="no place for the relay's socket"):
        find_place("/shared", HOME, [str(first)])


def test_one_relay_has_the_place_until_it_leaves(tmp_path: Path) -> None:
    place = find_place("/shared", HOME, [str(tmp_path)])
    lock = take_lock(place)
    assert lock is not None
    assert Path(place.lock).read_text() == str(os.getpid())
    assert take_lock(place) is None
    leave(place, lock)
    assert not Path(place.lock).exists()
    kill_holder(place)  # there is nobody, and it harms nobody
    assert not Path(place.lock).exists()


def test_an_id_that_a_dead_relay_left_behind_ends_nobody(tmp_path: Path) -> None:
    place = find_place("/shared", HOME, [str(tmp_path)])
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as stranger:
        lock = take_lock(place)  # by a relay that has not yet written its own
        assert lock is not None
        Path(place.lock).write_text(str(stranger.pid))
        kill_holder(place)
    assert stranger.returncode == 0
    leave(place, lock)


def test_records_are_written_whole_and_bad_ones_count_as_none(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert read_record(folder) == {}
    write_whole(folder, "relay.json", {"port": 7})
    assert read_record(folder) == {"port": 7}
    assert [path.name for path in tmp_path.iterdir()] == ["relay.json"]
    (tmp_path / "relay.json").write_text("[")
    assert read_record(folder) == {}
