"""`sbx resume`: let a run go on."""

from __future__ import annotations

from typing import Annotated

import typer

from scalebox_hpc.cli import say
from scalebox_hpc.cli.options import NEWEST, AsJson, RunArgument
from scalebox_hpc.cli.reach import started_daemon_of


def resume(
    context: typer.Context,
    run: RunArgument = NEWEST,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep", metavar="MODULE", help="Go on with this changed module as it was; repeatable."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let a run go on.

    One that was interrupted, paused, failed or cancelled; what succeeded stays.
    Starts the daemon where none runs. Where modules were edited since the run began it says
    which, and does nothing (exit status 3).

    \b
    Example:
      sbx resume
      sbx resume primes-7f3a --keep count
    """
    daemon = started_daemon_of(context)
    name = daemon.status(run)["run"]
    daemon.resume(name, keep=keep or ())
    if as_json:
        say.json_object({"run": name, "state": daemon.status(name)["state"]})
    else:
        say.text(f"{name} goes on; follow it: sbx status {name} --follow")
