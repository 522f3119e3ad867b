"""The standard module `copy`: the body of each message is a place, or several files of one, to be copied."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from scalebox_hpc.errors import UsageError
from scalebox_hpc.transfer.copy import Copied, Move, Order, Outcome, copy
from scalebox_hpc.transfer.opening import opened
from scalebox_hpc.transfer.place import Place, copy_in, is_path, is_relative, plain, read_place
from scalebox_hpc.transfer.receipt import Receipt
from scalebox_hpc.transfer.removal import remove_source
from scalebox_hpc.transfer.task import Task
from scalebox_hpc.units import show_count, show_size

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a message asks for: the source, and the files of it where it names some."""

    source: Place
    relative: str  # below FROM; "" where the body is a place of its own
    names: tuple[str, ...] | None = None


def run(task: Task) -> None:
    """Copy, and send on what is at the target. Raises TransferFailed, UsageError."""
    wanted = read_body(task.body, task.place("FROM"))
    order = Order(
        source=wanted.source,
        target=_target(task, wanted),
        names=wanted.names,
        keep_source=task.flag("KEEP", True),
        checksum=task.headers.get("checksum", "") if wanted.names is None else "",
        verify_all=task.text("CHECK") == "all",
    )
    with opened(order, task.find_site, task.watch(), task.wish()) as move:
        outcome = copy(move) if order.keep_source else _move_away(task, move)
        _send(task, move, outcome)
        task.tell(summary(move, outcome), outcome.size_bytes, outcome.moved_bytes)


def _move_away(task: Task, move: Move) -> Outcome:
    """Copy, keep a receipt, remove; with the receipt of an earlier attempt, go on with what that has left."""
    receipt = Receipt(task, move.order.source, move.order.target)
    with move.only_one(str(receipt.path)):
        outcome = copy(move, _outcome_of(receipt.read()))
        receipt.write(asdict(outcome))
        remove_source(move, outcome)
    return outcome


def _outcome_of(done: dict[str, Any] | None) -> Outcome | None:
    return None if done is None else Outcome(**{**done, "files": [Copied(**each) for each in done["files"]]})


def read_body(body: str, base: Place | None) -> Wanted:
    """Read `SITE:PATH`, a path below FROM, or JSON of files: {"from": PLACE, "files": [...]} or "list".

    A list is a file of names, each ended by a NUL. Raises UsageError.
    """
    if body.startswith("{"):
        return _read_files(body, base)
    is_below = base is not None and is_relative(body)
    return Wanted(read_place(body, base), os.path.normpath(plain(body)) if is_below else "")


def _read_files(body: str, base: Place | None) -> Wanted:
    try:
        said = json.loads(body)
        source = read_place(said["from"]) if "from" in said else base
        if source is None:
            raise UsageError(f"{body}: nothing says from where", 'write "from", or env FROM')
        if "list" in said:
            data = Path(said["list"]).read_bytes()
            names = [os.fsdecode(name) for name in data.split(b"\0") if name]
        else:
            names = list(said["files"])
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{body} lists no files: {error!r}", 'write {"from": ..., "files": [...]}'
        ) from error
    except OSError as error:
        raise UsageError(f"{body}: {error}", "the list must be readable here") from error
    for name in names:
        if not isinstance(name, str) or name.startswith("/") or ".." in name.split("/") or not is_path(name):
            raise UsageError(f"{name!r} is no name below a directory", "write names relative to `from`")
    return Wanted(source, "", tuple(os.path.normpath(name) for name in names))


def _target(task: Task, wanted: Wanted) -> Place:
    """The header `sbx_target` names the copy itself, TO the directory that it goes into."""
    told = task.headers.get("sbx_target")
    directory = task.place("TO")
    if told:
        return read_place(told, directory)
    if directory is None:
        raise UsageError("nothing says where to", "write env = { TO = ... }, or send the header sbx_target")
    if wanted.names is not None:
        return directory
    return copy_in(directory, wanted.relative or wanted.source.name)


def _send(task: Task, move: Move, outcome: Outcome) -> None:
    """A message for each file that the order names, else one for the whole."""
    order = move.order
    if order.names is None:
        size = outcome.size_bytes
        headers = {"source": str(order.source), "size": str(size)}
        if outcome.is_directory:
            headers["files"] = str(len(outcome.files))
        else:
            headers.update(headers_of(outcome.files[0]))
        task.send(str(order.target), headers)
        return
    for each in sorted(outcome.files, key=lambda each: each.name):
        headers = {"source": str(order.source / each.name), **headers_of(each)}
        task.send(str(order.target / each.name), headers)


def headers_of(copied: Copied) -> dict[str, str]:
    """What is known of a file, as headers of a message; a time that no calendar has is left out."""
    found = {"size": str(copied.size_bytes)}
    try:
        when = _EPOCH + timedelta(microseconds=copied.mtime_ns // 1000)
        found["mtime"] = when.isoformat(timespec="microseconds").replace("+00:00", "Z")
    except OverflowError:
        pass
    return {**found, **({"checksum": copied.checksum} if copied.checksum else {})}


def summary(move: Move, outcome: Outcome) -> str:
    """One line for the report."""
    parts = [
        f"{move.link.way}: {show_count(len(outcome.files), 'file')}, {show_size(outcome.size_bytes)}",
        f"{show_size(outcome.moved_bytes)} moved",
    ]
    verified = {each.checksum.partition(":")[0] for each in outcome.files if each.checksum}
    if verified:
        parts[-1] += f", verified by {' and '.join(sorted(verified))}"
    if outcome.resumed_bytes:
        parts.append(f"{show_size(outcome.resumed_bytes)} of it were there from an earlier try")
    if outcome.removed:
        parts.append(f"{outcome.removed} removed at the source")
    return "; ".join(parts)
