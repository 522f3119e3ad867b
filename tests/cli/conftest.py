from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from scalebox_hpc.cli.app import app
from tests.cli.fake_daemon import DaemonSays

Say = Callable[..., Any]


@pytest.fixture
def sbx() -> Say:
    """Run `sbx WORDS...` with a daemon that answers as told; errors are raised, not printed."""

    def run(daemon: DaemonSays | None, *words: str, stdin: bytes | None = None) -> Any:
        result = CliRunner().invoke(app, list(words), obj=daemon, input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def sbx_json(sbx: Say) -> Say:
    """Run `sbx WORDS... --json` and read the one object on stdout."""

    def run(daemon: DaemonSays | None, *words: str) -> Any:
        return json.loads(sbx(daemon, *words, "--json").stdout)

    return run
