"""`sbx show`: one task, its attempts and the end of its output."""

from __future__ import annotations

from typing import Annotated

import typer

from scalebox_hpc.cli import say
from scalebox_hpc.cli.options import NEWEST, AsJson, RunOption
from scalebox_hpc.cli.reach import daemon_of


def show(
    context: typer.Context,
    task: Annotated[str, typer.Argument(help="The task's id, such as count.17.")],
    run: RunOption = NEWEST,
    as_json: AsJson = False,
) -> None:
    """Show one task and its attempts.

    Where it came from, what became of each attempt, and the end of what the last one wrote.

    \b
    Example:
      sbx show count.17
      sbx show count.17 --run primes-7f3a --json
    """
    from scalebox_hpc.report.tasks import task_text

    daemon = daemon_of(context)
    detail = daemon.task(run, task)
    if as_json:
        say.json_object(detail)
    else:
        say.text(task_text(detail, _name(detail["attempts"], run), say.width()))


def _name(attempts: list[dict[str, object]], run: str) -> str:
    """The run's own name where an attempt tells it: `newest` may mean another one tomorrow."""
    return str(attempts[-1].get("run") or run) if attempts else run
