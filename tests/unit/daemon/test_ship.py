"""A shipped file is copied once per content, whole and read-only, or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from scalebox_hpc.daemon import ship as shipping
from scalebox_hpc.domain.pipeline import ShippedFile
from scalebox_hpc.errors import EnvironmentProblem, UsageError
from scalebox_hpc.sites.depot import LocalDepot


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def ship(source: Path, digest: str, shared: Path) -> Path:
    runs = source.exists() and bool(source.stat().st_mode & 0o111)
    shipping.ship([ShippedFile(source.name, str(source), digest, runs)], LocalDepot(str(shared)))
    return shared / "files" / digest / source.name


def test_a_copy_is_read_only_and_keeps_whether_it_runs(tmp_path: Path) -> None:
    for name, mode, kept in (("count.py", 0o644, 0o400), ("count", 0o755, 0o500)):
        source = tmp_path / name
        source.write_bytes(b"program" * 500_000)
        source.chmod(mode)
        copy = ship(source, digest(source.read_bytes()), tmp_path / "shared")
        assert copy == tmp_path / "shared" / "files" / digest(source.read_bytes()) / name
        assert copy.read_bytes() == source.read_bytes()
        assert copy.stat().st_mode & 0o777 == kept


@pytest.mark.parametrize("order", [("bin/r.sh", "r.sh"), ("r.sh", "bin/r.sh")])
def test_of_two_files_that_are_one_there_the_program_runs(order: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name in order:
        (tmp_path / name).write_bytes(b"same")
    files = [ShippedFile(name, str(tmp_path / name), digest(b"same"), "bin" in name) for name in order]
    shipping.ship(files, LocalDepot(str(tmp_path / "shared")))
    assert (tmp_path / "shared/files" / digest(b"same") / "r.sh").stat().st_mode & 0o777 == 0o500


def test_a_copy_made_before_is_used_again(tmp_path: Path) -> None:
    source = tmp_path / "count"
    source.write_bytes(b"x")
    first = ship(source, digest(b"x"), tmp_path).stat()
    source.chmod(0o755)
    second = ship(source, digest(b"x"), tmp_path).stat()
    assert (first.st_ino, first.st_mtime_ns) == (second.st_ino, second.st_mtime_ns)
    assert second.st_mode & 0o777 == 0o500


def test_a_file_that_changed_meanwhile_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "count"
    source.write_bytes(b"new")
    with pytest.raises(UsageError, match="changed while"):
        ship(source, digest(b"old"), tmp_path / "shared")
    assert [path for path in (tmp_path / "shared").rglob("*") if path.is_file()] == []
    with pytest.raises(UsageError, match="cannot be read"):
        ship(tmp_path / "gone", digest(b""), tmp_path / "shared")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "shared").write_text("")
    source = tmp_path / "count"
    source.write_bytes(b"")
    with pytest.raises(EnvironmentProblem, match=str(tmp_path / "shared")):
        ship(source, digest(b""), tmp_path / "shared")


def test_a_full_disk_is_told_as_such() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this machine has no /dev/full")
    with full.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        file.write(b"x")
