"""One suite for both depots: the shared folder on this machine, and one at the other end of a transport."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scalebox_hpc.agent.logs import Frames
from scalebox_hpc.bundle import build_relay
from scalebox_hpc.errors import EnvironmentProblem, LoginNeeded, SiteUnreachable
from scalebox_hpc.relay.clearing import Gone
from scalebox_hpc.relay.folder import Changed, Frame, Parcel
from scalebox_hpc.sites.depot import Depot, LocalDepot, RemoteDepot
from scalebox_hpc.sites.install import install
from scalebox_hpc.testing.site import FakeSite

INCARNATION = "0123456789abcdef"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("relay") / "relay.pyz"
    build_relay(path)
    return path.read_bytes()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[FakeSite]:
    (tmp_path / "users" / "lab").mkdir(parents=True)
    site = FakeSite("b", tmp_path / "users" / "lab")
    yield site
    site.close()


@pytest.fixture(params=["local", "remote"])
def depot(request: pytest.FixtureRequest, site: FakeSite, program: bytes) -> Depot:
    if request.param == "local":
        (site.home / "shared").mkdir()
        return LocalDepot(str(site.home / "shared"))
    return remote(site, program)


def remote(site: FakeSite, program: bytes) -> RemoteDepot:
    there = install("b", site, sys.executable, "~/shared", program)
    return RemoteDepot("b", site, [sys.executable, there.program, "depot"], there.root)


def parcel(source: Path, name: str, mode: int = 0o400) -> tuple[Path, Parcel]:
    content = source.read_bytes()
    return source, Parcel(name, hashlib.sha256(content).hexdigest(), len(content), mode)


def test_directories_are_made_for_their_owner_alone(depot: Depot) -> None:
    for _ in range(2):
        depot.make(["", "runs/one/shared"])
    for name in ("", "runs/one/shared"):
        assert os.stat(os.path.join(depot.path, name)).st_mode & 0o777 == 0o700


def test_a_private_file_is_replaced_as_a_whole(depot: Depot) -> None:
    for text in ("first\n", "second, ü\n"):
        depot.write("tries/sbx-a.1/token", text)
    path = Path(depot.path, "tries/sbx-a.1/token")
    assert path.read_text() == "second, ü\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["token"]


def test_files_are_put_once_and_keep_their_modes(depot: Depot, tmp_path: Path) -> None:
    for name, size in (("large", 3_000_000), ("empty", 0), ("small", 7)):
        (tmp_path / name).write_bytes(os.urandom(size))
    files = [parcel(tmp_path / name, f"files/{name}/x") for name in ("large", "empty", "small")]
    depot.put(files)
    before = {name: os.stat(Path(depot.path, parcel.name)) for name, parcel in files}
    depot.put([(source, each._replace(mode=0o500)) for source, each in files])
    for source, each in files:
        path = Path(depot.path, each.name)
        assert path.read_bytes() == source.read_bytes()
        assert path.stat().st_mode & 0o777 == 0o500
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (
            before[source].st_ino,
            before[source].st_mtime_ns,
        )
        assert [one.name for one in path.parent.iterdir()] == ["x"]
    depot.put([])


def test_a_file_whose_name_does_not_tell_its_content_is_replaced(depot: Depot, tmp_path: Path) -> None:
    for content in (b"first", b"other", b"other"):
        (tmp_path / "agent").write_bytes(content)
        depot.put([parcel(tmp_path / "agent", "agent.pyz")])
        assert Path(depot.path, "agent.pyz").read_bytes() == content


def test_paths_are_filled_in_where_the_folder_is(depot: Depot) -> None:
    home = os.path.expanduser("~") if isinstance(depot, LocalDepot) else os.path.dirname(depot.path)
    assert depot.expand("~/images") == f"{home}/images"
    assert depot.expand("$HOME/x") == f"{os.environ['HOME'] if isinstance(depot, LocalDepot) else home}/x"
    assert depot.expand("images") == f"{depot.path}/images"


@pytest.mark.parametrize("now", [b"other", b"cut", b"longer than before"])
def test_a_file_that_changed_meanwhile_is_not_put_and_keeps_no_other_from_it(
    depot: Depot, tmp_path: Path, now: bytes
) -> None:
    (tmp_path / "changed").write_bytes(b"first")
    (tmp_path / "good").write_bytes(b"good")
    files = [parcel(tmp_path / "good", "files/good"), parcel(tmp_path / "changed", "files/changed")]
    (tmp_path / "changed").write_bytes(now)
    with pytest.raises(Changed):
        depot.put(files)
    assert [path.name for path in Path(depot.path, "files").iterdir()] == ["good"]


def test_last_words_and_folders_of_runs_are_found_and_removed(depot: Depot) -> None:
    depot.write(f"ended/{INCARNATION}.json", json.dumps({"try": "t"}))
    depot.write("ended/torn.json", '{"try"')
    depot.make(["runs/sums-0001/shared"])
    ((path, content),) = depot.endings()
    assert content == {"try": "t"}
    assert depot.run_folders() == [f"{depot.path}/runs/sums-0001"]
    depot.remove([path, *depot.run_folders(), f"{depot.path}/gone"])
    assert (depot.endings(), depot.run_folders()) == ([], [])


def test_a_spool_is_read_up_to_where_it_is_torn(depot: Depot) -> None:
    assert depot.spool(INCARNATION) == []
    depot.write(f"spool/{INCARNATION}.jsonl", '{"n": 1}\n{"n": 2}\n{"n"')
    assert depot.spool(INCARNATION) == [{"n": 1}, {"n": 2}]


def test_a_spool_that_cannot_be_read_is_not_an_empty_one(depot: Depot) -> None:
    depot.make([f"spool/{INCARNATION}.jsonl"])  # a directory of that name
    with pytest.raises(IsADirectoryError):
        depot.spool(INCARNATION)


def test_what_an_element_said_last_is_read(depot: Depot) -> None:
    assert depot.last_words("sbx-a.1", 0) == ""
    depot.write("tries/sbx-a.1/element-0.log", "one\ntwo\nthree\nfour\n")
    assert depot.last_words("sbx-a.1", 0) == "two / three / four"


def test_logs_are_read_and_nothing_but_logs(depot: Depot) -> None:
    segment, lease = f"logs/{INCARNATION}.0.out", "7.abcd.1"
    begins = Frames().frame({"task": "count.1", "attempt": 1}, lease, 0).decode()
    depot.write(segment, f"{begins}hello\n")
    found = depot.find_frame(Frame(INCARNATION, lease, "stdout"))
    assert found == (f"{depot.path}/{segment}", len(begins))
    assert depot.read_log(*found, 100) == b"hello\n"
    assert depot.find_frame(Frame(INCARNATION, lease, "stderr")) is None
    depot.write("token", "secret")
    assert depot.read_log(f"{depot.path}/token", 0, 100) == b""


def test_what_a_run_left_is_measured_and_cleared_by_name(depot: Depot) -> None:
    depot.write("runs/sums-0001/shared/data", "12345")
    depot.write("results/sums-0001/out", "1")
    depot.write("tries/sbx-a.1/token", "123")
    depot.write(f"logs/{INCARNATION}.0.out", "12")
    depot.write("logs/ffffffffffffffff.0.out", "stays")
    gone = Gone("sums-0001", False, [INCARNATION], ["sbx-a.1", "../runs", ""])
    assert sorted(depot.sizes(gone)) == [2, 3, 5]
    depot.clear(gone)
    assert sorted(
        str(each.relative_to(depot.path)) for each in Path(depot.path).rglob("*") if each.is_file()
    ) == (["logs/ffffffffffffffff.0.out", *_program(depot), "results/sums-0001/out"])
    depot.clear(gone._replace(results=True))
    assert not Path(depot.path, "results/sums-0001").exists()


def _program(depot: Depot) -> list[str]:
    return [each.name for each in Path(depot.path).glob("relay-*.pyz")]


def test_old_logs_are_swept_but_for_those_that_are_spared(depot: Depot) -> None:
    depot.write(f"logs/{INCARNATION}.0.out", "old")
    depot.write("logs/ffffffffffffffff.0.out", "spared")
    for path in Path(depot.path, "logs").iterdir():
        os.utime(path, (1000, 1000))
    assert depot.sweep(2000.0, {"ffffffffffffffff"}) == 1
    assert [path.name for path in Path(depot.path, "logs").iterdir()] == ["ffffffffffffffff.0.out"]


def test_what_the_file_system_refuses_is_an_oserror_with_its_path(depot: Depot) -> None:
    depot.write("runs", "a file")
    with pytest.raises(OSError, match="runs") as caught:
        depot.make(["runs/one"])
    assert str(caught.value.filename).startswith(depot.path)


def test_a_remote_depot_says_that_there_is_no_way_to_it(
    site: FakeSite, program: bytes, tmp_path: Path
) -> None:
    depot = remote(site, program)
    (tmp_path / "file").write_bytes(b"x")
    site.cut(LoginNeeded("b: nobody is logged in", "sbx site login b"))
    for act in (depot.endings, lambda: depot.put([parcel(tmp_path / "file", "files/x")])):
        with pytest.raises(LoginNeeded):
            act()
    site.mend()
    assert depot.endings() == []


def test_the_program_is_installed_once_by_its_content(site: FakeSite, program: bytes) -> None:
    first = install("b", site, sys.executable, "~/shared", program)
    made = os.stat(first.program)
    assert install("b", site, sys.executable, "$HOME/shared", program) == first
    assert os.stat(first.program).st_ino == made.st_ino
    assert (first.root, first.uid) == (str(site.home / "shared"), os.getuid())
    assert os.stat(first.root).st_mode & 0o777 == 0o700
    other = install("b", site, sys.executable, "~/shared", program + b"\n")
    assert other.program != first.program


@pytest.mark.parametrize(
    ("python", "shared", "fact", "hint"),
    [
        ("python-that-is-not", "~/x", "python-that-is-not cannot be run", "ssh.python"),
        (sys.executable, "/proc/x", "cannot write to /proc/x", "paths.shared"),
        (sys.executable, "$NOT_SET_ANYWHERE/x", "no absolute path", "write it in full"),
    ],
)
def test_a_place_that_is_not_fit_is_told_with_the_remedy(
    site: FakeSite, program: bytes, python: str, shared: str, fact: str, hint: str
) -> None:
    with pytest.raises(EnvironmentProblem, match=fact.replace("$", r"\$")) as caught:
        install("b", site, python, shared, program)
    assert hint in caught.value.hint
    assert not isinstance(caught.value, SiteUnreachable)


def test_an_old_python_is_named(site: FakeSite, program: bytes, tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("""#!/bin/sh\ncat >/dev/null\necho '{"root": "/x", "uid": 1, "python": [3, 6]}'\n""")
    old.chmod(0o755)
    with pytest.raises(EnvironmentProblem, match=r"is Python 3\.6"):
        install("b", site, str(old), "~/x", program)
