from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from scalebox_hpc.client import Attempt
from scalebox_hpc.errors import EnvironmentProblem
from scalebox_hpc.report.csv import COLUMNS, write, write_file
from tests.cli.fake_daemon import attempt

BODIES = [
    "plain", "a,b", 'say "hi"', "two\nlines\n", "carriage\rreturn", "crlf\r\n", "NUL \0 in it",
    "\x1b[31mred\x1b[0m",
    " blanks ", "", "ünï-çødé 星", "'single'", "007", "=1+1", "\ttab", "\\x00", "NA", "#x", "\u2028",
]  # fmt: skip


def read_back(attempts: list[Attempt], tmp_path: Path) -> Any:
    target = tmp_path / "attempts.csv"
    assert write_file(attempts, target) == len(attempts)
    return pd.read_csv(target, dtype=str, keep_default_na=False)


def test_the_columns_are_those_of_the_design() -> None:
    assert ", ".join(COLUMNS) == (
        "run, module, task, attempt, key, body, headers, outcome, cause, exit_code, signal, site, "
        "host, slot, allocation, job_id, element, lease, created, ready, leased, received, setup, "
        "check, container, started, ended, collected, reported, recorded, queue_s, wait_s, run_s, "
        "cpu_user_s, cpu_system_s, max_rss_mib, input_bytes, output_bytes, messages_sent, sent_to, "
        "user_text, user_timestamps, image, stdout, stderr, stdout_cut, stderr_cut"
    )


@pytest.mark.parametrize("column", ["body", "stdout"])
def test_any_text_comes_back_from_pandas(column: str, tmp_path: Path) -> None:
    frame = read_back([attempt(**{column: text}) for text in BODIES], tmp_path)
    assert list(frame.columns) == list(COLUMNS)
    assert list(frame[column]) == [text.replace("\0", "\\x00") for text in BODIES]


def test_times_are_iso_and_spans_are_seconds(tmp_path: Path) -> None:
    row = read_back(
        [attempt(started_us=1_790_000_004_000_001, ended_us=1_790_000_006_500_002)], tmp_path
    ).iloc[0]
    assert row["created"] == "2026-09-21T14:13:20.000000Z"
    assert row["started"] == "2026-09-21T14:13:24.000001Z"
    assert (row["queue_s"], row["wait_s"], row["run_s"]) == ("1.000000", "2.000001", "2.500001")
    assert row["setup"] == ""


def test_pandas_reads_numbers_times_and_truth(tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    write_file([attempt(stdout_cut=True), attempt(exit_code=None, started_us=None)], target)
    frame = pd.read_csv(target, parse_dates=["created", "started"])
    assert frame["stdout_cut"].tolist() == [True, False]
    assert frame["max_rss_mib"].tolist() == [12.5, 12.5]
    assert str(frame["created"].dtype).startswith("datetime64")
    assert pd.isna(frame["run_s"][1])
    assert frame["exit_code"][0] == 3


def test_headers_and_user_timestamps_are_json(tmp_path: Path) -> None:
    row = read_back([attempt(headers={"a": 'x,"\n'}, user_timestamps={"begin": "t"})], tmp_path).iloc[0]
    assert json.loads(row["headers"]) == {"a": 'x,"\n'}
    assert json.loads(row["user_timestamps"]) == {"begin": "t"}


def test_rows_end_in_one_line_feed() -> None:
    stream = io.StringIO(newline="")
    write([attempt()], stream)
    assert "\r" not in stream.getvalue()


def test_a_broken_export_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    target.write_text("old")

    def breaks() -> Any:
        yield attempt()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_file(breaks(), target)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.csv", "old")]


def test_a_device_is_written_to_and_not_replaced() -> None:
    assert write_file([attempt()], Path("/dev/null")) == 1
    assert not Path("/dev/null").is_file()


def test_a_place_that_cannot_be_written_is_an_environment_problem(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="cannot be written"):
        write_file([attempt()], tmp_path / "nowhere" / "a.csv")
