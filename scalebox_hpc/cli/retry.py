"""`sbx retry`: send failed tasks round again."""

from __future__ import annotations

from typing import Annotated

import typer

from scalebox_hpc.cli import say
from scalebox_hpc.cli.options import NEWEST, AsJson, CauseOption, ModuleOption, RunOption
from scalebox_hpc.cli.reach import started_daemon_of
from scalebox_hpc.errors import ConflictError


def retry(
    context: typer.Context,
    tasks: Annotated[
        list[str] | None,
        typer.Argument(metavar="TASK...", help="Task ids; if none is given, all that match."),
    ] = None,
    run: RunOption = NEWEST,
    module: ModuleOption = None,
    exit_code: Annotated[
        int | None, typer.Option("--exit-code", metavar="N", help="Only with this exit status.")
    ] = None,
    cause: CauseOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and stop.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send failed tasks round again.

    Those named, those that match, or all; each with the message that it had, and with all its
    retries. What was refused as a repeat goes only if it is named, or with --cause refused.
    Exit status 0: all that were named went round again; 3: some of them were passed over, each
    with the reason.

    \b
    Example:
      sbx retry --dry-run
      sbx retry count.17 count.18
      sbx retry --module count --cause timeout
    """
    daemon = started_daemon_of(context)
    result = daemon.retry(
        run, tasks=tasks or (), module=module, exit_code=exit_code, cause=cause, dry_run=dry_run
    )
    if as_json:
        say.json_object(result)
    else:
        _print(result["requeued"], result["tasks"], result["passed_over"], dry_run)
    if tasks and result["passed_over"]:
        raise typer.Exit(ConflictError.exit_code)


def _print(requeued: int, tasks: list[str], passed_over: list[list[str]], dry_run: bool) -> None:
    verb = "would send round again" if dry_run else "sent round again"
    named = ", ".join(tasks) + (", ..." if requeued > len(tasks) else "")
    say.text(f"{verb}: {requeued}" + (f" ({named})" if named else ""))
    for task, why in passed_over:
        say.text(f"passed over {task}: {why}")
