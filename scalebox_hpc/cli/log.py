"""`sbx log`: all that an attempt wrote, live if wanted."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from scalebox_hpc.cli import say
from scalebox_hpc.cli.options import NEWEST, AsJson, RunOption
from scalebox_hpc.cli.reach import daemon_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scalebox_hpc.client import Daemon, LogPiece

LOOK_EVERY_S = 1.0


def log(
    context: typer.Context,
    task: Annotated[str, typer.Argument(help="The task's id, such as count.17.")],
    run: RunOption = NEWEST,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the attempt has ended.")
    ] = False,
    stderr: Annotated[bool, typer.Option("--stderr", help="What it wrote to stderr.")] = False,
    attempt: Annotated[
        int | None, typer.Option("--attempt", metavar="N", min=1, help="Of this attempt; default: the last.")
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Its bytes as they are, on a terminal too: they may steer it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the output of a task, all of it.

    A file or pipe gets its bytes as they are. A terminal is shown characters that
    would steer it, such as \\x1b.

    \b
    Example:
      sbx log count.17
      sbx log count.17 --stderr --attempt 1
      sbx log count.17 -f
    """
    stream = "stderr" if stderr else "stdout"
    daemon = daemon_of(context)
    name = daemon.status(run)["run"]
    exact = not as_json and (raw or not say.to_terminal())
    found = pieces(daemon, name, task, stream, attempt, Event().wait if follow else None, exact=exact)
    if as_json:
        _print_json(name, task, stream, list(found))
    elif not _print(found, exact):
        other = "without --stderr" if stderr else "with --stderr"
        say.remark(f"{task} wrote nothing to {stream}; look {other}, or at `sbx show {task} --run {name}`")


def _print(found: Iterator[LogPiece], exact: bool) -> bool:
    """Print the pieces; whether there was anything in them."""
    wrote = False
    for piece in found:
        if exact:
            say.exactly(piece["text"].encode("latin-1"))
        else:
            say.text(piece["text"], nl=False)
        wrote = wrote or bool(piece["text"])
    return wrote


def pieces(
    daemon: Daemon,
    run: str,
    task: str,
    stream: str,
    attempt: int | None,
    nap: Callable[[float], object] | None,
    *,
    exact: bool = False,
) -> Iterator[LogPiece]:
    """The log piece by piece: to what there is now, or with `nap` until the attempt has ended.

    `nap` waits that many seconds. The attempt is the one that the first answer names. If `exact`,
    each character of the text stands for the byte of that number.
    """
    encoding = "latin-1" if exact else "utf-8"
    offset = 0
    if nap is not None and attempt is None:
        _await_attempt(daemon, run, task, nap)
    while True:
        piece = daemon.log(run, task, attempt=attempt, stream=stream, offset=offset, encoding=encoding)
        yield piece
        attempt, moved = piece["attempt"] or attempt, piece["end"] > offset
        offset = piece["end"]
        over = piece["done"] and (bool(piece["path"]) or not _is_at_work(daemon, run, task))
        if over or (nap is None and not moved):
            return
        if nap is not None and not moved:
            nap(LOOK_EVERY_S)


def _await_attempt(daemon: Daemon, run: str, task: str, nap: Callable[[float], object]) -> None:
    """Wait for the first attempt of a task that still waits for it."""
    while True:
        found = daemon.task(run, task)["task"]
        if found["state"] != "READY" or found["attempts"]:
            return
        nap(LOOK_EVERY_S)


def _is_at_work(daemon: Daemon, run: str, task: str) -> bool:
    """Whether an attempt may begin to write any moment: it has no log as long as it did not."""
    return daemon.task(run, task)["task"]["state"] in ("LEASED", "RUNNING")


def _print_json(run: str, task: str, stream: str, found: list[LogPiece]) -> None:
    last = found[-1]
    text = "".join(piece["text"] for piece in found)
    facts = {"run": run, "task": task, "attempt": last["attempt"], "stream": stream}
    say.json_object({**facts, "text": text, "done": last["done"], "path": last["path"]})
