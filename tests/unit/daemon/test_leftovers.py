"""What is left over is found and removed; what is being written, or is not ours, is left alone."""

from __future__ import annotations

import json
from pathlib import Path

from scalebox_hpc.relay.folder import ENDINGS_MOST, endings, remove, run_folders


def test_last_words_are_read_with_their_paths(tmp_path: Path) -> None:
    folder = tmp_path / "ended"
    folder.mkdir()
    (folder / "0123456789abcdef.json").write_text(json.dumps({"try": "t"}))
    (folder / "torn.json").write_text('{"try"')
    (folder / ".0123.4711").write_text("{}")
    (folder / ".half.json").write_text("{}")
    (folder / "directory.json").mkdir()
    assert endings(str(tmp_path)) == [(str(folder / "0123456789abcdef.json"), {"try": "t"})]


def test_no_more_than_some_are_taken_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "ended"
    folder.mkdir()
    for number in range(ENDINGS_MOST + 5):
        (folder / f"{number:04}.json").write_text("{}")
    first = endings(str(tmp_path))
    assert len(first) == ENDINGS_MOST
    for path, _ in first:
        remove(path)
    assert len(endings(str(tmp_path))) == 5


def test_a_shared_folder_that_cannot_be_read_holds_nothing(tmp_path: Path) -> None:
    assert endings(str(tmp_path / "gone")) == []
    assert run_folders(str(tmp_path / "gone")) == []


def test_removing_twice_is_as_good_as_once(tmp_path: Path) -> None:
    shared = tmp_path / "runs" / "sums-0001" / "shared"
    shared.mkdir(parents=True)
    (shared / "big").write_text("x")
    assert run_folders(str(tmp_path)) == [str(shared.parent)]
    for _ in range(2):
        remove(str(shared.parent))
    assert run_folders(str(tmp_path)) == []


def test_a_link_is_removed_and_not_what_it_points_to(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    (tmp_path / "link").symlink_to(kept)
    remove(str(tmp_path / "link"))
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (kept / "file").exists()
