"""Transfers over every way: here, push, pull, within a site, and between two sites through us (S70-S76)."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scalebox_hpc.domain.site import Site
from scalebox_hpc.testing.sshd import Sshd, program
from scalebox_hpc.transfer.causes import Cause, TransferFailed
from scalebox_hpc.transfer.link import Piece
from scalebox_hpc.transfer.place import Place
from scalebox_hpc.transfer.plan import folder
from tests.contract.movers import WAYS, Mover

ODD = [
    b"a b",
    b'it\'s "quoted"',
    b"line\nend",
    "dürer é 雪".encode(),
    b"not utf-8 \xff\xfe",
    b"-rf",
    b"#f#",
    b";f",
    b"c:x",
    b"a*b?[c]",
    b"back\\slash",
    b"#hash",
    b"$HOME `id`",
    b" ",
]


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Sshd]]:
    """Two login nodes, both this machine."""
    if program() is None:
        pytest.skip("needs an sshd")
    directory = tmp_path_factory.mktemp("doors")
    opened = {name: Sshd(directory / name) for name in ("b", "c")}
    for door in opened.values():
        door.start()
    yield opened
    for door in opened.values():
        door.stop()


@pytest.fixture(scope="module")
def sites(doors: dict[str, Sshd]) -> dict[str, Site]:
    """Their sites."""
    return {name: Site(name, ssh=door.ssh) for name, door in doors.items()}


@pytest.fixture(scope="module", params=WAYS)
def mover(
    request: pytest.FixtureRequest, sites: dict[str, Site], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mover]:
    """Each way in turn."""
    found = Mover(sites, request.param, tmp_path_factory.mktemp("locks") / "streams")
    yield found
    found.close()


@pytest.fixture(scope="module")
def push(sites: dict[str, Site], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mover]:
    """From here to a site."""
    found = Mover(sites, "push", tmp_path_factory.mktemp("locks") / "streams")
    yield found
    found.close()


def tree(root: Path) -> Path:
    """A directory with much of what there may be in one."""
    (root / "empty").mkdir(parents=True)
    (root / "deep" / "er").mkdir(parents=True)
    (root / "deep" / "er" / "file").write_bytes(bytes(range(256)) * 100)
    (root / "deep" / "nothing").touch()
    (root / "program").write_text("#!/bin/sh\n")
    (root / "program").chmod(0o750)
    (root / "link").symlink_to("deep/er/file")
    (root / "dangling").symlink_to("nowhere")
    for index, name in enumerate(ODD):
        for above in (root, root / "deep"):
            Path(os.fsdecode(os.fsencode(above) + b"/" + name)).write_text(f"{index}")
    (root / "#large").write_bytes(bytes(100_000))  # no parcel, and rsync takes such a name for a comment
    for index, path in enumerate([*root.rglob("*"), root]):
        if not path.is_symlink():
            os.utime(path, ns=(0, 1_600_000_000_123_456_789 + index))
    (root / "empty").chmod(0o700)
    return root


def snapshot(root: Path) -> dict[str, tuple[Any, ...]]:
    """What a directory holds: kind, content or goal, mode, time."""
    found: dict[str, tuple[Any, ...]] = {}
    for path in [root, *sorted(root.rglob("*"))]:
        status = path.lstat()
        content: object = os.readlink(path) if path.is_symlink() else None
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
        time_ns = 0 if path.is_symlink() else status.st_mtime_ns
        found[str(path.relative_to(root))] = (status.st_mode, content, time_ns)
    return found


def test_a_file_arrives_with_content_mode_and_time(mover: Mover, tmp_path: Path) -> None:
    source, there = tmp_path / "a file", tmp_path / "out" / "b"
    source.write_bytes(b"content" * 1000)
    source.chmod(0o640)
    outcome = mover(source, there)
    assert there.read_bytes() == source.read_bytes()
    assert there.stat().st_mode == source.stat().st_mode
    assert there.stat().st_mtime_ns == source.stat().st_mtime_ns
    assert [path.name for path in there.parent.iterdir()] == ["b"]
    assert outcome.files[0].checksum.startswith("xxh3:")
    assert source.exists()


def test_a_directory_arrives_as_it_is_and_is_left_alone_the_next_time(mover: Mover, tmp_path: Path) -> None:
    source, there = tree(tmp_path / "source"), tmp_path / "out"
    before = snapshot(source)
    mover(source, there)
    assert snapshot(there) == before
    again = mover(source, there)
    assert again.moved_bytes == 0
    assert len(again.files) == len(
        [path for path in source.rglob("*") if path.is_symlink() or path.is_file()]
    )
    assert snapshot(there) == before


@pytest.mark.parametrize("name", ODD, ids=repr)
def test_a_file_of_any_name_arrives(push: Mover, tmp_path: Path, name: bytes) -> None:
    source = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    source.parent.mkdir(exist_ok=True, parents=True)
    source.write_bytes(name)
    there = Path(os.fsdecode(os.fsencode(tmp_path / "out") + b"/" + name + b"/" + b"x" + name))
    push(source, there)
    assert there.read_bytes() == name


@pytest.mark.parametrize("limit_mib_s", [None, 100.0])
@pytest.mark.parametrize("goal", ["absolute", "relative"])
def test_what_a_link_leads_to_arrives_where_the_link_is_named(
    mover: Mover, tmp_path: Path, goal: str, limit_mib_s: float | None
) -> None:
    file, link, there = tmp_path / "file", tmp_path / "link", tmp_path / "out" / "copy"
    file.write_text("content")
    link.symlink_to(file if goal == "absolute" else "file")
    outcome = mover(link, there, limit_mib_s=limit_mib_s)
    assert not there.is_symlink()
    assert there.read_text() == "content"
    assert outcome.size_bytes == 7


@pytest.mark.parametrize(
    ("here", "far"), [("directory", "link"), ("directory", "file"), ("file", "directory")]
)
def test_what_is_of_another_kind_at_the_target_is_neither_removed_nor_followed(
    push: Mover, tmp_path: Path, here: str, far: str
) -> None:
    source, there, other = tmp_path / "source", tmp_path / "out", tmp_path / "other"

    def make(path: Path, kind: str) -> None:
        path.parent.mkdir(exist_ok=True)
        match kind:
            case "file":
                path.write_text("file")
            case "link":
                path.symlink_to("../other")
            case _:
                path.mkdir()
                (path / "x").write_text(str(path))

    make(other, "directory")
    make(source / "sub", here)
    make(there / "sub", far)
    before = snapshot(tmp_path)
    with pytest.raises(TransferFailed, match="'sub'"):
        push(source, there, keep_source=False)
    assert snapshot(tmp_path) == before
    if here == "file":
        with pytest.raises(TransferFailed, match="sub is a directory"):
            push(source / "sub", there / "sub")
        assert snapshot(tmp_path) == before


def test_a_file_that_was_whole_but_for_its_mode_and_time_gets_these(mover: Mover, tmp_path: Path) -> None:
    source, there = tmp_path / "a", tmp_path / "out" / "a"
    source.write_bytes(b"content")
    source.chmod(0o440)
    os.utime(source, ns=(0, 10**18))

    def undress(piece: Piece) -> None:
        Path(piece.target).chmod(0o600)
        os.utime(piece.target)

    mover(source, there, after_each=undress)
    assert (there.stat().st_mode & 0o777, there.stat().st_mtime_ns) == (0o440, 10**18)
    source.chmod(0o400)
    mover(source, there)
    assert there.stat().st_mode & 0o777 == 0o400


def test_what_is_mended_leaves_its_directory_its_time(push: Mover, tmp_path: Path) -> None:
    source, there = tree(tmp_path / "source"), tmp_path / "out"
    push(source, there)
    wrong = there / "deep" / "er" / "file"
    status = wrong.stat()
    wrong.write_bytes(b"\0" * status.st_size)
    os.utime(wrong, ns=(0, status.st_mtime_ns))
    push(source, there, verify_all=True)
    assert snapshot(there) == snapshot(source)


def test_what_a_killed_try_has_left_goes_away_though_nothing_is_left_to_copy(
    push: Mover, tmp_path: Path
) -> None:
    source, there = tree(tmp_path / "source"), tmp_path / "out"
    push(source, there)
    (there / folder(Place("", str(source)), Place("b", str(there)))).mkdir()
    assert push(source, there).moved_bytes == 0
    assert snapshot(there) == snapshot(source)


def test_files_of_a_list_may_be_reached_by_a_link(push: Mover, tmp_path: Path) -> None:
    source, there = tree(tmp_path / "source"), tmp_path / "out"
    (source / "by").symlink_to("deep")
    push(source, there, names=("by/er/file",))
    assert not (there / "by").is_symlink()
    assert [str(path.relative_to(there)) for path in there.rglob("*") if path.is_file()] == ["by/er/file"]


def test_files_of_a_list_arrive_and_no_others(mover: Mover, tmp_path: Path) -> None:
    source, there = tree(tmp_path / "source"), tmp_path / "out"
    names = ("deep/er/file", "program", "deep/line\nend", "link")
    outcome = mover(source, there, names=names)
    found = {
        str(path.relative_to(there)) for path in there.rglob("*") if not path.is_dir() or path.is_symlink()
    }
    assert found == set(names)
    assert {each.name for each in outcome.files} == set(names)
    assert all(each.checksum for each in outcome.files)


def test_a_source_goes_away_only_once_its_copy_is_verified(mover: Mover, tmp_path: Path) -> None:
    source, there = tree(tmp_path / "source"), tmp_path / "out"
    before = snapshot(source)
    mover(source, there, names=("program",))
    outcome = mover(source, there, keep_source=False)
    assert snapshot(there) == before
    assert not source.exists()
    assert outcome.removed == len(outcome.files)


@pytest.mark.parametrize("kind", ["same", "link to the directory", "link to the file", "hard link"])
def test_a_source_that_is_its_own_target_is_never_removed(mover: Mover, tmp_path: Path, kind: str) -> None:
    source, there = tree(tmp_path / "source"), tmp_path / "out"
    before = snapshot(source)
    file, other = source / "program", there / "program"
    match kind:
        case "same":
            there, other = source, file
        case "link to the directory":
            there.symlink_to(source)
        case "link to the file":
            there.mkdir()
            other.symlink_to(file)
        case "hard link":
            there.mkdir()
            other.hardlink_to(file)
    moves = [(file, other)] if "file" in kind else [(file, other), (source, there)]
    for one, another in moves:
        with pytest.raises(TransferFailed, match="are the same files"):
            mover(one, another, keep_source=False)
        assert snapshot(source) == before


def test_a_wrong_copy_of_the_right_size_and_time_keeps_its_source_until_it_is_mended(
    push: Mover, tmp_path: Path
) -> None:
    source, there = tree(tmp_path / "source"), tmp_path / "out"
    push(source, there)
    wrong = there / "deep" / "er" / "file"
    status = wrong.stat()
    wrong.write_bytes(b"\0" * status.st_size)
    os.utime(wrong, ns=(status.st_atime_ns, status.st_mtime_ns))
    expected = (source / "deep" / "er" / "file").read_bytes()
    push(source, there, keep_source=False)
    assert wrong.read_bytes() == expected
    assert not source.exists()


def test_a_source_that_is_not_there_is_its_own_failure(mover: Mover, tmp_path: Path) -> None:
    with pytest.raises(TransferFailed, match="there is no") as failed:
        mover(tmp_path / "nowhere", tmp_path / "out")
    assert failed.value.cause is Cause.MISSING
    (tmp_path / "some").mkdir()
    with pytest.raises(TransferFailed, match="'other'") as failed:
        mover(tmp_path / "some", tmp_path / "out", names=("other",))
    assert failed.value.cause is Cause.MISSING


def test_an_older_copy_is_replaced_by_its_differences(mover: Mover, tmp_path: Path) -> None:
    source, there = tmp_path / "source", tmp_path / "there"
    data = bytearray(os.urandom(3 << 20))
    there.write_bytes(data)
    os.utime(there, (1, 1))
    data[1 << 20] ^= 1
    source.write_bytes(data)
    modes: list[str] = []
    mover(source, there, after_each=lambda piece: modes.append(piece.mode))
    assert there.read_bytes() == data
    assert modes == (["delta"] if mover.way in ("push", "pull", "through") else ["whole"])
    assert {path.name for path in tmp_path.iterdir()} == {"source", "there"}


def flip(path: Path) -> None:
    """Change one bit of a file, and nothing that is seen from outside."""
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("kind", ["file", "tree"])
def test_a_flipped_bit_is_noticed_and_mended_and_a_second_and_third_time_is_a_failure(
    push: Mover, tmp_path: Path, kind: str
) -> None:
    source, times = tmp_path / "source" / "x", [1]
    source.parent.mkdir()
    source.write_bytes(os.urandom(100_000))

    def harm(piece: Piece) -> None:
        if times[0]:
            times[0] -= 1
            flip(Path(piece.target) / "x" if piece.names else Path(piece.target))

    moved = source if kind == "file" else source.parent
    for there in (tmp_path / "one", tmp_path / "two"):
        copied = there if kind == "file" else there / "x"
        if there.name == "one":
            push(moved, there, after_each=harm)
            assert copied.read_bytes() == source.read_bytes()
            times[0] = 99
            continue
        with pytest.raises(TransferFailed) as failed:
            push(moved, there, after_each=harm, keep_source=False)
        assert failed.value.cause is Cause.CHECKSUM
        assert source.exists()
        assert kind == "tree" or not there.exists()


@pytest.mark.parametrize("kind", ["file", "tree"])
def test_a_file_that_changes_while_it_is_copied_is_copied_again_and_given_up_in_the_end(
    push: Mover, tmp_path: Path, kind: str
) -> None:
    source, times = tmp_path / "source" / "x", [1]
    source.parent.mkdir()
    source.write_bytes(b"begin" * 20_000)  # too large for a parcel

    def change(_: Piece) -> None:
        if times[0]:
            times[0] -= 1
            with source.open("ab") as file:
                file.write(b" more")

    moved = source if kind == "file" else source.parent
    push(moved, tmp_path / "one", after_each=change)
    copied = tmp_path / "one" if kind == "file" else tmp_path / "one" / "x"
    assert copied.read_bytes() == b"begin" * 20_000 + b" more"
    times[0] = 99
    with pytest.raises(TransferFailed) as failed:
        push(moved, tmp_path / "two", after_each=change, keep_source=False)
    assert failed.value.cause is Cause.CHANGED
    assert source.exists()


def rewritten(path: Path) -> None:
    path.write_bytes(b"other")


def longer(path: Path) -> None:
    path.write_bytes(b"begin and more")


def shorter(path: Path) -> None:
    path.write_bytes(b"be")


def a_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("beside")


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("read", ["before", "after"])
@pytest.mark.parametrize("become", [rewritten, longer, shorter, a_link, a_pipe, Path.unlink])
def test_a_small_file_that_changes_around_its_reading_arrives_as_it_is_then_or_not_at_all(
    push: Mover, tmp_path: Path, become: Callable[[Path], None], read: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, there, pack = tmp_path / "source", tmp_path / "out", push.link.source.pack
    source.mkdir()
    (source / "beside").write_bytes(b"beside")
    (source / "x").write_bytes(b"begin")
    parcels = 0

    def packed(*words: Any) -> Generator[bytes, None, None]:
        nonlocal parcels
        parcels += 1
        if read == "after":
            become(source / "x")
        data = list(pack(*words))
        if read == "before":
            become(source / "x")
        yield from data

    monkeypatch.setattr(push.link.source, "pack", packed)
    if become in (a_pipe, Path.unlink):
        with pytest.raises(TransferFailed) as failed:
            push(source, there, keep_source=False)
        assert failed.value.cause in (Cause.MISSING, Cause.CHANGED)
        assert (source / "beside").exists()
    else:
        push(source, there, keep_source=False)
        assert not source.exists()
        expected = tmp_path / "expected"
        expected.write_bytes(b"begin")
        become(expected)
        assert snapshot(there)["x"][:2] == snapshot(tmp_path)["expected"][:2]
    assert parcels == 1


@pytest.mark.parametrize("kind", ["file", "tree"])
def test_a_source_that_goes_away_meanwhile_is_a_missing_source(
    push: Mover, tmp_path: Path, kind: str
) -> None:
    source = tmp_path / "source" / "x"
    source.parent.mkdir()
    source.write_bytes(b"begin" * 20_000)  # too large for a parcel
    moved = source if kind == "file" else source.parent
    with pytest.raises(TransferFailed, match="went away") as failed:
        push(moved, tmp_path / "out", after_each=lambda _: source.unlink(missing_ok=True))
    assert failed.value.cause is Cause.MISSING


def test_a_site_behind_a_jump_host(doors: dict[str, Sshd], sites: dict[str, Site], tmp_path: Path) -> None:
    gate, inner = doors["b"], doors["c"]
    known, key = tmp_path / "known", Path(f"{inner.key}.pub").read_text()
    for door in (gate, inner):
        door.trust(known)
    allowed = gate.folder / "authorized_keys"
    allowed.write_text(allowed.read_text() + key)
    ssh = replace(inner.ssh, jump=(f"{inner.ssh.host}:{gate.port}",), known_hosts=str(known))
    ssh = replace(ssh, key=None, config=str(tmp_path / "config"))
    (tmp_path / "config").write_text(f"Host *\n  IdentityFile {inner.key}\n  UserKnownHostsFile {known}\n")
    found = Mover({"b": Site("b", ssh=ssh)}, "push", tmp_path / "locks")
    tree(tmp_path / "source")
    found(tmp_path / "source", tmp_path / "out")
    found.close()
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "source")
