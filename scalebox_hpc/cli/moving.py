"""What `sbx get` and `sbx put` share: one transfer, with a bar on a terminal."""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalebox_hpc.cli import say
from scalebox_hpc.errors import NotFound, UsageError
from scalebox_hpc.units import size_bytes

if TYPE_CHECKING:
    from scalebox_hpc.transfer.copy import Move, Order, Outcome
    from scalebox_hpc.transfer.opening import Finder, Wish
    from scalebox_hpc.transfer.progress import Progress


@dataclass(frozen=True, slots=True)
class Choices:
    """The options of a command."""

    keep: bool = True
    limit: str | None = None
    streams: int | None = None
    verify_all: bool = False
    as_json: bool = False


def move(source: str, target: str, choices: Choices) -> None:
    """Do one transfer and say what came of it. Raises SbxError."""
    from scalebox_hpc.config.site import load_site, search_path
    from scalebox_hpc.transfer.causes import Cause, TransferFailed
    from scalebox_hpc.transfer.copy import Order
    from scalebox_hpc.transfer.opening import Wish
    from scalebox_hpc.transfer.place import read_place

    def find_site(name: str) -> Any:
        return load_site(name, search_path(Path.cwd()))

    try:
        limit_mib_s = size_bytes(choices.limit) / (1 << 20) if choices.limit else None
    except ValueError as error:
        raise UsageError(f"--limit: {error}") from error
    order = Order(
        read_place(source), read_place(target), keep_source=choices.keep, verify_all=choices.verify_all
    )
    try:
        done, outcome = _moved(
            order, find_site, Wish(limit_mib_s, choices.streams, stays=True), target.endswith("/")
        )
    except TransferFailed as failure:
        if failure.cause is Cause.MISSING:
            raise NotFound(failure.fact, failure.hint) from failure
        raise
    _tell(done, outcome, choices.as_json)


def _moved(order: Order, find_site: Finder, wish: Wish, into: bool) -> tuple[Move, Outcome]:
    from scalebox_hpc.transfer.copy import copy
    from scalebox_hpc.transfer.opening import opened
    from scalebox_hpc.transfer.place import copy_in
    from scalebox_hpc.transfer.progress import Watch
    from scalebox_hpc.transfer.removal import remove_source

    with _bar() as tell, opened(order, find_site, Watch(tell), wish) as ready:
        if into or _goes_into(ready):
            ready.aim(copy_in(order.target, order.source.name))
        outcome = copy(ready)
        if not order.keep_source:
            remove_source(ready, outcome)
        return ready, outcome


def _goes_into(ready: Move) -> bool:
    """Whether the copy goes into the target: a directory, unless it is what this very copy has begun."""
    from scalebox_hpc.transfer.plan import folder

    begun = posixpath.join(ready.target_path, folder(ready.order.source, ready.order.target))
    there, mark = ready.target.ask("look", [ready.target_path, begun])
    return there is not None and there[0] == "d" and mark is None


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None] | None]:
    """A bar on stderr while a person looks."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda now: bar.update(task, completed=now.done, total=now.total)


def _tell(done: Move, outcome: Outcome, as_json: bool) -> None:
    from scalebox_hpc.transfer.copying import summary

    if not as_json:
        say.text(f"{done.order.target}\n  {summary(done, outcome)}")
        return
    told: dict[str, Any] = {
        "source": str(done.order.source),
        "target": str(done.order.target),
        "way": str(done.link.way),
        "files": len(outcome.files),
        "size_bytes": outcome.size_bytes,
        "is_directory": outcome.is_directory,
        "moved_bytes": outcome.moved_bytes,
        "resumed_bytes": outcome.resumed_bytes,
        "removed": outcome.removed,
    }
    if not outcome.is_directory:
        told["checksum"] = outcome.files[0].checksum
    say.json_object(told)
