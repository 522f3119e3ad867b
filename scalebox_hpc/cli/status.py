"""`sbx status`: how a run and the daemon are doing."""

from __future__ import annotations

from typing import Annotated

import typer

from scalebox_hpc.cli import say
from scalebox_hpc.cli.following import Speaker, follow_run
from scalebox_hpc.cli.options import NEWEST, AsJson, RunArgument
from scalebox_hpc.cli.reach import daemon_of


def status(
    context: typer.Context,
    run: RunArgument = NEWEST,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow the run to its end.")] = False,
    every: Annotated[bool, typer.Option("--all", "-a", help="List all runs of this home.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show how a run is doing.

    And what the daemon costs. With --follow the exit status is that of `sbx run`.

    \b
    Example:
      sbx status
      sbx status primes-7f3a --follow
      sbx status --all
    """
    from scalebox_hpc.report import views
    from scalebox_hpc.report.failures import AskedExamples

    daemon = daemon_of(context)
    if every:
        runs = daemon.runs()
        say.json_object({"runs": runs}) if as_json else say.text("\n".join(views.runs_table(runs)))
        return
    if follow:
        name = daemon.status(run)["run"]
        raise typer.Exit(follow_run(daemon, name, Speaker.JSON if as_json else Speaker.HUMAN))
    found, itself = daemon.status(run), daemon.daemon_status()
    if as_json:
        say.json_object({**found, "daemon": itself})
        return
    now_us = say.now_us()
    say.lines(views.overview(found, width=say.width(), now_us=now_us, examples=AskedExamples(daemon)))
    say.text(f"results {found['results']}")
    say.text(views.daemon_line(itself, now_us))
