"""Follow a run for `sbx run` and `sbx status --follow`: pick the view, print the end."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from scalebox_hpc.cli import say

if TYPE_CHECKING:
    from scalebox_hpc.client import Daemon, RunStatus
    from scalebox_hpc.report.failures import Examples

PATIENCE_S = 10.0
"""How long a daemon may be away, to be started anew for example."""

SUMMARY_WIDTH = 110
"""Of the end of a run where there is no terminal to ask."""


class Speaker(Enum):
    """Who reads what we print."""

    HUMAN = "human"
    QUIET = "quiet"
    JSON = "json"


def follow_run(daemon: Daemon, run: str, speaker: Speaker, *, inside: bool = False) -> int:
    """Follow the run until it ends or stops, print its end, return the exit status.

    Ctrl-C ends the following only: 130. `inside`: the daemon is part of this process, so that
    there is no other to wait for, and Ctrl-C is its business.
    """
    from scalebox_hpc.report.failures import AskedExamples
    from scalebox_hpc.report.follow import exit_code

    examples = AskedExamples(daemon)
    try:
        status = _follow(daemon, run, speaker, examples, inside)
    except KeyboardInterrupt:
        say.remark(f"\nstopped following; {run} goes on. Follow it again: sbx status {run} --follow")
        say.remark(f"                        To end it: sbx cancel {run}")
        return 130
    if speaker is Speaker.JSON:
        say.json_object(status)
    elif speaker is Speaker.HUMAN:
        _print_end(status, examples)
    return exit_code(status)


def _follow(daemon: Daemon, run: str, speaker: Speaker, examples: Examples, inside: bool) -> RunStatus:
    from scalebox_hpc.report.follow import SilentView, follow

    absence_s = 0.0 if inside else PATIENCE_S
    if speaker is not Speaker.HUMAN:
        return follow(daemon, run, SilentView(), absence_s=absence_s)
    if say.to_terminal() and os.environ.get("TERM", "dumb") != "dumb":
        from scalebox_hpc.report.live import LiveView

        footer = "Ctrl-C interrupts the run" if inside else "Ctrl-C stops following only"
        with LiveView(examples, say.now_us, footer) as live:
            return follow(daemon, run, live, absence_s=absence_s)
    from scalebox_hpc.report.plain import PlainView

    return follow(daemon, run, PlainView(say.text, examples), absence_s=absence_s)


def _print_end(status: RunStatus, examples: Examples) -> None:
    from scalebox_hpc.report.views import closing_lines

    here = Path.cwd()
    width = say.width() if say.to_terminal() else SUMMARY_WIDTH
    lines = closing_lines(
        status,
        width=width,
        now_us=say.now_us(),
        examples=examples,
        here=here,
        found_here=_reaches(here, Path(status["directory"])),
    )
    say.lines(lines)


def _reaches(here: Path, directory: Path) -> bool:
    """Whether commands given in `here` find the home of a pipeline in `directory`."""
    return "SBX_HOME" in os.environ or here.resolve().is_relative_to(directory.resolve())
