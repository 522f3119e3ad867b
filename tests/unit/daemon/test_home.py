"""A home is made private and whole, and one that was moved or cannot be written says so."""

from __future__ import annotations

import errno
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scalebox_hpc.daemon import home as homes
from scalebox_hpc.disk import write_whole
from scalebox_hpc.errors import ConflictError, EnvironmentProblem, StorageFull, UsageError


def fake_agent(target: Path) -> None:
    target.write_bytes(b"agent")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_home_is_private_and_has_an_id_of_its_own(tmp_path: Path) -> None:
    home = homes.create(tmp_path / "a" / ".sbx")
    other = homes.create(tmp_path / "b" / ".sbx")
    assert len(bytes.fromhex(home.id)) == 8
    assert home.id != other.id
    assert all(mode(part) == 0o700 for part in (home.path, home.stdin, home.local, home.log.parent))
    assert homes.create(home.path) == homes.open_home(home.path) == home


def test_those_who_make_a_home_at_once_agree_on_its_id(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(homes.create, [tmp_path / ".sbx"] * 8))
    assert len(set(made)) == 1
    assert sorted(one.name for one in made[0].path.iterdir()) == ["home.json", "local", "log", "stdin"]


def test_a_home_open_to_others_is_closed_again(tmp_path: Path) -> None:
    home = homes.create(tmp_path / ".sbx")
    home.path.chmod(0o755)
    homes.open_home(home.path)
    assert mode(home.path) == 0o700


def test_what_is_no_home_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no home"):
        homes.open_home(tmp_path)
    (tmp_path / "home.json").write_text('{"id": "12"')
    with pytest.raises(EnvironmentProblem, match=r"home\.json cannot be read"):
        homes.open_home(tmp_path)


def test_a_moved_home_starts_only_after_the_user_said_so(tmp_path: Path) -> None:
    home = homes.create(tmp_path / "old" / ".sbx")
    (tmp_path / "old").rename(tmp_path / "new")
    with pytest.raises(ConflictError, match="was at") as refused:
        homes.create(tmp_path / "new" / ".sbx")
    assert "sbx daemon moved" in refused.value.hint
    moved = homes.say_moved(tmp_path / "new" / ".sbx")
    assert moved.id == home.id
    assert homes.open_home(moved.path) == moved


def test_a_copied_home_gets_an_id_and_keys_of_its_own(tmp_path: Path) -> None:
    home = homes.create(tmp_path / "old" / ".sbx")
    (home.path / "key").write_bytes(b"secret")
    home.record({"port": 7})
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    with pytest.raises(ConflictError):
        homes.open_home(tmp_path / "new" / ".sbx")
    copy = homes.say_copied(tmp_path / "new" / ".sbx")
    assert copy.id != home.id
    assert not (copy.path / "key").exists()
    assert "port" not in copy.recorded()
    assert copy.recorded()["copied_from"] == home.id
    assert homes.open_home(home.path) == home


def test_a_home_reached_by_another_name_is_the_same(tmp_path: Path) -> None:
    home = homes.create(tmp_path / "project" / ".sbx")
    (tmp_path / "link").symlink_to(tmp_path / "project")
    assert homes.open_home(tmp_path / "link" / ".sbx").id == home.id


def test_what_is_recorded_stays(tmp_path: Path) -> None:
    home = homes.create(tmp_path / ".sbx")
    home.record({"port": 40123})
    home.record({"shared": []})
    recorded = homes.open_home(home.path).recorded()
    assert (recorded["port"], recorded["shared"], recorded["id"]) == (40123, [], home.id)


def test_a_shared_folder_is_private_and_complete(tmp_path: Path) -> None:
    home = homes.create(tmp_path / ".sbx")
    inside = homes.make_shared(home, None, fake_agent)
    outside = homes.make_shared(home, str(tmp_path / "scratch"), fake_agent)
    assert (inside, outside) == (home.path / "shared", tmp_path / "scratch" / f"sbx-{home.id}")
    for folder in (inside, outside):
        assert mode(folder) == 0o700
        assert sorted(part.name for part in folder.iterdir()) == sorted([*homes.SHARED_PARTS, "agent.pyz"])


def test_an_equal_agent_file_is_left_alone_and_another_replaced(tmp_path: Path) -> None:
    home = homes.create(tmp_path / ".sbx")
    agent = homes.make_shared(home, None, fake_agent) / "agent.pyz"
    first = agent.stat().st_ino
    homes.make_shared(home, None, fake_agent)
    assert agent.stat().st_ino == first
    homes.make_shared(home, None, lambda target: target.write_bytes(b"newer") and None)
    assert agent.read_bytes() == b"newer"


def test_a_shared_folder_that_cannot_be_made_names_path_and_remedy(tmp_path: Path) -> None:
    home = homes.create(tmp_path / ".sbx")
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match=str(tmp_path / "file")) as refused:
        homes.make_shared(home, str(tmp_path / "file"), fake_agent)
    assert "paths.shared" in refused.value.hint
    with pytest.raises(UsageError, match="absolute"):
        homes.make_shared(home, "scratch", fake_agent)


def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    home = homes.create(tmp_path / ".sbx")

    def no_room(target: Path) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    with pytest.raises(StorageFull):
        homes.make_shared(home, None, no_room)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    write_whole(tmp_path / "a", "one", 0o600)
    write_whole(tmp_path / "a", "two", 0o600)
    assert (tmp_path / "a").read_text() == "two"
    assert mode(tmp_path / "a") == 0o600
    with pytest.raises(OSError, match="Is a directory"):
        write_whole(tmp_path, "three", 0o600)
    assert [one.name for one in tmp_path.iterdir()] == ["a"]
