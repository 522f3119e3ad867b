"""`sbx daemon`: start, stop and look at the daemon of a home."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scalebox_hpc.cli import say
from scalebox_hpc.cli.options import AsJson
from scalebox_hpc.cli.reach import daemon_of, started_daemon_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalebox_hpc.daemon.home import Home
    from scalebox_hpc.daemon.log_file import Entry

app = typer.Typer(no_args_is_help=True, help="Start, stop and look at the daemon.", rich_markup_mode=None)


@app.command()
def start(context: typer.Context, as_json: AsJson = False) -> None:
    """Start the daemon.

    It goes on with the runs that were LOADING or RUNNING; others wait for `sbx resume`.

    \b
    Example:
      sbx daemon start
    """
    found = started_daemon_of(context).daemon_status()
    if as_json:
        say.json_object(found)
    else:
        say.text(f"the daemon of {found['home_path']} runs at {found['host']}, process {found['pid']}")


@app.command()
def stop(context: typer.Context, as_json: AsJson = False) -> None:
    """Stop the daemon.

    Returns once it is gone. Its agents work on and find the next one.

    \b
    Example:
      sbx daemon stop
    """
    if context.obj is not None:
        daemon_of(context).stop()
    else:
        from scalebox_hpc.client import find_home
        from scalebox_hpc.daemon.main import stop as stop_and_wait

        stop_and_wait(find_home())
    if as_json:
        say.json_object({"stopped": True})
    else:
        say.text("the daemon has left; `sbx daemon start` goes on with its runs")


@app.command()
def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show where it runs and what it costs.

    \b
    Example:
      sbx daemon status --json
    """
    from scalebox_hpc.report.views import daemon_line

    found = daemon_of(context).daemon_status()
    if as_json:
        say.json_object(found)
        return
    say.text(daemon_line(found, say.now_us()))
    say.text(f"home {found['home_path']} ({found['home']}), answers at {found['address']}")


@app.command()
def log(
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    level: Annotated[
        str, typer.Option("--level", metavar="LEVEL", help="Only these and graver: info, warning, error.")
    ] = "info",
    lines: Annotated[int, typer.Option("--lines", "-n", metavar="N", min=0, help="The last N events.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show its log, with or without a daemon.

    `--json` prints an object a line: time, level, event, fields, traceback.

    \b
    Example:
      sbx daemon log --level warning
      sbx daemon log -f
    """
    from threading import Event

    from scalebox_hpc.client import find_home
    from scalebox_hpc.daemon import log_file
    from scalebox_hpc.daemon.home import open_home

    least = _level(level)
    path = open_home(find_home()).log
    _print_entries(log_file.last(path, lines, least), as_json)
    if follow:
        for entries in log_file.follow(path, Event().wait):
            _print_entries([each for each in entries if log_file.is_at_least(each, least)], as_json)


def _level(named: str) -> str:
    """A level by its name. Raises UsageError."""
    from scalebox_hpc.daemon.log_file import LEVELS
    from scalebox_hpc.errors import UsageError

    if named.upper() not in LEVELS:
        raise UsageError(f"--level {named}: there is none", f"write one of {', '.join(LEVELS).lower()}")
    return named.upper()


def _print_entries(entries: Sequence[Entry], as_json: bool) -> None:
    from scalebox_hpc.daemon.log import line
    from scalebox_hpc.report.text import Line, printable

    if as_json:
        for each in entries:
            found = {"time": each.time, "level": each.level, "event": each.event, "fields": each.fields}
            say.json_object(found | {"traceback": each.more})
        return
    styles = {"WARNING": "title", "ERROR": "bad", "CRITICAL": "bad"}
    for each in entries:
        text = line(each.time, each.level, each.event, each.fields)
        say.lines(
            [
                Line(printable(text), styles.get(each.level, "")),
                *(Line(f"    {printable(more)}") for more in each.more),
            ]
        )


@app.command()
def takeover(context: typer.Context, as_json: AsJson = False) -> None:
    """Start it here, in place of a lost one.

    For a home held by another machine that you know to be gone.
    One that provably lives is never robbed (exit status 3).

    \b
    Example:
      sbx daemon takeover
    """
    if context.obj is None:
        from scalebox_hpc.client import find_home
        from scalebox_hpc.daemon.main import start_detached

        start_detached(find_home(), takeover=True)
    start(context, as_json)


@app.command()
def moved(as_json: AsJson = False) -> None:
    """Say that the home was moved here.

    It is still the same one, with all its runs.

    \b
    Example:
      sbx daemon moved
    """
    from scalebox_hpc.client import find_home
    from scalebox_hpc.daemon.home import say_moved

    _print_home(say_moved(find_home()), as_json)


@app.command()
def copied(as_json: AsJson = False) -> None:
    """Say that this home is a copy.

    It becomes one of its own, and leaves the original's agents alone.

    \b
    Example:
      sbx daemon copied
    """
    from scalebox_hpc.client import find_home
    from scalebox_hpc.daemon.home import say_copied

    _print_home(say_copied(find_home()), as_json)


@app.command("metrics-token")
def metrics_token(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write it to this file, for you alone to read."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the token for Prometheus.

    It is good for reading /metrics of this home's daemon, and for nothing else.

    \b
    Example:
      sbx daemon metrics-token -o ~/prometheus/sbx.token
    """
    from scalebox_hpc.client import find_home
    from scalebox_hpc.daemon.home import open_home
    from scalebox_hpc.daemon.keys import open_keys
    from scalebox_hpc.disk import problem_with, write_whole

    token = open_keys(open_home(find_home())).metrics_token()
    if output is not None:
        try:
            write_whole(output, token, 0o600)
        except OSError as error:
            raise problem_with(
                output, error, "write", "name a file in a directory that you may write"
            ) from error
    if as_json:
        say.json_object({"file": None if output is None else str(output), "token": token})
    elif output is None:
        say.text(token)


def _print_home(home: Home, as_json: bool) -> None:
    if as_json:
        say.json_object({"home": home.id, "home_path": str(home.path)})
    else:
        say.text(f"the home {home.path} is {home.id} now; go on with `sbx daemon start`")
