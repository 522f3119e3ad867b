"""`sbx ps`: the tasks of a run, by state, module and cause."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Annotated

import typer

from scalebox_hpc.cli import say
from scalebox_hpc.cli.options import NEWEST, AsJson, CauseOption, ModuleOption, RunArgument
from scalebox_hpc.cli.reach import daemon_of
from scalebox_hpc.errors import UsageError

if TYPE_CHECKING:
    from scalebox_hpc.client import Daemon, Task

SHOWN = 100


def ps(
    context: typer.Context,
    run: RunArgument = NEWEST,
    state: Annotated[
        str | None, typer.Option("--state", metavar="STATE", help="Only in this state: FAILED, RUNNING, ...")
    ] = None,
    module: ModuleOption = None,
    cause: CauseOption = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", "-n", min=0, help=f"Most tasks to list; 0: all. Default: {SHOWN}; with --json: all."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the tasks of a run, failed ones first.

    Without a filter, how many of each module are in which state stands above them.

    \b
    Example:
      sbx ps
      sbx ps --state FAILED --module count
      sbx ps primes-7f3a --cause timeout --limit 0
    """
    from scalebox_hpc.report.tasks import STATES, state_table, task_lines

    wanted = state.upper() if state else None
    if wanted and wanted not in STATES:
        raise UsageError(f"there is no state {state}", f"one of {', '.join(STATES)}")
    daemon = daemon_of(context)
    found = daemon.status(run)
    most = limit if limit is not None else 0 if as_json else SHOWN
    page = min(most + 1, 1000) if most else 1000
    tasks = _tasks(daemon, found["run"], [wanted] if wanted else list(STATES), module, cause, page)
    if as_json:
        _print_json(found["run"], tasks, most)
        return
    if not (wanted or module or cause):
        say.text("\n".join([*state_table(found), ""]))
    for line in task_lines(islice(tasks, most or None), say.width()):
        say.text(line)
    if most and next(tasks, None) is not None:
        say.remark("there are more; --limit 0 lists all")


def _tasks(
    daemon: Daemon, run: str, states: list[str], module: str | None, cause: str | None, page: int
) -> Iterator[Task]:
    found = (daemon.tasks(run, module=module, state=state, cause=cause, page=page) for state in states)
    return chain.from_iterable(found)


def _print_json(run: str, tasks: Iterator[Task], most: int) -> None:
    """One object, written while its tasks arrive: a run may have millions."""
    say.text(f'{{"run": {json.dumps(run)}, "tasks": [', nl=False)
    for index, task in enumerate(islice(tasks, most or None)):
        say.text(", " if index else "", nl=False)
        say.json_text(task)
    more = bool(most) and next(tasks, None) is not None
    say.text(f'], "more": {json.dumps(more)}}}')
