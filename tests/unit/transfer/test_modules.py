"""The programs of modules copy and checksum, between places of this machine; how a pipeline takes them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from scalebox_hpc.config.pipeline import load
from scalebox_hpc.domain.site import Site, Ssh
from scalebox_hpc.errors import PipelineErrors, UsageError
from scalebox_hpc.transfer import copying, parcel
from scalebox_hpc.transfer.__main__ import main
from scalebox_hpc.transfer.copy import Copied, Move, Outcome
from scalebox_hpc.transfer.removal import remove_source
from scalebox_hpc.transfer.summing import read_manifest
from tests.permissions import permissions_hold

SITES = {"local": Site("local", "local"), "b": Site("b", "slurm", ssh=Ssh("b.example.org"))}


class Agent:
    """Starts a program of ours as an agent does."""

    def __init__(self, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.work, self._patch = work, monkeypatch
        work.mkdir()

    def __call__(self, verb: str, body: str, headers: dict[str, str] | None = None, **env: str) -> int:
        told = {"SBX_BODY": body, "SBX_HEADERS": json.dumps(headers or {}), "SBX_WORK": str(self.work)}
        for name, value in {**told, "SBX_PIPELINE": str(self.work.parent), **env}.items():
            self._patch.setenv(name, value)
        return main([verb])

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What the program sent."""
        return [json.loads(line) for line in (self.work / "messages.jsonl").read_text().splitlines()]


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Agent:
    """An agent with an empty work directory."""
    return Agent(tmp_path / "work", monkeypatch)


def test_a_copied_file_is_sent_on_with_what_is_known_of_it(agent: Agent, tmp_path: Path) -> None:
    source = tmp_path / "in" / "deep" / "x"
    source.parent.mkdir(parents=True)
    source.write_bytes(b"content")
    os.utime(source, ns=(0, 1_600_000_000_250_000_000))
    sum_ = "sha256:" + hashlib.sha256(b"content").hexdigest()
    assert (
        agent("copy", "deep/x", {"checksum": sum_}, FROM=str(tmp_path / "in"), TO=str(tmp_path / "out")) == 0
    )
    (message,) = agent.messages
    assert message["body"] == str(tmp_path / "out" / "deep" / "x")
    assert message["headers"] == {
        "source": str(source),
        "size": "7",
        "mtime": "2020-09-13T12:26:40.250000Z",
        "checksum": sum_,
    }
    assert (tmp_path / "out" / "deep" / "x").read_bytes() == b"content"


def test_what_is_listed_can_be_copied_though_its_name_could_mean_another_place(
    agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "precious").touch()
    names = {"plain", "12:30.fits", "12:30\n", "b:", "{x}", "{\n}", "~", '"', "-", "~x"}
    (tmp_path / "in").mkdir()
    for name in names:
        (tmp_path / "in" / name).write_text(name)
    assert agent("list", str(tmp_path / "in"), RELATIVE="1") == 0
    bodies = [each["body"] for each in agent.messages]
    assert {"plain", "./12:30.fits", "./~"} <= set(bodies)
    for body in bodies:
        assert agent("copy", body, FROM=str(tmp_path / "in"), TO=str(tmp_path / "out")) == 0
    found = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert found == {name: name for name in names}


def test_a_time_that_no_calendar_has_is_left_out() -> None:
    ns = 1_000_000_000
    last = copying.headers_of(Copied("", 1, 253_402_300_800 * ns - 1, ""))
    assert last == {"size": "1", "mtime": "9999-12-31T23:59:59.999999Z"}
    for mtime_ns in (253_402_300_800 * ns, 2**62 * ns, -(2**62) * ns):
        assert copying.headers_of(Copied("", 1, mtime_ns, "")) == {"size": "1"}


