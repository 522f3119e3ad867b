"""The standard module `list`: what is in a directory becomes messages, one each or one for many files."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from scalebox_hpc.errors import UsageError
from scalebox_hpc.transfer.causes import Cause, TransferFailed
from scalebox_hpc.transfer.copy import Copied
from scalebox_hpc.transfer.copying import headers_of
from scalebox_hpc.transfer.ends import Known
from scalebox_hpc.transfer.opening import end_at
from scalebox_hpc.transfer.place import Place, is_relative, read_place, written
from scalebox_hpc.transfer.plan import Entry
from scalebox_hpc.transfer.sizing import cut, read_sizes
from scalebox_hpc.transfer.task import Message, Task
from scalebox_hpc.units import show_size


class Kind(StrEnum):
    """What is listed."""

    FILES = "files"  # and links, which are headed `kind: link`
    DIRECTORIES = "directories"


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of the things in a directory are meant."""

    kind: Kind = Kind.FILES
    pattern: re.Pattern[str] | None = None  # searched in the name relative to the directory
    depth: int | None = None  # 1: only what lies in the directory itself

    def takes(self, entry: Entry) -> bool:
        """Whether this is one of them."""
        kinds = "fl" if self.kind is Kind.FILES else "d"
        if not entry.name or entry.kind not in kinds:
            return False
        if self.depth is not None and entry.name.count("/") >= self.depth:
            return False
        return self.pattern is None or self.pattern.search(entry.name) is not None


def run(task: Task) -> None:
    """List the directory that the body names. Raises TransferFailed, UsageError."""
    choice, sizes = read_choice(task), read_sizes(task)
    base = task.place("DIR")
    root = read_place(task.body, base)
    end = end_at(root.site, task.find_site)
    try:
        found = list_directory(end, root, choice)
    finally:
        end.close()
    if task.flag("SHARDS", False):
        if choice.kind is not Kind.FILES:
            raise UsageError("SHARDS are of files", "leave KIND out")
        messages = _shards(task, root, cut(found, sizes))
    else:
        messages = _one_each(root, _relative_to(task, root, base), found)
    task.send_all(messages)
    total = sum(each.size_bytes for each in found)
    task.tell(f"{len(found)} {choice.kind} in {root}, {show_size(total)}", 0, 0)


def read_choice(task: Task) -> Choice:
    """What KIND, FILTER and DEPTH say. Raises UsageError."""
    kind, pattern, depth = task.text("KIND") or Kind.FILES, task.text("FILTER"), task.text("DEPTH")
    if kind not in set(Kind):
        raise UsageError(f"KIND = {kind!r}: nothing of that kind is listed", f"one of {', '.join(Kind)}")
    if depth and not (depth.isascii() and depth.isdigit() and int(depth)):
        raise UsageError(f"DEPTH = {depth!r} is no depth", "write 1 for what lies in the directory itself")
    try:
        compiled = re.compile(pattern) if pattern else None
    except re.error as error:
        raise UsageError(
            f"FILTER = {pattern!r} is no regular expression: {error}", r"as in \.fits$"
        ) from error
    return Choice(Kind(kind), compiled, int(depth) if depth else None)


def list_directory(end: Known, root: Place, choice: Choice) -> list[Entry]:
    """Return what is chosen of a directory and all below it, ordered by name. Raises TransferFailed."""
    path = end.full(root.path)
    (shown,) = end.ask("look", [path])
    if shown is None:
        raise TransferFailed(Cause.MISSING, f"{end.title}: there is no {path}")
    if shown[0] != "d":
        raise TransferFailed(Cause.USAGE, f"{end.title}: {path} is no directory", "list what it lies in")
    entries = (Entry(*each) for each in end.ask("walk", path))
    return sorted(filter(choice.takes, entries), key=lambda each: each.name)


def _relative_to(task: Task, root: Place, base: Place | None) -> str | None:
    """What stands before a name for it to be relative to DIR; None where bodies are whole places."""
    if not task.flag("RELATIVE", False):
        return None
    if base is None or base == root:
        return ""
    if (base.site, root.path[: len(base.path) + 1]) != (root.site, base.path + "/"):
        raise UsageError(f"{root} is not below DIR, {base}", "leave RELATIVE out, or DIR")
    return root.path[len(base.path) + 1 :] + "/"


def _one_each(root: Place, before: str | None, found: Sequence[Entry]) -> Iterator[Message]:
    for each in found:
        body = str(root / each.name) if before is None else _below(before + each.name)
        headers = headers_of(Copied(each.name, each.size_bytes, each.mtime_ns, ""))
        if each.kind == "l":
            headers["kind"] = "link"
        yield body, headers


def _below(name: str) -> str:
    """A name as a body: after `./` where it would be read as a place at a site or at home, or as JSON."""
    body = written(name)
    return body if is_relative(body) and not body.startswith("{") else written(f"./{name}")


def _shards(task: Task, root: Place, parts: Sequence[Sequence[Entry]]) -> Iterator[Message]:
    """Write the names of each part into a file, and send what `copy` and `pack` read."""
    folder = Path(task.text("SBX_SHARED") or task.work)
    own = f"{task.text('SBX_TASK') or 'list'}-{task.text('SBX_ATTEMPT') or '1'}"
    for number, part in enumerate(parts, 1):
        path = folder / f"{own}-{number:05d}.names"
        path.write_bytes(b"".join(os.fsencode(each.name) + b"\0" for each in part))
        body = json.dumps({"from": str(root), "list": str(path)})
        size = sum(each.size_bytes for each in part)
        yield body, {"files": str(len(part)), "size": str(size)}
