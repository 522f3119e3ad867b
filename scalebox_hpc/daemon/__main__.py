"""`python -m scalebox_hpc.daemon --home H [--takeover] [--detached]`: be a daemon.

With `--detached` it tells its parent through standard output that it answers, or why it cannot,
and lets go of it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scalebox_hpc.daemon.main import run_detached
from scalebox_hpc.daemon.premises import EngineMaker


def _let_go() -> Callable[[Mapping[str, Any]], None]:
    """Put standard output aside, where no child inherits it; returns what says one line there, once."""
    aside = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)
    os.close(nothing)

    def report(said: Mapping[str, Any]) -> None:
        try:
            os.write(aside, json.dumps(said).encode() + b"\n")
        except BrokenPipeError:
            pass  # whoever started us did not wait
        os.close(aside)

    return report


def _report(said: Mapping[str, Any]) -> None:
    if not said.get("ready"):
        print(f"{said['error']}\n    {said['hint']}", file=sys.stderr)


def main(engine_of: EngineMaker | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scalebox_hpc.daemon")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--takeover", action="store_true")
    parser.add_argument("--detached", action="store_true")
    wanted = parser.parse_args()
    if wanted.detached:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    report = _let_go() if wanted.detached else _report
    return run_detached(wanted.home, wanted.takeover, report, engine_of)


if __name__ == "__main__":
    sys.exit(main())
