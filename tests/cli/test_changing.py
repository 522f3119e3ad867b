"""`retry`, `resume`, `cancel`, `export`, `daemon`: what they ask for and what they say."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from scalebox_hpc.cli import rm
from scalebox_hpc.cli.entry import as_text, main
from scalebox_hpc.errors import ConflictError, DigestChanged, PipelineErrors, Problem, UsageError
from tests.cli.conftest import Say
from tests.cli.fake_daemon import DaemonSays, attempt


def test_retry_passes_on_what_was_chosen(sbx: Say) -> None:
    daemon = DaemonSays()
    words = ("--module", "count", "--exit-code", "3", "--cause", "exit", "--dry-run", "--run", "primes-1")
    result = sbx(daemon, "retry", *words)
    chosen = {"tasks": (), "module": "count", "exit_code": 3, "cause": "exit", "dry_run": True}
    assert daemon.asked == [("retry", "primes-1", chosen)]
    assert result.stdout == "would send round again: 1 (count.17)\n"
    assert result.exit_code == 0


def test_retry_names_what_it_passed_over_and_exits_3(sbx: Say) -> None:
    answer = {"requeued": 0, "tasks": [], "passed_over": [["count.2", "is RUNNING"]]}
    result = sbx(DaemonSays(retried=answer), "retry", "count.2")  # type: ignore[arg-type]
    assert result.stdout == "sent round again: 0\npassed over count.2: is RUNNING\n"
    assert result.exit_code == 3


def test_retry_of_all_that_match_is_no_failure_where_some_are_passed_over(sbx: Say) -> None:
    answer = {"requeued": 0, "tasks": [], "passed_over": [["count.2", "its message was refused as a repeat"]]}
    result = sbx(DaemonSays(retried=answer), "retry")  # type: ignore[arg-type]
    assert "passed over count.2: its message was refused as a repeat" in result.stdout
    assert result.exit_code == 0


def test_retry_in_json_is_one_object(sbx_json: Say) -> None:
    assert sbx_json(DaemonSays(), "retry", "count.17") == {
        "requeued": 1, "tasks": ["count.17"], "passed_over": [],
    }  # fmt: skip


def test_rm_says_what_goes_and_removes_just_that(sbx: Say) -> None:
    daemon = DaemonSays()
    result = sbx(daemon, "rm", "--older-than", "30d", "--state", "failed", "--keep", "5")
    asked = {"older_than_s": 30 * 86400.0, "state": "FAILED", "keep": 5, "results": False, "dry_run": True}
    assert daemon.asked == [("remove", [], asked), ("remove", ["primes-7f3a"], {"results": False})]
    first, last = result.stdout.splitlines()
    assert first.startswith("primes-7f3a  FAILED  ")
    assert first.endswith(" ago  12 tasks  3 files, 2.0K")
    assert last == "removed: primes-7f3a"


def test_rm_removes_nothing_in_a_dry_run_or_where_nothing_matches(sbx: Say, sbx_json: Say) -> None:
    daemon = DaemonSays()
    assert "would remove: primes-7f3a" in sbx(daemon, "rm", "primes-7f3a", "--dry-run").stdout
    assert sbx_json(daemon, "rm", "primes-7f3a", "--dry-run")["runs"][0]["bytes"] == 2048
    daemon.ended.clear()
    assert sbx(daemon, "rm", "--keep", "9").stdout == "no run that is over matches: nothing to remove\n"
    assert all(chosen["dry_run"] for _, _, chosen in daemon.asked)


@pytest.mark.parametrize(("answer", "removes"), [("y\n", True), ("n\n", False), ("", False)])
def test_rm_asks_on_a_terminal(sbx: Say, monkeypatch: pytest.MonkeyPatch, answer: str, removes: bool) -> None:
    monkeypatch.setattr(rm, "is_terminal", lambda: True)
    daemon = DaemonSays()
    result = sbx(daemon, "rm", "primes-7f3a", "--results", stdin=answer.encode())
    assert "remove them for good?" in result.output
    assert (len(daemon.asked) == 2) is removes
    assert (result.exit_code == 0) is removes
    assert sbx(daemon, "rm", "primes-7f3a", "--yes").exit_code == 0


def test_rm_wants_a_duration_with_a_unit(sbx: Say) -> None:
    with pytest.raises(UsageError, match="--older-than"):
        sbx(DaemonSays(), "rm", "--older-than", "30")


def test_resume_keeps_the_modules_that_are_named(sbx: Say) -> None:
    daemon = DaemonSays()
    result = sbx(daemon, "resume", "--keep", "count", "--keep", "total")
    assert daemon.asked == [("resume", "primes-7f3a", ["count", "total"])]
    assert "sbx status primes-7f3a --follow" in result.stdout


def test_resume_lists_changed_modules(sbx: Say) -> None:
    with pytest.raises(ConflictError, match="modules changed"):
        sbx(DaemonSays(refuses=DigestChanged(["count: run"])), "resume")


def test_cancel_says_what_it_cancelled(sbx: Say, sbx_json: Say) -> None:
    daemon = DaemonSays()
    assert "primes-7f3a is cancelled" in sbx(daemon, "cancel").stdout
    assert daemon.asked == [("cancel", "primes-7f3a")]
    assert sbx_json(DaemonSays(), "cancel") == {"run": "primes-7f3a", "state": "SUCCEEDED"}


def test_export_to_stdout_is_csv(sbx: Say) -> None:
    result = sbx(DaemonSays(attempts=[attempt(body='a,"b"')]), "export", "--csv", "-")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["body"] for row in rows] == ['a,"b"']


def test_export_to_a_file_says_how_many(sbx: Say, sbx_json: Say, tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    result = sbx(DaemonSays(attempts=[attempt(), attempt()]), "export", "--csv", str(target))
    assert result.stderr == f"2 attempts of primes-7f3a are in {target}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    assert sbx_json(DaemonSays(), "export", "--csv", str(target))["rows"] == 0


@pytest.mark.parametrize("words", [[], ["--csv", "-", "--json"]])
def test_export_needs_one_place_to_write_to(sbx: Say, words: list[str]) -> None:
    with pytest.raises(UsageError):
        sbx(DaemonSays(), "export", *words)


def test_daemon_status_in_words_and_json(sbx: Say, sbx_json: Say) -> None:
    assert "login1, process 4242" in sbx(DaemonSays(), "daemon", "status").stdout
    assert sbx_json(DaemonSays(), "daemon", "status")["epoch"] == "0000abcd"
    assert sbx_json(DaemonSays(), "daemon", "start")["pid"] == 4242


def test_daemon_stop_asks_it_to_leave(sbx: Say) -> None:
    daemon = DaemonSays()
    assert sbx(daemon, "daemon", "stop").exit_code == 0
    assert daemon.asked == [("stop",)]


def test_an_error_is_a_fact_and_an_indented_hint() -> None:
    assert as_text(UsageError("no such run", "look:\nsbx status --all")) == (
        "sbx: no such run\n     look:\n     sbx status --all"
    )
    problems = [Problem("p.toml", "sbx", 1, "is absent", "write sbx = 1"), Problem("p.toml", "", 2, "is odd")]
    assert as_text(PipelineErrors(problems)) == (
        "sbx: p.toml:1: sbx: is absent\n    write sbx = 1\nsbx: p.toml:2: is odd"
    )


def test_without_a_home_the_commands_say_so_and_exit_3(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SBX_HOME", raising=False)
    monkeypatch.setattr("sys.argv", ["sbx", "status"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3
    assert capsys.readouterr().err.startswith("sbx: there is no .sbx/ in ")


def test_without_a_daemon_the_commands_say_how_to_start_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SBX_HOME", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["sbx", "ps"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3
    assert "sbx daemon start" in capsys.readouterr().err
