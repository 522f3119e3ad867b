"""The standard module `checksum`: the checksum of a file, computed where it lies, or of all in a manifest."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from typing import Final

from scalebox_hpc.errors import UsageError
from scalebox_hpc.transfer.causes import Cause, TransferFailed, some
from scalebox_hpc.transfer.copy import Copied
from scalebox_hpc.transfer.copying import headers_of
from scalebox_hpc.transfer.ends import Known
from scalebox_hpc.transfer.opening import end_at
from scalebox_hpc.transfer.place import Place, read_place
from scalebox_hpc.transfer.plan import algorithm, batches
from scalebox_hpc.transfer.task import Task
from scalebox_hpc.units import show_count, show_size

_GNU: Final = re.compile(r"(?P<escaped>\\?)(?:XXH3_)?(?P<hex>[0-9a-f]+) [ *](?P<name>.+)")
_BSD: Final = re.compile(r"(?P<escaped>\\?)(?:SHA256|XXH3|BLAKE3) \((?P<name>.+)\) = (?P<hex>[0-9a-f]+)")
_NAMES: Final = {"XXH3": "xxh3", "SHA256": "sha256", "BLAKE3": "blake3"}


def run(task: Task) -> None:
    """Verify, and send on what is right. Raises TransferFailed, UsageError."""
    place = read_place(task.body, task.place("FROM"))
    end = end_at(place.site, task.find_site)
    try:
        if task.text("MANIFEST"):
            _verify_all(task, end, place)
        else:
            _one(task, end, place)
    finally:
        end.close()


def _one(task: Task, end: Known, place: Place) -> None:
    expected = task.headers.get("checksum", "")
    wished, _, known = expected.partition(":")
    wished = wished or task.text("ALGORITHM")
    here = end.facts["algorithms"]
    chosen = wished or algorithm(here, here)
    _need(end, chosen)
    path = end.full(place.path)
    (shown,) = end.ask("look", [path])
    if shown is None:
        raise TransferFailed(Cause.MISSING, f"{end.title}: there is no {path}")
    if shown[0] != "f":
        raise UsageError(f"{place} is no file", "name a file, or give a MANIFEST for a directory")
    (found,) = end.ask("digest", chosen, posixpath.dirname(path), [posixpath.basename(path)])
    if known and found != known:
        fact = f"{end.title}: {path} is {chosen}:{found}, and should be {expected}"
        raise TransferFailed(Cause.CHECKSUM, fact)
    headers = headers_of(Copied("", shown[1], shown[2], f"{chosen}:{found}"))
    size = shown[1]
    task.send(str(place), headers)
    task.tell(f"{'verified' if known else 'computed'} {chosen}:{found}, {show_size(size)}", size, 0)


def _need(end: Known, chosen: str) -> None:
    """Raise TransferFailed where an end cannot compute that."""
    here = end.facts["algorithms"]
    if chosen not in here:
        fact = f"{end.title} cannot compute {chosen!r}, only {', '.join(here)}"
        raise TransferFailed(Cause.TOOL, fact, "install xxhsum or b3sum there, or use sha256")


def _verify_all(task: Task, end: Known, place: Place) -> None:
    manifest = read_place(task.text("MANIFEST"), place)
    if manifest.site != place.site:
        raise UsageError(f"the manifest {manifest} is at another site than {place}", "copy it there first")
    lines = end.ask("lines", end.full(manifest.path))
    chosen, expected = read_manifest(lines, task.text("ALGORITHM"))
    _need(end, chosen)
    root, bad, gone = end.full(place.path), [], []
    for batch in batches(list(expected)):
        for name, found in zip(batch, end.ask("digest", chosen, root, list(batch)), strict=True):
            if found is None:
                gone.append(name)
            elif found != expected[name]:
                bad.append(name)
    if bad or gone:
        cause = Cause.CHECKSUM if bad else Cause.MISSING
        raise TransferFailed(
            cause, f"{place}: {_told('wrong', bad)}{_told('missing', gone)}of {len(expected)}"
        )
    task.send(str(place), {**task.headers, "files": str(len(expected))})
    task.tell(f"verified {show_count(len(expected), 'file')} by {chosen}", 0, 0)


def _told(what: str, names: Sequence[str]) -> str:
    return f"{len(names)} {what} ({some(names)}) " if names else ""


def read_manifest(lines: Sequence[str], usual: str = "") -> tuple[str, dict[str, str]]:
    """The algorithm of a manifest, and the checksum of each name, as sha256sum, xxhsum and b3sum write them.

    Lines that do not say which are of the `usual` one, else of xxh3 or sha256 by their length. Raises
    UsageError.
    """
    found: dict[str, str] = {}
    kinds: set[str] = set()
    for number, line in enumerate(lines, start=1):
        match = _BSD.fullmatch(line) or _GNU.fullmatch(line)
        if match is None:
            raise UsageError(f"line {number} of the manifest is none: {line!r}", "write `HEX  NAME`")
        name = match["name"]
        if match["escaped"]:
            name = re.sub(r"\\(.)", lambda each: {"n": "\n", "r": "\r"}.get(each[1], each[1]), name)
        found[name.removeprefix("./")] = match["hex"]
        kinds.add(_kind(line, match["hex"], usual))
    if len(kinds) != 1:
        raise UsageError(f"the manifest has {len(kinds)} kinds of checksums", "write one for each kind")
    return kinds.pop(), found


def _kind(line: str, hex_: str, usual: str) -> str:
    said = line.removeprefix("\\").split(" ")[0].split("_")[0]
    return _NAMES.get(said) or usual or ("xxh3" if len(hex_) == 16 else "sha256")
