from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scalebox_hpc.errors import DaemonAbsent, PipelineErrors, Problem, UsageError
from tests.cli.conftest import Say
from tests.cli.fake_daemon import DaemonSays, attempt, module, status, task


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SBX_HOME", raising=False)
    path = tmp_path.resolve() / "pipeline.toml"
    path.write_text('[modules.count]\nrun = "true"\nseed = ["1"]\n')
    return path


@pytest.mark.parametrize(
    ("state", "code"),
    [("SUCCEEDED", 0), ("FAILED", 1), ("CANCELLED", 1), ("PAUSED", 3), ("INTERRUPTED", 130)],
)
def test_the_exit_status_is_the_outcome(sbx: Say, pipeline: Path, state: str, code: int) -> None:
    assert sbx(DaemonSays([status(state)]), "run").exit_code == code


def test_parameters_site_and_directory_are_passed_on(sbx: Say, pipeline: Path) -> None:
    daemon = DaemonSays()
    sbx(daemon, "run", "pipeline.toml", "-p", "limit=10", "-p", "text=a=b c", "--site", "hpc1", "--detach")
    assert daemon.asked == [
        ("submit", pipeline, {"limit": "10", "text": "a=b c"}, "hpc1", None, pipeline.parent)
    ]


def test_a_directory_stands_for_the_pipeline_in_it(sbx: Say, pipeline: Path) -> None:
    daemon = DaemonSays()
    sbx(daemon, "run", ".", "--detach")
    assert daemon.asked[0][1] == pipeline


def test_detach_prints_the_run_and_how_to_follow_it(sbx: Say, pipeline: Path) -> None:
    result = sbx(DaemonSays(), "run", "-d")
    assert result.stdout == "primes-7f3a\n"
    assert "sbx status primes-7f3a --follow" in result.stderr


def test_quiet_prints_the_run_only(sbx: Say, pipeline: Path) -> None:
    result = sbx(DaemonSays([status("FAILED")]), "run", "--quiet")
    assert (result.stdout, result.stderr, result.exit_code) == ("primes-7f3a\n", "", 1)


def test_json_is_the_final_status_and_nothing_else(sbx: Say, pipeline: Path) -> None:
    going_on = status("RUNNING", version=3)
    result = sbx(DaemonSays([going_on, status("SUCCEEDED")]), "run", "--json")
    assert json.loads(result.stdout) == status("SUCCEEDED")


def test_the_end_says_what_failed_and_what_to_type_next(sbx: Say, pipeline: Path) -> None:
    broken = module("count", succeeded=3, failed=7, causes={"exit": 7})
    result = sbx(DaemonSays([status("FAILED", [broken])], tasks=[task()], attempts=[attempt()]), "run")
    assert "primes-7f3a  FAILED  42s  10 of 10 tasks" in result.stdout
    assert "count: 7 exit, such as count.17 (exit status 3: ValueError: no number)" in result.stdout
    assert "results  /data/primes/results/primes-7f3a" in result.stdout
    for command in (
        "sbx export primes-7f3a --csv",
        "sbx ps primes-7f3a --state FAILED",
        "sbx show count.17 --run primes-7f3a",
        "sbx log count.17 --run primes-7f3a --stderr",
        "sbx retry --run primes-7f3a",
    ):
        assert command in result.stdout
    assert "in /data/primes (not in " in result.stdout


def test_what_would_not_start_may_be_mended_in_the_site_file(sbx: Say, pipeline: Path) -> None:
    broken = module("count", failed=10, causes={"launch": 10})
    result = sbx(DaemonSays([status("FAILED", [broken])], tasks=[task()], attempts=[attempt()]), "run")
    assert "sbx resume primes-7f3a" in result.stdout


def test_an_interrupted_run_says_how_it_goes_on(sbx: Say, pipeline: Path) -> None:
    assert "sbx resume primes-7f3a" in sbx(DaemonSays([status("INTERRUPTED")]), "run").stdout


def test_ctrl_c_stops_following_only(sbx: Say, pipeline: Path) -> None:
    daemon = DaemonSays([status("RUNNING"), KeyboardInterrupt()])
    result = sbx(daemon, "run")
    assert result.exit_code == 130
    assert "primes-7f3a goes on. Follow it again: sbx status primes-7f3a --follow" in result.stderr
    assert [call[0] for call in daemon.asked] == ["submit"]


