"""The standard modules list, pack, unpack and delete, on this machine and at a site."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scalebox_hpc.domain.site import Ssh
from scalebox_hpc.errors import UsageError
from scalebox_hpc.testing.sshd import program, running
from scalebox_hpc.transfer.causes import Cause, TransferFailed
from scalebox_hpc.transfer.place import read_place
from tests.contract.packers import Packers

ODD = (
    "with space",
    "line\nend",
    "quo'te\"s",
    "ünïcode",
    os.fsdecode(b"not-utf8-\xff"),
    "-dash",
    "back\\slash",
    "vt\x0bff\x0cfs\x1cnel\x85ls\u2028end",
)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ssh]:
    """A login node, which is this machine."""
    if program() is None:
        pytest.skip("needs an sshd")
    with running(tmp_path_factory.mktemp("door")) as server:
        yield server.ssh


@pytest.fixture(params=["", "b"], ids=["here", "ssh"])
def pack(request: pytest.FixtureRequest, door: Ssh, tmp_path: Path) -> Packers:
    """What runs the modules, for either kind of place."""
    return Packers(request.param, {"b": door}, tmp_path / "work")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with all kinds of names, a link, a mode, and a directory that is empty."""
    root = tmp_path / "tree"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "empty").mkdir(mode=0o750)
    for number, name in enumerate(ODD):
        (root / name).write_bytes(b"x" * number * 100)
    (root / "sub" / "a.fits").write_text("a")
    (root / "sub" / "deep" / "b.fits").write_text("b")
    (root / "sub" / "deep" / "b.fits").chmod(0o640)
    os.utime(root / "sub" / "a.fits", ns=(1, 1_700_000_000_123_456_789))
    (root / "link").symlink_to("sub/a.fits")
    return root


def what(root: Path) -> dict[str, tuple[int, int, bytes | str]]:
    """Everything below a directory: mode, time and content of files, where links lead."""
    found: dict[str, tuple[int, int, bytes | str]] = {}
    for path in sorted(root.rglob("*")):
        status, name = path.lstat(), str(path.relative_to(root))
        content = os.readlink(path) if path.is_symlink() else "" if path.is_dir() else path.read_bytes()
        time = status.st_mtime_ns if path.is_file() and not path.is_symlink() else 0
        found[name] = (stat.S_IMODE(status.st_mode), time, content)
    return found


def test_all_files_become_messages_whatever_their_names(pack: Packers, tree: Path) -> None:
    sent = pack("list", pack.at(tree))
    names = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_symlink() or path.is_file()}
    assert {read_place(body).path for body, _ in sent} == {str(tree / name) for name in names}
    assert not any("\n" in body for body, _ in sent)
    headers = dict(sent)[pack.at(tree / "sub" / "a.fits")]
    assert headers == {"size": "1", "mtime": "2023-11-14T22:13:20.123456Z"}
    assert dict(sent)[pack.at(tree / "link")]["kind"] == "link"


def test_a_filter_a_depth_and_a_kind_choose(pack: Packers, tree: Path) -> None:
    def listed(**env: str) -> list[str]:
        return [body for body, _ in pack("list", pack.at(tree), RELATIVE="1", **env)]

    assert listed(FILTER=r"\.fits$") == ["sub/a.fits", "sub/deep/b.fits"]
    assert listed(FILTER=r"^sub/[^/]+$") == ["sub/a.fits"]
    assert listed(KIND="directories") == ["empty", "sub", "sub/deep"]
    assert listed(KIND="directories", DEPTH="1") == ["empty", "sub"]
    assert listed(DEPTH="2", FILTER="fits") == ["sub/a.fits"]


def test_relative_bodies_are_below_the_base(pack: Packers, tree: Path) -> None:
    sent = pack("list", "tree/sub", DIR=pack.at(tree.parent), RELATIVE="1")
    assert [body for body, _ in sent] == ["tree/sub/a.fits", "tree/sub/deep/b.fits"]


def test_nothing_found_is_a_success_that_sends_nothing(pack: Packers, tree: Path) -> None:
    assert pack("list", pack.at(tree / "empty")) == []
    assert pack("list", pack.at(tree), FILTER="no such thing") == []
    assert pack("list", pack.at(tree / "empty"), SHARDS="1") == []


def test_no_directory_is_no_empty_one(pack: Packers, tree: Path) -> None:
    with pytest.raises(TransferFailed, match=r"there is no .*gone") as failed:
        pack("list", pack.at(tree / "gone"))
    assert failed.value.cause is Cause.MISSING
    with pytest.raises(TransferFailed, match="is no directory"):
        pack("list", pack.at(tree / "-dash"))


