"""`sbx rm`: remove runs that are over."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from scalebox_hpc.cli import say
from scalebox_hpc.cli.options import AsJson
from scalebox_hpc.cli.reach import started_daemon_of
from scalebox_hpc.errors import UsageError
from scalebox_hpc.units import duration_s, show_count, show_duration, show_size

if TYPE_CHECKING:
    from scalebox_hpc.client import RemovedRun


def rm(  # noqa: PLR0913, PLR0917 (a command has as many arguments as options)
    context: typer.Context,
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="RUN...", help="Ids of runs; or give options that choose.")
    ] = None,
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="30d", help="Those that ended longer ago.")
    ] = None,
    state: Annotated[
        str | None, typer.Option("--state", metavar="STATE", help="Those SUCCEEDED, FAILED or CANCELLED.")
    ] = None,
    keep: Annotated[
        int | None, typer.Option("--keep", metavar="N", min=0, help="All but the newest N of them.")
    ] = None,
    results: Annotated[bool, typer.Option("--results", help="Remove their results too.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and stop.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove runs that are over.

    With all that is known of them: tasks, attempts, logs, what they shared. Their results stay
    unless --results is said. On a terminal it asks first. They are gone from all lists at once;
    the room is given back while the daemon has nothing better to do.

    \b
    Example:
      sbx rm primes-7f3a --dry-run
      sbx rm --older-than 30d --state succeeded --keep 5
    """
    daemon = started_daemon_of(context)
    age_s = None if older_than is None else _age_s(older_than)
    chosen = daemon.remove(
        runs or (),
        older_than_s=age_s,
        state=None if state is None else state.upper(),
        keep=keep,
        results=results,
        dry_run=True,
    )
    names = [run["run"] for run in chosen["runs"]]
    if not as_json:
        _show(chosen["runs"])
    if names and not dry_run:
        if not yes and is_terminal():
            typer.confirm("remove them for good?", abort=True, err=True)
        daemon.remove(names, results=results)
    if as_json:
        say.json_object({**chosen, "dry_run": dry_run})
    elif names:
        say.text(f"{'would remove' if dry_run else 'removed'}: {', '.join(names)}")


def is_terminal() -> bool:
    """Whether somebody is there to be asked."""
    return sys.stdin.isatty()


def _age_s(text: str) -> float:
    try:
        return duration_s(text)
    except ValueError as error:
        raise UsageError(f"--older-than: {error}", "such as 30d, 12h") from error


def _show(runs: list[RemovedRun]) -> None:
    if not runs:
        say.text("no run that is over matches: nothing to remove")
    for run in runs:
        ago = show_duration(max(0, say.now_us() - run["ended_us"]) / 1e6)
        say.text(
            f"{run['run']}  {run['state']}  {ago} ago  {run['tasks']} tasks"
            f"  {show_count(run['files'], 'file')}, {show_size(run['bytes'])}"
        )
