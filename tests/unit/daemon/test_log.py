"""The log is private, bounded, and says one thing a line."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scalebox_hpc.daemon import log as logs

log = logging.getLogger("test")


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    level = logging.getLogger().level
    handler = logs.set_up(tmp_path / "daemon.log")
    yield tmp_path / "daemon.log"
    logs.take_down(handler)
    logging.getLogger().setLevel(level)


def test_an_event_is_one_line_in_utc(path: Path) -> None:
    log.info("two\nlines of %s", "text")
    (line,) = path.read_text().splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO test: two\\nlines of text", line)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_traceback_follows_indented(path: Path) -> None:
    try:
        raise ValueError("no")
    except ValueError:
        log.exception("it broke")
    first, *rest = path.read_text().splitlines()
    assert first.endswith("ERROR test: it broke")
    assert all(line.startswith("    ") for line in rest)
    assert rest[-1] == "    ValueError: no"


def test_the_log_does_not_grow_for_ever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (handler,) = [one for one in logging.getLogger().handlers if isinstance(one, logs._PrivateFile)]
    monkeypatch.setattr(handler, "maxBytes", 1000)
    for number in range(100):
        log.info("line %d", number)
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == ["daemon.log"] + [f"daemon.log.{n}" for n in (1, 2, 3)]
    assert all(file.stat().st_size <= 1000 and file.stat().st_mode & 0o777 == 0o600 for file in files)
    assert logs.last_lines(path, 2).splitlines()[1].endswith("line 99")


def test_a_log_that_is_not_there_has_no_last_lines(tmp_path: Path) -> None:
    assert logs.last_lines(tmp_path / "daemon.log") == ""
