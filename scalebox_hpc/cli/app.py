"""The root of `sbx`: its commands."""

from __future__ import annotations

from typing import Annotated

import typer

from scalebox_hpc import __version__
from scalebox_hpc.cli import (
    cancel,
    check,
    daemon,
    describe,
    doctor,
    export,
    get,
    graph,
    image,
    ledger,
    log,
    module,
    plan,
    ps,
    put,
    resume,
    retry,
    rm,
    run,
    say,
    schema,
    show,
    site,
    status,
)
from scalebox_hpc.cli.entry import main as main  # an `sbx` installed before `entry` was looks for it here

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("check")(check.check)
app.command("plan")(plan.plan)
app.command("graph")(graph.graph)
app.command("describe")(describe.describe)
app.command("schema")(schema.schema)
app.command("doctor")(doctor.doctor)
app.command("status")(status.status)
app.command("ps")(ps.ps)
app.command("show")(show.show)
app.command("log")(log.log)
app.command("retry")(retry.retry)
app.command("resume")(resume.resume)
app.command("cancel")(cancel.cancel)
app.command("export")(export.export)
app.command("rm")(rm.rm)
app.command("get")(get.get)
app.command("put")(put.put)
app.add_typer(module.app, name="module")
app.add_typer(image.app, name="image")
app.add_typer(site.app, name="site")
app.add_typer(daemon.app, name="daemon")
app.add_typer(ledger.app, name="ledger")


def _print_version(wanted: bool) -> None:
    if wanted:
        say.text(f"sbx {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Run container pipelines on Slurm, with a record of every task.

    \b
    Example:
      sbx run pipeline.toml -p limit=1000
      sbx status
    """
