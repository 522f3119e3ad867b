"""A run's name is drawn again where it is taken; what belongs to another run is never written to."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from scalebox_hpc.daemon.home import Home
from scalebox_hpc.daemon.prepare import NAME_TRIES, _spool_seeds, draw_name
from scalebox_hpc.domain.pipeline import Pipeline
from scalebox_hpc.errors import ConflictError, EnvironmentProblem


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline("sums", "", str(tmp_path), "local", {}, {}, {})


def draws(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    left = iter(words)
    monkeypatch.setattr(secrets, "token_hex", lambda _: next(left))


def test_a_name_that_is_taken_is_drawn_again(
    home: Home, pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws(monkeypatch, "0001", "0002", "0003", "0004")
    (home.path / "seeds").mkdir()
    (home.path / "seeds" / "sums-0002.jsonl").touch()  # prepared a moment ago, not accepted yet
    (tmp_path / "results" / "sums-0003").mkdir(parents=True)
    name, results = draw_name(home, pipeline, {"sums-0001"})
    assert name == "sums-0004"
    assert results == tmp_path / "results" / "sums-0004"
    assert sorted(path.name for path in results.parent.iterdir()) == ["sums-0003", "sums-0004"]


def test_drawing_ends_where_no_name_is_free(
    home: Home, pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws(monkeypatch, *["0001"] * NAME_TRIES)
    with pytest.raises(EnvironmentProblem, match="no free run name"):
        draw_name(home, pipeline, {"sums-0001"})
    assert not (tmp_path / "results").exists()


def test_of_two_hands_that_draw_one_name_at_once_the_second_is_refused(
    home: Home, pipeline: Pipeline
) -> None:
    seeds = _spool_seeds(home, pipeline, "sums-0001", None)
    seeds.write_text("of the first")
    with pytest.raises(ConflictError, match="there is a run sums-0001 already"):
        _spool_seeds(home, pipeline, "sums-0001", None)
    assert seeds.read_text() == "of the first"
    assert list(seeds.parent.iterdir()) == [seeds]
