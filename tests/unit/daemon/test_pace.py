"""Submissions are counted per person and site, over all homes."""

from pathlib import Path

from scalebox_hpc.daemon.pace import Pace


def test_so_many_a_minute_and_no_more(tmp_path: Path) -> None:
    pace = Pace(tmp_path / "sbx")
    assert [pace.take("a", 3, 100.0 + second) for second in range(5)] == [True, True, True, False, False]
    assert not pace.take("a", 3, 159.9)
    assert pace.take("a", 3, 160.5)


def test_other_homes_count_and_other_sites_do_not(tmp_path: Path) -> None:
    assert Pace(tmp_path).take("a", 1, 100.0)
    assert not Pace(tmp_path).take("a", 1, 101.0)
    assert Pace(tmp_path).take("b", 1, 101.0)


def test_a_file_left_half_written_counts_nothing(tmp_path: Path) -> None:
    (tmp_path / "submissions-a.json").write_text("[1.0, 2")
    assert Pace(tmp_path).take("a", 1, 100.0)
    assert not Pace(tmp_path).take("a", 1, 100.0)


def test_a_clock_that_was_set_back_does_not_stop_submissions_for_long(tmp_path: Path) -> None:
    assert Pace(tmp_path).take("a", 1, 10_000.0)
    assert Pace(tmp_path).take("a", 1, 100.0)


def test_a_folder_that_cannot_be_made_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert Pace(tmp_path / "file" / "sbx").take("a", 1, 100.0)
    assert Pace(tmp_path / "file" / "sbx").take("a", 1, 100.0)
