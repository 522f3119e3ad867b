"""`sbx cancel`: end a run."""

from __future__ import annotations

import typer

from scalebox_hpc.cli import say
from scalebox_hpc.cli.options import NEWEST, AsJson, RunArgument
from scalebox_hpc.cli.reach import started_daemon_of


def cancel(context: typer.Context, run: RunArgument = NEWEST, as_json: AsJson = False) -> None:
    """End a run.

    What runs is killed, what waits is cancelled, what succeeded stays.

    \b
    Example:
      sbx cancel
      sbx cancel primes-7f3a
    """
    daemon = started_daemon_of(context)
    name = daemon.status(run)["run"]
    daemon.cancel(name)
    if as_json:
        say.json_object({"run": name, "state": daemon.status(name)["state"]})
    else:
        say.text(f"{name} is cancelled; to take it up again: sbx resume {name}")
