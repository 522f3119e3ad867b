"""Files of runs that go are found by name in our own folders; nothing else is ever deleted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scalebox_hpc.daemon.clearing import Folders, clear, measured, sweep
from scalebox_hpc.daemon.desk import Clear, Measure
from scalebox_hpc.daemon.events import Call
from scalebox_hpc.sites.depot import LocalDepot

ONE, OTHER = "1" * 16, "2" * 16
OLD_S, NOW_S = 1_000_000.0, 2_000_000.0


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """A home with two shared folders, in which a run `sums-0001` and another one left things."""
    home = tmp_path / ".sbx"
    for run in ("sums-0001", "sums-0002"):
        write(home / "seeds" / f"{run}.jsonl", 10)
    for shared in (home / "shared", tmp_path / "lustre"):
        for run in ("sums-0001", "sums-0002"):
            write(shared / "runs" / run / "shared" / "data", 100)
            write(shared / "tries" / f"sbx-{run}.1" / "token", 1)
        for agent in (ONE, OTHER):
            write(shared / "logs" / f"{agent}.0.out", 5)
            write(shared / "logs" / f"{agent}.0.err", 0)
            write(shared / "spool" / f"{agent}.jsonl", 2)
    write(home / "local" / "sbx-sums-0001.1" / "state", 3)
    return Folders(home, (LocalDepot(str(home / "shared")), LocalDepot(str(tmp_path / "lustre"))))


def write(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)


def files(folders: Folders) -> set[str]:
    root = folders.home.parent
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


ALL = Clear(1, "sums-0001", agents=((1, ONE),), tries=((1, "sbx-sums-0001.1"),))


def test_all_of_a_run_goes_and_nothing_of_another(folders: Folders) -> None:
    before = files(folders)
    gone = {name for name in before if "sums-0001" in name or ONE in name}
    for _ in range(2):  # a second time does no harm
        clear(folders, ALL)
        assert files(folders) == before - gone


def test_what_would_go_is_counted(folders: Folders) -> None:
    asked = Measure(Call("run.remove", {}, lambda _: None), {"runs": [{"run": "sums-0001"}]}, (ALL,))
    assert measured(folders, asked) == {"runs": [{"run": "sums-0001", "files": 12, "bytes": 229}]}
    assert files(folders)


@pytest.mark.parametrize("name", ["../results", "..", ".", "", "/etc", "a/../../b"])
def test_a_name_that_is_none_leads_nowhere(folders: Folders, name: str) -> None:
    write(folders.home.parent / "results" / "mine", 1)
    before = files(folders)
    clear(folders, Clear(1, name, results="/results/" + name, tries=((1, name),)))
    assert files(folders) == before


@pytest.mark.parametrize("where", ["results/sums-0001", "results/sums-0002", "elsewhere/sums-0001"])
def test_results_go_only_under_their_runs_own_name(folders: Folders, where: str) -> None:
    made = folders.home.parent / where
    write(made / "file", 1)
    clear(folders, Clear(1, "sums-0001", results=str(made)))
    assert made.exists() is not where.startswith("results/sums-0001")


def test_a_link_to_results_is_removed_and_not_what_it_leads_to(folders: Folders) -> None:
    write(folders.home.parent / "precious" / "file", 1)
    (folders.home.parent / "results").mkdir()
    link = folders.home.parent / "results" / "sums-0001"
    link.symlink_to(folders.home.parent / "precious")
    clear(folders, Clear(1, "sums-0001", results=str(link)))
    assert not link.is_symlink()
    assert (folders.home.parent / "precious" / "file").exists()


def test_old_logs_go_but_for_those_of_agents_and_tries_that_live(folders: Folders) -> None:
    shared = Path(folders.shared[0].path)
    for path in folders.home.parent.rglob("*"):
        os.utime(path, (OLD_S, OLD_S))
    os.utime(shared / "logs" / f"{OTHER}.0.out", (NOW_S, NOW_S))
    gone = sweep(folders, OLD_S + 1, {ONE, "sbx-sums-0002.1"})
    left = {name for name in files(folders) if "/logs/" in name or "/tries/" in name or "/local/" in name}
    assert gone == 6
    assert left == {
        ".sbx/shared/logs/1111111111111111.0.out", ".sbx/shared/logs/1111111111111111.0.err",
        ".sbx/shared/logs/2222222222222222.0.out", ".sbx/shared/tries/sbx-sums-0002.1/token",
        "lustre/logs/1111111111111111.0.out", "lustre/logs/1111111111111111.0.err",
        "lustre/tries/sbx-sums-0002.1/token",
    }  # fmt: skip
    assert (shared / "runs" / "sums-0001" / "shared" / "data").exists()


def test_a_try_is_as_old_as_the_newest_file_in_it(folders: Folders) -> None:
    folder = Path(folders.shared[0].path) / "tries" / "sbx-sums-0001.1"
    write(folder / "element-0.log", 1)
    os.utime(folder / "element-0.log", (NOW_S, NOW_S))
    for path in (folder, folder / "token"):
        os.utime(path, (OLD_S, OLD_S))
    sweep(folders, OLD_S + 1, ())
    assert folder.exists()
