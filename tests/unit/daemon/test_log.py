"""The log is private, bounded, says one thing a line, and can be read back."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalebox_hpc.daemon import log as logs
from scalebox_hpc.daemon import log_file
from scalebox_hpc.daemon.desk import WARNINGS
from scalebox_hpc.daemon.state import RunPhase
from scalebox_hpc.engine.elements import TryState
from tests.full_disk import files_of_at_most

ROOT = Path(__file__).parents[3]
DAEMON = ROOT / "scalebox_hpc" / "daemon"
OPERATIONS = ROOT / "docs" / "operations.md"
library = logging.getLogger("test")


@pytest.fixture
def handler(tmp_path: Path) -> Iterator[logs._PrivateFile]:
    level = logging.getLogger().level
    handler = logs.set_up(tmp_path / "daemon.log")
    assert isinstance(handler, logs._PrivateFile)
    yield handler
    logs.take_down(handler)
    logging.getLogger().setLevel(level)


@pytest.fixture
def path(handler: logs._PrivateFile) -> Path:
    return Path(handler.baseFilename)


def test_an_event_is_one_line_in_utc(path: Path) -> None:
    logs.tell("run.failed", logging.WARNING, run="primes-7f3a", note="two\nlines", count=3, took_s=1.23456)
    (line,) = path.read_text().splitlines()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING run\.failed"
        r' run=primes-7f3a note="two\\nlines" count=3 took_s=1\.235',
        line,
    )
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_a_library_says_is_an_event_too(path: Path) -> None:
    library.error("it %s", "broke")
    (line,) = path.read_text().splitlines()
    assert line.endswith('Z ERROR python logger=test said="it broke"')


def test_a_traceback_follows_indented(path: Path) -> None:
    try:
        raise ValueError("no")
    except ValueError as error:
        logs.tell("daemon.dies", logging.CRITICAL, error, part="engine")
    first, *rest = path.read_text().splitlines()
    assert first.endswith("CRITICAL daemon.dies part=engine")
    assert all(line.startswith("    ") for line in rest)
    assert rest[-1] == "    ValueError: no"
    (entry,) = log_file.last(path, 10, "INFO")
    assert entry.more[-1] == "ValueError: no"


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(["note", "took_s", "why"]), st.text(max_size=40)))
def test_what_was_written_is_read_back(fields: dict[str, str]) -> None:
    line = logs.line("2026-03-01T12:00:00.000Z", "INFO", "run.running", fields)
    assert len(line.splitlines()) == 1
    (entry,) = log_file.entries([line])
    assert (entry.level, entry.event) == ("INFO", "run.running")
    assert {key: value.encode(errors="replace") for key, value in entry.fields.items()} == {
        key: value.encode(errors="replace") for key, value in fields.items()
    }


def test_a_value_is_cut_where_it_is_endless() -> None:
    assert len(logs.line("T", "INFO", "x", {"note": "a" * 10_000_000})) < 1100


def test_the_log_does_not_grow_for_ever(path: Path, handler: logs._PrivateFile) -> None:
    handler.maxBytes = 1000
    for number in range(100):
        logs.tell("line", number=number)
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == ["daemon.log"] + [f"daemon.log.{n}" for n in (1, 2, 3)]
    assert all(file.stat().st_size <= 1000 and file.stat().st_mode & 0o777 == 0o600 for file in files)
    assert logs.last_lines(path, 2).splitlines()[1].endswith("line number=99")


def test_many_threads_write_whole_lines_over_rotations(path: Path, handler: logs._PrivateFile) -> None:
    handler.maxBytes, handler.backupCount = 20_000, 100
    count, each = 8, 500

    def work(thread: int) -> None:
        for number in range(each):
            logs.tell("line", thread=thread, number=number)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    files = list(path.parent.iterdir())
    found = [entry.fields for file in files for entry in log_file.entries(file.read_text().splitlines())]
    assert {(one["thread"], one["number"]) for one in found} == {
        (str(thread), str(number)) for thread in range(count) for number in range(each)
    }
    assert len(found) == count * each
    assert len(files) > 5
    assert all(file.stat().st_size <= 20_000 for file in files)


def test_a_full_disk_disturbs_nobody_and_is_told_of_later(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    logs.tell("first")
    with files_of_at_most(path.stat().st_size + 10):  # room for a part of a line
        for number in range(3):
            logs.tell("lost", number=number)
    logs.tell("later")
    logs.tell("last")
    found = [(entry.event, entry.fields) for entry in log_file.last(path, 10, "INFO")]
    assert found[0] == ("first", {})
    assert found[-3:] == [("log.lost", {"lines": "2"}), ("later", {}), ("last", {})]
    assert capfd.readouterr().err == ""  # which is the log itself


def test_rotation_on_a_full_disk_keeps_the_log_bounded(path: Path, handler: logs._PrivateFile) -> None:
    handler.maxBytes = 1000
    with files_of_at_most(500):
        for number in range(100):
            logs.tell("line", number=number)
    assert sum(file.stat().st_size for file in path.parent.iterdir()) <= 4000
    logs.tell("later")
    assert log_file.last(path, 1, "INFO")[0].event == "later"


def test_the_last_events_come_from_older_files_too(path: Path, handler: logs._PrivateFile) -> None:
    handler.maxBytes = 1000
    for number in range(30):
        logs.tell("line", logging.WARNING if number % 10 == 0 else logging.INFO, number=number)
    assert [one.fields["number"] for one in log_file.last(path, 3, "INFO")] == ["27", "28", "29"]
    assert [one.fields["number"] for one in log_file.last(path, 2, "WARNING")] == ["10", "20"]


def test_following_goes_on_over_a_rotation(path: Path, handler: logs._PrivateFile) -> None:
    logs.tell("before")
    comes = [
        lambda: logs.tell("one"),
        handler.doRollover,
        lambda: logs.tell("two"),
        lambda: logs.tell("three"),
    ]

    def nap(_: float) -> None:
        comes.pop(0)()

    found: list[str] = []
    for some in log_file.follow(path, nap):
        found += [entry.event for entry in some]
        if "three" in found:
            break
    assert found == ["one", "two", "three"]


def events_in_the_source() -> set[str]:
    """The names that are written there, and those made of the states of runs and tries."""
    source = "".join(file.read_text() for file in DAEMON.glob("*.py"))
    named = set(re.findall(r"""\btell\(\s*"([a-z_.]+)\"""", source))
    kept = re.findall(r"""\bevent\("([a-z]+)", [^,]+, "([a-z ]+)\"""", source)
    named |= {f"{thing}.{what}".replace(" ", "_") for thing, what in kept}
    named |= {f"run.{phase.lower()}" for phase in RunPhase}
    named |= {f"allocation.{state.lower()}" for state in TryState if state is not TryState.PLANNED}
    return named | {logs.FOREIGN, logs.LOST}


def test_every_event_is_documented_and_every_warning_is_one() -> None:
    section = OPERATIONS.read_text().split("### The daemon's log", 1)[1].split("\n## ", 1)[0]
    names = re.findall(r"^\| (`.*?`) \|", section.split("| event |", 1)[1], re.MULTILINE)
    documented = set(re.findall(r"`([a-z_.]+)`", " ".join(names)))
    assert {"daemon.starts", "agent.hello", "run.running", "pool.paused"} <= events_in_the_source()
    assert documented == events_in_the_source()
    assert documented >= WARNINGS


def test_what_is_no_event_is_shown_as_it_is() -> None:
    (torn,) = log_file.entries(["free(): invalid pointer"])
    assert (torn.event, torn.fields) == ("python", {"said": "free(): invalid pointer"})


def test_a_log_that_is_not_there_has_no_last_lines(tmp_path: Path) -> None:
    assert logs.last_lines(tmp_path / "daemon.log") == ""
    assert log_file.last(tmp_path / "daemon.log", 10, "INFO") == []
