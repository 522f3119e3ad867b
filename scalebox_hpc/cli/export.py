"""`sbx export`: the attempts of a run as CSV."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scalebox_hpc.cli import say
from scalebox_hpc.cli.options import NEWEST, AsJson, RunArgument
from scalebox_hpc.cli.reach import daemon_of
from scalebox_hpc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scalebox_hpc.client import Attempt


def export(
    context: typer.Context,
    run: RunArgument = NEWEST,
    csv: Annotated[str, typer.Option("--csv", metavar="FILE", help="Where to; - for stdout.")] = "",
    as_json: AsJson = False,
) -> None:
    """Write a row for every attempt as CSV.

    What, where, when, how it ended, at what cost: of all attempts recorded so far.

    In pandas: pd.read_csv(FILE, dtype={"body": str, "key": str}, keep_default_na=False).

    \b
    Example:
      sbx export --csv attempts.csv
      sbx export primes-7f3a --csv - | head
    """
    from scalebox_hpc.report.csv import write_file

    if not csv:
        raise UsageError("export needs to know where to", "sbx export --csv FILE, or --csv - for stdout")
    if csv == "-" and as_json:
        raise UsageError("--json and --csv - would both write to stdout", "name a file: --csv FILE")
    daemon = daemon_of(context)
    name = daemon.status(run)["run"]
    attempts = daemon.attempts(name)
    if csv == "-":
        _print_csv(attempts)
        return
    rows = write_file(attempts, Path(csv))
    if as_json:
        say.json_object({"run": name, "rows": rows, "file": csv})
    else:
        say.remark(f"{rows} attempts of {name} are in {csv}")


def _print_csv(attempts: Iterable[Attempt]) -> None:
    from scalebox_hpc.report.csv import write

    if say.to_terminal():
        write(attempts, _Shown())
        return
    stream = io.TextIOWrapper(
        sys.stdout.buffer, encoding="utf-8", errors="backslashreplace", newline="", write_through=False
    )
    try:
        write(attempts, stream)
        stream.flush()
    finally:
        stream.detach()


class _Shown:
    """A stream to the terminal that what programs wrote cannot steer."""

    def write(self, text: str) -> None:
        say.text(text, nl=False)
