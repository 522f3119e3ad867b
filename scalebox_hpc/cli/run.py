"""`sbx run`: submit a pipeline and follow it."""

from __future__ import annotations

import os
import shutil
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scalebox_hpc.cli import say
from scalebox_hpc.cli.following import Speaker, follow_run
from scalebox_hpc.cli.options import PIPELINE, AsJson, Params, PipelineArgument, SiteOption
from scalebox_hpc.cli.pipeline_file import params_of, pipeline_path, seeds_from_stdin
from scalebox_hpc.cli.reach import started_daemon_of
from scalebox_hpc.errors import UsageError

if TYPE_CHECKING:
    from scalebox_hpc.client import Daemon


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asks for."""

    pipeline: Path  # absolute
    params: Mapping[str, str]
    site: str | None
    reads_stdin: bool
    detach: bool
    speaker: Speaker


def run(  # noqa: PLR0913, PLR0917 (a command has as many arguments as options)
    context: typer.Context,
    pipeline: PipelineArgument = PIPELINE,
    stdin: Annotated[
        str, typer.Argument(metavar="-", help="Read seeds from stdin.", show_default=False)
    ] = "",
    param: Params = None,
    site: SiteOption = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Submit and come back at once.")] = False,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Keep the daemon inside this command, as in a batch job.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the run's id and errors only.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run a pipeline and follow it to its end.

    Starts the daemon where none runs; it works on when you log out, and Ctrl-C only stops
    following. Exit status: 0 all good, 1 tasks failed, 2 bad pipeline, 3 cannot do it now,
    4 Slurm, site or ledger unreachable, 130 interrupted.

    \b
    Example:
      sbx run pipeline.toml -p limit=1000
      ls raw/*.fits | sbx run pipeline.toml -
      sbatch --wrap "sbx run --foreground pipeline.toml"
    """
    if pipeline == "-":
        pipeline, stdin = PIPELINE, "-"
    if stdin not in ("", "-"):
        raise UsageError(f"{stdin!r} is one argument too many", "parameters are given by -p NAME=VALUE")
    if foreground and detach:
        raise UsageError("--foreground and --detach exclude each other", "leave one of them out")
    path = pipeline_path(pipeline)
    wish = Wish(
        pipeline=path,
        params=params_of(param),
        site=site,
        reads_stdin=stdin == "-" or _stdin_is_meant(path),
        detach=detach,
        speaker=Speaker.JSON if as_json else Speaker.QUIET if quiet else Speaker.HUMAN,
    )
    raise typer.Exit(_run_inside(wish) if foreground else _run_by_daemon(context, wish))


def _run_by_daemon(context: typer.Context, wish: Wish) -> int:
    from scalebox_hpc.client import home_of_pipeline

    home = home_of_pipeline(wish.pipeline)
    return _submit_and_follow(started_daemon_of(context, home), home, wish, inside=False)


def _run_inside(wish: Wish) -> int:
    """Keep the daemon in this process; the run's follower is a thread of it."""
    from scalebox_hpc.client import Daemon, home_of_pipeline
    from scalebox_hpc.daemon.main import run_in_foreground

    home = home_of_pipeline(wish.pipeline)

    def submit() -> int:
        with Daemon.of_home(home, say=say.remark) as daemon:
            return _submit_and_follow(daemon, home, wish, inside=True)

    try:
        return run_in_foreground(home, submit)
    finally:
        say.show_cursor()


def _submit_and_follow(daemon: Daemon, home: Path, wish: Wish, inside: bool) -> int:
    name = _submit(daemon, home, wish)
    if wish.detach and wish.speaker is Speaker.JSON:
        say.json_object({"run": name})
        return 0
    if wish.speaker is not Speaker.JSON:
        say.text(name)
    if wish.detach:
        if wish.speaker is Speaker.HUMAN:
            say.remark(f"follow it: sbx status {name} --follow")
        return 0
    return follow_run(daemon, name, wish.speaker, inside=inside)


def _submit(daemon: Daemon, home: Path, wish: Wish) -> str:
    spooled = _spool_stdin(home) if wish.reads_stdin else None
    try:
        return daemon.submit(wish.pipeline, wish.params, site=wish.site, stdin=spooled, directory=Path.cwd())
    except UsageError:
        if spooled is not None:
            spooled.unlink(missing_ok=True)
        raise


def _stdin_is_meant(pipeline: Path) -> bool:
    if not seeds_from_stdin(pipeline):
        return False
    if sys.stdin.isatty():
        raise UsageError(
            f"{pipeline.name} takes its seeds from standard input, which is a terminal here",
            f"sbx run {pipeline.name} < FILE, or `-` after the pipeline to type them (Ctrl-D ends)",
        )
    return True


def _spool_stdin(home: Path) -> Path:
    """Copy standard input to a file of the home, on disk when this returns."""
    directory = home / "stdin"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    spooled = directory / str(uuid.uuid4())
    descriptor = os.open(spooled, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        shutil.copyfileobj(sys.stdin.buffer, stream)
        stream.flush()
        os.fsync(stream.fileno())
    return spooled