def test_a_message_may_say_itself_where_its_copy_goes(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("1")
    assert agent("copy", str(tmp_path / "x"), {"sbx_target": str(tmp_path / "to" / "y")}) == 0
    assert (tmp_path / "to" / "y").read_text() == "1"


def test_files_of_a_list_are_a_message_each(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a", "line\nend", "left"):
        (tmp_path / "in" / name).write_text(name)
    (tmp_path / "list").write_bytes(b"a\0line\nend\0")
    body = json.dumps({"from": str(tmp_path / "in"), "list": str(tmp_path / "list")})
    assert agent("copy", body, TO=str(tmp_path / "out"), KEEP="0") == 0
    assert [each["body"] for each in agent.messages] == [
        f"{tmp_path}/out/a",
        json.dumps(f"{tmp_path}/out/line\nend"),
    ]
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["left"]


@pytest.mark.parametrize("asked", ["file", "whole directory", "files of a directory"])
@pytest.mark.parametrize("gone", ["nothing", "a part", "everything"])
def test_a_move_that_was_killed_while_it_removed_is_ended_by_the_next_attempt(
    agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, gone: str
) -> None:
    source, shared = tmp_path / "in", tmp_path / "shared"
    names = ("a", "deep/b", "deep/c")
    for name in names:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    shared.mkdir()
    of_files = json.dumps({"from": str(source), "files": names})
    body = {"file": f"{source}/a", "whole directory": str(source), "files of a directory": of_files}[asked]
    env = {"TO": str(tmp_path / "out"), "KEEP": "0", "SBX_SHARED": str(shared), "SBX_TASK": "fetch.3"}

    def killed(move: Move, outcome: Outcome) -> None:
        for name in {"nothing": (), "a part": ("a",), "everything": names}[gone]:
            (source / name).unlink()
        if gone == "everything":
            shutil.rmtree(source)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(copying, "remove_source", killed)
        with pytest.raises(KeyboardInterrupt):
            agent("copy", body, **env)
    assert not (agent.work / "messages.jsonl").exists()
    assert agent("copy", body, **env) == 0
    sent = [(each["body"].removeprefix(str(tmp_path)), each["headers"]) for each in agent.messages]
    match asked:
        case "file":
            ((place, headers),) = sent
            assert (place, headers["size"]) == ("/out/a", "1")
        case "whole directory":
            ((place, headers),) = sent
            assert (place, headers["files"], headers["size"]) == ("/out/in", "3", "13")
            assert not source.exists()
        case _:
            assert [place for place, _ in sent] == [f"/out/{name}" for name in names]
            assert all(headers["checksum"] for _, headers in sent)
    assert not (source / "a").exists()
    assert (
        "1 removed" in json.loads((agent.work / "task-exec.json").read_text())["userText"] or asked != "file"
    )


def test_what_another_task_or_transfer_has_moved_away_is_missing(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("1")
    env = {"KEEP": "0", "SBX_SHARED": str(tmp_path), "SBX_TASK": "fetch.3"}
    assert agent("copy", f"{tmp_path}/x", **env, TO=str(tmp_path / "out")) == 0
    assert agent("copy", f"{tmp_path}/x", **env, TO=str(tmp_path / "out")) == 0, "again"
    assert agent("copy", f"{tmp_path}/x", **env, TO=str(tmp_path / "other")) == 13
    assert agent("copy", f"{tmp_path}/x", **{**env, "SBX_TASK": "fetch.4"}, TO=str(tmp_path / "out")) == 13


def test_what_changed_after_it_was_copied_is_copied_again_by_the_next_attempt(
    agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for name in ("a", "b"):
        (source / name).write_text("old")
    env = {"TO": str(tmp_path / "out"), "KEEP": "0", "SBX_SHARED": str(tmp_path), "SBX_TASK": "fetch.3"}
    body = json.dumps({"from": str(source), "files": ["a", "b"]})

    def changed(move: Move, outcome: Outcome) -> None:
        (source / "b").write_text("newer")
        remove_source(move, outcome)

    with monkeypatch.context() as patch:
        patch.setattr(copying, "remove_source", changed)
        assert agent("copy", body, **env) == 14
    assert [path.name for path in source.iterdir()] == ["b"]
    assert agent("copy", body, **env) == 0
    assert [each["headers"]["size"] for each in agent.messages] == ["3", "5"]
    assert (tmp_path / "out" / "b").read_text() == "newer"
    assert not list(source.iterdir())


def test_a_source_that_is_not_what_it_should_be_replaces_nothing(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("bad")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x").write_text("good")
    sum_ = "sha256:" + hashlib.sha256(b"good").hexdigest()
    assert agent("copy", str(tmp_path / "x"), {"checksum": sum_}, TO=str(tmp_path / "out")) == 15
    assert [path.read_text() for path in (tmp_path / "out").iterdir()] == ["good"]
    assert agent("copy", str(tmp_path / "x"), {"checksum": "crc32:00"}, TO=str(tmp_path / "out")) == 17


@pytest.mark.parametrize("asked", ["out of TO", "a directory among files", "into itself"])
def test_what_would_go_elsewhere_than_it_seems_is_refused(agent: Agent, tmp_path: Path, asked: str) -> None:
    source = tmp_path / "in"
    (source / "sub").mkdir(parents=True)
    (tmp_path / "x").write_text("1")
    body, to = {
        "out of TO": ("../x", tmp_path / "out" / "deep"),
        "a directory among files": (json.dumps({"from": str(source), "files": ["sub"]}), tmp_path / "out"),
        "into itself": (str(source), source / "sub"),
    }[asked]
    assert agent("copy", body, FROM=str(source), TO=str(to)) == 2
    assert not (tmp_path / "out").exists()
    assert not list((source / "sub").iterdir())


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_link_is_never_moved_away(agent: Agent, tmp_path: Path, kind: str) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "x").write_text("1")
    (tmp_path / "link").symlink_to("real/x" if kind == "file" else "real")
    assert agent("copy", str(tmp_path / "link"), TO=str(tmp_path / "out"), KEEP="0") == 2
    assert (tmp_path / "real" / "x").read_text() == "1"
    assert (tmp_path / "link").is_symlink()


def test_a_directory_that_may_not_be_written_gets_what_is_new_in_it(agent: Agent, tmp_path: Path) -> None:
    source, copy = tmp_path / "in", tmp_path / "out" / "in"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "a").write_text("1")
    for new in ("", "b"):
        (source / "sub").chmod(0o700)
        if new:
            (source / "sub" / new).write_text("2")
        (source / "sub").chmod(0o500)
        source.chmod(0o500)
        with permissions_hold():
            assert agent("copy", str(source), TO=str(tmp_path / "out")) == 0
        assert {path.name for path in (copy / "sub").iterdir()} == {
            path.name for path in (source / "sub").iterdir()
        }
        for path in (copy, copy / "sub"):
            assert path.stat().st_mode & 0o777 == 0o500
        source.chmod(0o700)


def test_what_may_send_to_nobody_sends_nothing(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("1")
    assert agent("copy", str(tmp_path / "x"), TO=str(tmp_path / "out"), SBX_SENDS="0") == 0
    assert not (agent.work / "messages.jsonl").exists()


@pytest.mark.parametrize(
    ("body", "headers", "env", "exit_code"),
    [
        ("/nowhere/x", {}, {"TO": "/tmp"}, 13),
        ("x", {}, {}, 2),
        ("nosuchsite:/x", {}, {"TO": "/tmp"}, 2),
        ('{"from": "/tmp", "files": ["../etc/passwd"]}', {}, {"TO": "/tmp/out"}, 2),
        (r'{"from": "/tmp", "files": ["\ud800"]}', {}, {"TO": "/tmp/out"}, 2),
        (r'{"from": "/tmp", "files": ["\u0000"]}', {}, {"TO": "/tmp/out"}, 2),
        (r'{"from": 5, "files": ["x"]}', {}, {"TO": "/tmp/out"}, 2),
        (r'"/tmp/\ud800"', {}, {"TO": "/tmp/out"}, 2),
        ("x", {}, {"TO": "/tmp", "LIMIT": "fast"}, 2),
        ("{}", {}, {"TO": "/tmp"}, 2),
    ],
)
def test_failures_have_exit_codes(
    agent: Agent, body: str, headers: dict[str, str], env: dict[str, str], exit_code: int
) -> None:
    assert agent("copy", body, headers, **env) == exit_code


def test_a_source_that_is_not_what_it_should_be_is_a_wrong_checksum(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("1")
    assert agent("copy", str(tmp_path / "x"), {"checksum": "sha256:00"}, TO=str(tmp_path / "out")) == 15
    assert agent("checksum", str(tmp_path / "x"), {"checksum": "sha256:00"}) == 15


def test_a_checksum_is_computed_and_sent_on(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"")
    assert agent("checksum", str(tmp_path / "x"), ALGORITHM="xxh3") == 0
    assert agent.messages[0]["headers"]["checksum"] == "xxh3:2d06800538d394c2"
    assert agent("checksum", str(tmp_path / "gone")) == 13


def test_a_manifest_is_verified_as_a_whole(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").write_text("1")
    sum_ = hashlib.sha256(b"1").hexdigest()
    (tmp_path / "data" / "SHA256SUMS").write_text(f"{sum_}  ./x\n")
    assert agent("checksum", str(tmp_path / "data"), MANIFEST="SHA256SUMS") == 0
    (tmp_path / "data" / "SHA256SUMS").write_text(f"{sum_}  x\n{sum_}  y\n")
    assert agent("checksum", str(tmp_path / "data"), MANIFEST="SHA256SUMS") == 13
    (tmp_path / "data" / "x").write_text("2")
    assert agent("checksum", str(tmp_path / "data"), MANIFEST="SHA256SUMS") == 15


def test_what_a_manifest_does_not_say_algorithm_says_and_what_nothing_computes_is_a_missing_tool(
    agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_text("1")
    fake = tmp_path / "bin" / "b3sum"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nshift 2\n[ "$1" ] || exit 0\nsha512sum "$@" | cut -c 1-64\n')
    fake.chmod(0o755)
    sum_ = hashlib.sha512(b"1").hexdigest()[:64]

    def verified(line: str, **env: str) -> int:
        (tmp_path / "SUMS").write_text(line)
        return agent("checksum", str(tmp_path), MANIFEST="SUMS", **{"ALGORITHM": "", **env})

    tagged, bare = f"BLAKE3 (x) = {sum_}\n", f"{sum_}  x\n"
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert [verified(tagged), verified(bare, ALGORITHM="blake3")] == [17, 17]
    monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")
    assert [verified(tagged), verified(bare), verified(bare, ALGORITHM="blake3")] == [0, 15, 0]
    assert verified(tagged, ALGORITHM="sha256") == 0


def test_manifests_of_all_three_programs_are_read() -> None:
    assert read_manifest(["XXH3_2d06800538d394c2  a b"]) == ("xxh3", {"a b": "2d06800538d394c2"})
    assert read_manifest(["XXH3 (a) = 2d06800538d394c2"]) == ("xxh3", {"a": "2d06800538d394c2"})
    assert read_manifest([f"\\{'0' * 64} *a\\nb"]) == ("sha256", {"a\nb": "0" * 64})
    with pytest.raises(UsageError, match="line 1"):
        read_manifest(["what is this"])


@pytest.mark.parametrize("algorithm", ["xxh3", "sha256"])
def test_a_parcel_arrives_and_what_changed_in_it_does_not(tmp_path: Path, algorithm: str) -> None:
    for name, text in (("a", "1"), ("grown", "22"), ("empty", "")):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_text(text)
    (tmp_path / "out" / ".tmp").mkdir(parents=True)
    files = [["a", 1, 10**18, 0o640], ["gone", 5, 0, 0o600], ["grown", 3, 0, 0o600], ["empty", 0, 7, 0o600]]
    data = b"".join(parcel.pack(algorithm, str(tmp_path / "in"), files))
    place = [0]

    def read(count: int) -> bytes:
        place[0] += count
        return data[place[0] - count : place[0]]

    found = list(parcel.unpack(algorithm, str(tmp_path / "out"), ".tmp", files, read))
    assert [bool(each) for each in found] == [True, False, False, True]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".tmp", "a", "empty"]
    status = (tmp_path / "out" / "a").stat()
    assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o640, 10**18)


def written(directory: Path, more: str) -> Path:
    """A pipeline whose run is at site b."""
    path = directory / "pipeline.toml"
    path.write_text(f'sbx = 1\n[pipeline]\nname = "x"\nsite = "b"\n{more}')
    return path


def test_transfers_run_on_this_machine_in_a_pool_of_their_own_and_in_no_image(tmp_path: Path) -> None:
    (tmp_path / "x.sif").touch()
    text = '[defaults]\nimage = "docker://x"\n[modules.fetch]\nuse = "copy"\nseed = ["x"]\nto = ["work"]\n'
    checked = load(written(tmp_path, text + '[modules.work]\nrun = ["true", "{body}"]\n'), sites=SITES)
    fetch, work = checked.pipeline.modules["fetch"], checked.pipeline.modules["work"]
    assert (fetch.kind, fetch.pool, fetch.image) == ("transfer", "transfers", None)
    assert checked.pipeline.pools["transfers"].site == "local"
    assert checked.pipeline.pools[work.pool].site == "b"
    assert fetch.retry[0].on == (10,)


def test_a_transfer_at_another_site_or_in_an_image_is_refused(tmp_path: Path) -> None:
    for line, said in (('site = "b"', "daemon's machine"), ('image = "docker://x"', "no image")):
        text = f'[modules.fetch]\nuse = "copy"\nseed = ["x"]\n{line}\n'
        with pytest.raises(PipelineErrors, match=said):
            load(written(tmp_path, text), sites=SITES)