@pytest.mark.parametrize(
    "env", [{"KIND": "both"}, {"FILTER": "("}, {"DEPTH": "0"}, {"FILES": "0", "SHARDS": "1"}]
)
def test_what_nobody_can_mean_is_refused(pack: Packers, tree: Path, env: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        pack("list", pack.at(tree), **env)


def test_shards_hold_every_file_once_and_can_be_copied(pack: Packers, tree: Path, tmp_path: Path) -> None:
    shards = pack("list", pack.at(tree), SHARDS="1", FILES="4")
    counts = [int(headers["files"]) for _, headers in shards]
    assert sum(counts) == len(ODD) + 3
    assert max(counts) <= 4
    assert max(counts) - min(counts) <= 3
    for body, _ in shards:
        pack("copy", body, TO=pack.at(tmp_path / "copy"))
    there = {
        name: each for name, each in what(tmp_path / "copy").items() if (tmp_path / "copy" / name).is_file()
    }
    assert there == {name: each for name, each in what(tree).items() if (tree / name).is_file()}


def test_a_tree_is_packed_and_unpacked_as_it_was(pack: Packers, tree: Path, tmp_path: Path) -> None:
    archives = pack("pack", pack.at(tree), TO=pack.at(tmp_path / "packed"), FILES="5")
    assert len(archives) > 1
    assert sum(int(headers["files"]) for _, headers in archives) == len(ODD) + 3
    for body, headers in archives:
        assert int(headers["size"]) == Path(read_place(body).path).stat().st_size
        sent = pack("unpack", body, headers, TO=pack.at(tmp_path / "out"), KEEP="0")
        assert sent[0][0] == pack.at(tmp_path / "out")
        assert sent[0][1]["source"] == pack.at(tree)
    assert what(tmp_path / "out") == what(tree)
    assert list((tmp_path / "packed").iterdir()) == []


def test_an_archive_whose_removal_nobody_heard_of_was_unpacked(
    pack: Packers, tree: Path, tmp_path: Path
) -> None:
    ((body, headers),) = pack("pack", pack.at(tree), TO=pack.at(tmp_path / "packed"))
    env = {"TO": pack.at(tmp_path / "out"), "KEEP": "0", "SBX_TASK": "unpack.3"}
    sent = pack("unpack", body, headers, **env)
    assert pack("unpack", body, headers, **env) == sent
    with pytest.raises(TransferFailed, match="there is no"):
        pack("unpack", body, headers, **{**env, "SBX_TASK": "unpack.4"})


def test_anybody_can_unpack_and_verify_an_archive(pack: Packers, tree: Path, tmp_path: Path) -> None:
    ((body, _),) = pack("pack", pack.at(tree), TO=pack.at(tmp_path / "packed"))
    by_hand = tmp_path / "by-hand"
    by_hand.mkdir()
    subprocess.run(["tar", "--zstd", "-xf", read_place(body).path], cwd=by_hand, check=True)
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", ".sbx-manifest"], cwd=by_hand, check=True)


def test_a_file_that_changes_while_it_is_packed_is_packed_again(
    pack: Packers, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scalebox_hpc.transfer import packing

    real, turns = packing.manifest_line, []

    def write_to_it(name: str, checksum: str | None) -> str:
        if name == "-dash" and not turns:
            turns.append(name)
            (tree / "-dash").write_text("changed")
        return real(name, checksum)

    monkeypatch.setattr(packing, "manifest_line", write_to_it)
    archives = pack("pack", pack.at(tree), TO=pack.at(tmp_path / "packed"))
    assert len(list((tmp_path / "packed").iterdir())) == len(archives) == 1
    pack("unpack", *archives[0], TO=pack.at(tmp_path / "out"))
    assert (tmp_path / "out" / "-dash").read_text() == "changed"


def test_a_damaged_archive_changes_nothing(pack: Packers, tree: Path, tmp_path: Path) -> None:
    ((body, headers),) = pack("pack", pack.at(tree), TO=pack.at(tmp_path / "packed"))
    path = Path(read_place(body).path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    for told in (headers, {}):
        with pytest.raises(TransferFailed):
            pack("unpack", body, told, TO=pack.at(tmp_path / "out"))
        assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def archive(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> None:
    """Make an archive of whatever members."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as file:
        for info, data in members:
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    path.parent.mkdir(exist_ok=True)
    packed = subprocess.run(["zstd", "-q", "-c"], input=plain.getvalue(), capture_output=True, check=True)
    path.write_bytes(packed.stdout)


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    """What tar says of one member."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info


def test_no_archive_writes_outside_of_its_target(pack: Packers, tmp_path: Path) -> None:
    bad = tmp_path / "packed" / "bad.tar.zst"
    outside = tmp_path / "outside"
    outside.mkdir()
    archive(bad, (member("../../outside/a"), b"a"))
    with pytest.raises(TransferFailed, match=r"\.\."):
        pack("unpack", pack.at(bad), TO=pack.at(tmp_path / "out"))
    archive(bad, (member("d", tarfile.SYMTYPE, str(outside)), b""), (member("d/a"), b"a"))
    with pytest.raises(TransferFailed):
        pack("unpack", pack.at(bad), TO=pack.at(tmp_path / "out"))
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / "out" / "d").symlink_to(outside)
    archive(bad, (member("d", tarfile.DIRTYPE, mode=0o755), b""), (member("d/a"), b"a"))
    with pytest.raises(TransferFailed, match="no directory"):
        pack("unpack", pack.at(bad), TO=pack.at(tmp_path / "out"))
    assert list(outside.iterdir()) == []


def test_devices_and_set_user_id_bits_are_not_taken_over(pack: Packers, tmp_path: Path) -> None:
    bad = tmp_path / "packed" / "bad.tar.zst"
    archive(bad, (member("pipe", tarfile.FIFOTYPE), b""))
    with pytest.raises(TransferFailed, match="no file: pipe"):
        pack("unpack", pack.at(bad), TO=pack.at(tmp_path / "out"))
    archive(bad, (member("tool", mode=0o6755), b"a"))
    pack("unpack", pack.at(bad), TO=pack.at(tmp_path / "out"))
    assert stat.S_IMODE((tmp_path / "out" / "tool").stat().st_mode) == 0o755


def test_a_directory_is_deleted_once_its_copy_is_the_same(pack: Packers, tree: Path, tmp_path: Path) -> None:
    ((body, headers),) = pack("copy", pack.at(tree), TO=pack.at(tmp_path / "copies"))
    before = what(tree)
    pack("delete", body, headers)
    assert not tree.exists()
    assert what(tmp_path / "copies" / "tree") == before
    assert pack("delete", body, headers) == [(body, headers)], "a repeated attempt does no harm"


def test_a_directory_without_directories_goes_as_a_whole_but_stays_where_files_of_it_are_named(
    pack: Packers, tmp_path: Path
) -> None:
    for name in ("whole", "named"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text("x")
        ((body, headers),) = pack("copy", pack.at(tmp_path / name), TO=pack.at(tmp_path / "copies"))
        files = json.dumps({"from": body, "files": ["x"]}) if name == "named" else body
        pack("delete", files, headers)
    assert not (tmp_path / "whole").exists()
    assert list((tmp_path / "named").iterdir()) == []


def test_a_file_is_deleted_once_its_copy_is_the_same(pack: Packers, tree: Path, tmp_path: Path) -> None:
    ((body, headers),) = pack("copy", pack.at(tree / "sub" / "a.fits"), TO=pack.at(tmp_path / "copies"))
    pack("delete", body, headers)
    assert not (tree / "sub" / "a.fits").exists()
    assert (tmp_path / "copies" / "a.fits").read_text() == "a"


def change_a_copy(tree: Path, copy: Path) -> None:
    """Another content of the same size and time."""
    status = (copy / "sub" / "a.fits").stat()
    (copy / "sub" / "a.fits").write_text("A")
    os.utime(copy / "sub" / "a.fits", ns=(status.st_atime_ns, status.st_mtime_ns))


def add_a_file(tree: Path, copy: Path) -> None:
    (tree / "sub" / "new").write_text("new")


def add_an_empty_directory(tree: Path, copy: Path) -> None:
    (tree / "sub" / "new").mkdir()


def make_the_copy_a_link(tree: Path, copy: Path) -> None:
    shutil.rmtree(copy)
    copy.symlink_to(tree)


def make_a_hard_link(tree: Path, copy: Path) -> None:
    (copy / "sub" / "a.fits").unlink()
    os.link(tree / "sub" / "a.fits", copy / "sub" / "a.fits")


@pytest.mark.parametrize(
    "spoil", [change_a_copy, add_a_file, add_an_empty_directory, make_the_copy_a_link, make_a_hard_link]
)
def test_nothing_is_deleted_unless_all_of_it_is_the_same(
    pack: Packers, tree: Path, tmp_path: Path, spoil: object
) -> None:
    ((body, headers),) = pack("copy", pack.at(tree), TO=pack.at(tmp_path / "copies"))
    assert callable(spoil)
    spoil(tree, tmp_path / "copies" / "tree")
    before = what(tree)
    with pytest.raises(TransferFailed, match="nothing was deleted"):
        pack("delete", body, headers)
    assert what(tree) == before


def test_nothing_is_deleted_without_a_copy_or_a_source(pack: Packers, tree: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="what is to be deleted"):
        pack("delete", pack.at(tree))
    with pytest.raises(TransferFailed, match="nothing was deleted"):
        pack("delete", pack.at(tmp_path / "gone"), SOURCE=pack.at(tree))
    assert (tree / "sub" / "a.fits").exists()


def test_a_manifest_is_verified_where_it_lies_unless_nothing_there_computes_it(
    pack: Packers, tree: Path
) -> None:
    (tree / "SUMS").write_text(subprocess.check_output(["sha256sum", "./-dash"], cwd=tree, text=True))
    ((_, headers),) = pack("checksum", pack.at(tree), MANIFEST="SUMS")
    assert headers["files"] == "1"
    with pytest.raises(TransferFailed, match="cannot compute 'md5'") as failed:
        pack("checksum", pack.at(tree), MANIFEST="SUMS", ALGORITHM="md5")
    assert failed.value.cause is Cause.TOOL