def test_a_refused_pipeline_is_an_error(sbx: Say, pipeline: Path) -> None:
    refusal = PipelineErrors([Problem("pipeline.toml", "modules.count.run", 2, "is empty")])
    with pytest.raises(PipelineErrors, match=r"pipeline.toml:2: modules.count.run: is empty"):
        sbx(DaemonSays(refuses=refusal), "run")


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        (["nothere.toml"], "there is no file nothere.toml"),
        (["pipeline.toml", "-p", "limit"], "-p limit sets nothing"),
        (["pipeline.toml", "limit=3"], "'limit=3' is one argument too many"),
        (["--foreground", "--detach"], "exclude each other"),
    ],
)
def test_bad_words_are_refused_before_anything_is_asked(
    sbx: Say, pipeline: Path, words: list[str], fact: str
) -> None:
    daemon = DaemonSays()
    with pytest.raises(UsageError, match=fact):
        sbx(daemon, "run", *words)
    assert daemon.asked == []


def test_stdin_is_spooled_into_the_home(sbx: Say, pipeline: Path) -> None:
    daemon = DaemonSays()
    sbx(daemon, "run", "pipeline.toml", "-", "--detach", stdin=b"one\ntwo\xff\n")
    spooled: Path = daemon.asked[0][4]
    assert spooled.read_bytes() == b"one\ntwo\xff\n"
    assert spooled.parent == pipeline.parent / ".sbx" / "stdin"
    assert spooled.stat().st_mode & 0o777 == 0o600


def test_stdin_is_read_unasked_where_the_pipeline_takes_its_seeds_from_it(sbx: Say, pipeline: Path) -> None:
    pipeline.write_text('[modules.count]\nrun = "true"\nseed = { stdin = true }\n')
    daemon = DaemonSays()
    sbx(daemon, "run", "--detach", stdin=b"one\n")
    assert daemon.asked[0][4].read_bytes() == b"one\n"


def test_stdin_is_left_alone_otherwise(sbx: Say, pipeline: Path) -> None:
    daemon = DaemonSays()
    sbx(daemon, "run", "--detach", stdin=b"one\n")
    assert daemon.asked[0][4] is None


def test_the_spooled_seeds_of_a_refused_pipeline_are_removed(sbx: Say, pipeline: Path) -> None:
    with pytest.raises(UsageError):
        sbx(DaemonSays(refuses=UsageError("no")), "run", "-", stdin=b"one\n")
    assert list((pipeline.parent / ".sbx" / "stdin").iterdir()) == []


class Inside:
    """Stands for `scalebox_hpc.daemon.main`: the daemon inside the command."""

    def __init__(self, code: int | None = None) -> None:
        self.code, self.home = code, Path()

    def run_in_foreground(self, home: Path, submit: Any) -> int:
        self.home = home
        try:
            code: int = submit()
        except DaemonAbsent:
            assert self.code is not None
            return self.code
        return code


def foreground(monkeypatch: pytest.MonkeyPatch, inside: Inside, daemon: DaemonSays) -> None:
    monkeypatch.setitem(__import__("sys").modules, "scalebox_hpc.daemon.main", inside)
    monkeypatch.setattr("scalebox_hpc.client.Daemon.of_home", lambda home, say=None: daemon)


def test_foreground_keeps_the_daemon_inside(
    sbx: Say, pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = Inside()
    foreground(monkeypatch, inside, DaemonSays([status("FAILED")]))
    assert sbx(None, "run", "--foreground").exit_code == 1
    assert inside.home == pipeline.parent / ".sbx"


def test_foreground_hands_on_the_error_of_a_bad_pipeline(
    sbx: Say, pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreground(monkeypatch, Inside(), DaemonSays(refuses=UsageError("bad pipeline")))
    with pytest.raises(UsageError, match="bad pipeline"):
        sbx(None, "run", "--foreground")


def test_an_interrupted_foreground_exits_130_though_its_daemon_is_gone(
    sbx: Say, pipeline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreground(monkeypatch, Inside(code=130), DaemonSays([DaemonAbsent("gone")]))
    assert sbx(None, "run", "--foreground").exit_code == 130
