"""`sbx daemon log`: the log of a home, with or without a daemon."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scalebox_hpc.daemon.home import create
from scalebox_hpc.errors import SbxError, UsageError
from tests.cli.conftest import Say

LINES = """\
2026-03-01T12:00:00.000Z INFO daemon.starts version=0.1.0
2026-03-01T12:00:01.000Z WARNING pool.paused pool=default note="three in a row\\u001b[2J"
2026-03-01T12:00:02.000Z CRITICAL daemon.dies part=engine
    Traceback (most recent call last):
    ValueError: no
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SBX_HOME", str(tmp_path / ".sbx"))
    create(tmp_path / ".sbx").log.write_text(LINES)
    return tmp_path


def test_the_last_events_as_they_stand_in_the_file(sbx: Say, home: Path) -> None:
    shown = sbx(None, "daemon", "log", "-n", "2").stdout.splitlines()
    assert shown[0].startswith("2026-03-01T12:00:01.000Z WARNING pool.paused pool=default note=")
    assert "\x1b" not in shown[0]
    assert shown[1:] == LINES.splitlines()[2:]


def test_only_the_grave_ones_and_as_json(sbx: Say, home: Path) -> None:
    lines = sbx(None, "daemon", "log", "--level", "warning", "--json").stdout.splitlines()
    paused, died = map(json.loads, lines)
    assert paused["fields"] == {"pool": "default", "note": "three in a row\x1b[2J"}
    assert (died["event"], died["level"]) == ("daemon.dies", "CRITICAL")
    assert died["traceback"][-1] == "ValueError: no"


def test_a_level_that_there_is_not_and_a_home_that_is_none(
    sbx: Say, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="--level loud"):
        sbx(None, "daemon", "log", "--level", "loud")
    monkeypatch.setenv("SBX_HOME", str(home / "nowhere"))
    with pytest.raises(SbxError):
        sbx(None, "daemon", "log")
