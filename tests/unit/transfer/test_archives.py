"""What modules pack and unpack leave behind, and what they refuse, on this machine."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from scalebox_hpc.errors import UsageError
from scalebox_hpc.transfer import archives, end
from scalebox_hpc.transfer.causes import TransferFailed
from tests.contract.packers import Packers
from tests.permissions import permissions_hold


@pytest.fixture
def pack(tmp_path: Path) -> Packers:
    """What runs the modules on this machine."""
    return Packers("", {}, tmp_path / "work")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory of which nobody may change what is in it."""
    inner = tmp_path / "tree" / "outer" / "inner"
    inner.mkdir(parents=True)
    (inner / "x").write_text("x")
    inner.chmod(0o555)
    inner.parent.chmod(0o555)
    return tmp_path / "tree"


def test_directories_that_nobody_may_change_come_out_of_an_archive_as_they_were(
    pack: Packers, tree: Path, tmp_path: Path
) -> None:
    with permissions_hold():
        ((body, headers),) = pack("pack", str(tree), TO=str(tmp_path / "packed"))
        for _ in ("new", "there already"):
            pack("unpack", body, headers, TO=str(tmp_path / "out"))
    found = tmp_path / "out" / "outer" / "inner"
    assert (found / "x").read_text() == "x"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (found, found.parent)] == [0o555, 0o555]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["outer"]


def test_an_archive_whose_own_directory_nobody_may_change_is_unpacked(
    pack: Packers, tree: Path, tmp_path: Path
) -> None:
    words = ["tar", "--zstd", "--create", f"--file={tmp_path}/x.tar.zst", "-C", str(tree / "outer"), "."]
    subprocess.run(words, check=True)
    with permissions_hold():
        pack("unpack", str(tmp_path / "x.tar.zst"), TO=str(tmp_path / "out"))
    assert (tmp_path / "out" / "inner" / "x").read_text() == "x"


def test_what_cannot_be_unpacked_leaves_nothing_whatever_the_modes_in_it(tree: Path, tmp_path: Path) -> None:
    (tree / "outer" / "link").symlink_to(tmp_path)
    (tree / "outer" / "inner").chmod(0)
    mode = tmp_path.stat().st_mode
    with permissions_hold():
        end.drop(str(tree))
    assert not tree.exists()
    assert tmp_path.stat().st_mode == mode


@pytest.mark.parametrize("is_there", ["a directory", "a file"])
def test_nothing_is_changed_where_a_file_would_take_the_place_of_a_directory_or_the_other_way_round(
    pack: Packers, tmp_path: Path, is_there: str
) -> None:
    for name in ("a/x", "z/y"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True)
        (tmp_path / "tree" / name).write_text(name)
    in_the_way = tmp_path / "out" / "z"
    (in_the_way / "y" if is_there == "a directory" else in_the_way.parent).mkdir(parents=True)
    if is_there == "a file":
        in_the_way.write_text("z")
    ((body, headers),) = pack("pack", str(tmp_path / "tree"), TO=str(tmp_path / "packed"))
    with pytest.raises(TransferFailed, match=r"/out/z.*: is there and"):
        pack("unpack", body, headers, TO=str(tmp_path / "out"))
    assert list((tmp_path / "out").iterdir()) == [in_the_way]


def test_what_a_killed_attempt_left_is_hidden_and_goes_with_the_next_one(
    pack: Packers, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, target, left = archives._run, tmp_path / "packed", tmp_path / "left"

    def watched(words: list[str], stdin: bytes) -> tuple[int, str]:
        done = real(words, stdin)
        shutil.copytree(target, left)  # as it would be if we were killed now
        return done

    with monkeypatch.context() as patch:
        patch.setattr(archives, "_run", watched)
        ((body, _),) = pack("pack", str(tree), TO=str(target))
    assert list(target.iterdir()) == [Path(body)]
    assert [each[0] for each in end.walk(str(left))] == [""]
    assert len(list(left.rglob("archive"))) == 1
    shutil.copytree(left, target, dirs_exist_ok=True)
    (tree / "new").touch()
    ((other, _),) = pack("pack", str(tree), TO=str(target))
    assert set(target.iterdir()) == {Path(body), Path(other)}


@pytest.mark.parametrize("place", ["tree", "tree/outer/packed"])
def test_archives_do_not_go_where_they_would_be_packed(pack: Packers, tmp_path: Path, place: str) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "x").write_text("x")
    with pytest.raises(UsageError, match="all of which is packed"):
        pack("pack", str(tmp_path / "tree"), TO=str(tmp_path / place))
    named = json.dumps({"from": str(tmp_path / "tree"), "files": ["x"]})
    for target in (place, "tree2"):  # beside it, by a name that begins alike
        ((body, _),) = pack("pack", named, TO=str(tmp_path / target))
        assert Path(body).parent == tmp_path / target
    pack("pack", str(tmp_path / "tree"), TO=str(tmp_path / "tree2"))
