"""The standard module `unpack`: an archive of `pack`, or another .tar.zst, unpacked at its site.

It is unpacked into a hidden directory first; what is as the archive's manifest says gets its name.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from scalebox_hpc.errors import UsageError
from scalebox_hpc.transfer.causes import Cause, TransferFailed, cause_of_command, some
from scalebox_hpc.transfer.ends import Known
from scalebox_hpc.transfer.opening import end_at
from scalebox_hpc.transfer.packing import HASH, need_tools
from scalebox_hpc.transfer.place import Place, read_place
from scalebox_hpc.transfer.plan import Entry, batches, folder
from scalebox_hpc.transfer.receipt import Receipt
from scalebox_hpc.transfer.summing import read_manifest
from scalebox_hpc.transfer.task import Task
from scalebox_hpc.units import show_count, show_size


def run(task: Task) -> None:
    """Unpack the archive that the body names. Raises TransferFailed, UsageError."""
    archive, target = read_place(task.body, task.place("FROM")), task.place("TO")
    if target is None:
        raise UsageError("nothing says where the files go", 'write env = { TO = "SITE:DIRECTORY" }')
    if target.site != archive.site:
        hint = "let `copy` move the archive, and unpack it there"
        raise UsageError(f"{archive} and {target} are at two sites", hint)
    receipt = Receipt(task, archive, target)
    end = end_at(target.site, task.find_site)
    try:
        need_tools(end)
        done = None if _is_there(end, archive) else receipt.read()
        count, size = done or _unpacked(end, archive, target, task.headers.get("checksum", ""))
        if not task.flag("KEEP", True):
            end.ask("settle", end.full(target.path))
            receipt.write([count, size])
            end.ask("drop", end.full(archive.path))
    finally:
        end.close()
    headers = {"source": task.headers.get("source", str(archive)), "archive": str(archive)}
    task.send(str(target), {**headers, "files": str(count), "size": str(size)})
    task.tell(f"{show_count(count, 'file')}, {show_size(size)}", size, size)


def _is_there(end: Known, place: Place) -> bool:
    (shown,) = end.ask("look", [end.full(place.path)])
    return shown is not None


def _unpacked(end: Known, archive: Place, target: Place, checksum: str) -> tuple[int, int]:
    """Unpack; return how many files there are, and their bytes."""
    files = [each for each in unpack(end, archive, target, checksum) if each.kind != "d"]
    return len(files), sum(each.size_bytes for each in files)


def unpack(end: Known, archive: Place, target: Place, checksum: str) -> list[Entry]:
    """Unpack and verify; return what was in it. Raises TransferFailed."""
    path, root = end.full(archive.path), end.full(target.path)
    (shown,) = end.ask("look", [path])
    if shown is None:
        raise TransferFailed(Cause.MISSING, f"{end.title}: there is no {path}")
    _check_archive(end, path, checksum)
    temporary = posixpath.join(root, folder(archive, target))
    exit_code, said, manifest = end.ask("unpack_archive", path, temporary)
    try:
        if exit_code:
            raise TransferFailed(cause_of_command(exit_code, said), f"{end.title}: {path}: tar: {said}")
        found = [Entry(*each) for each in end.ask("walk", temporary)]
        found = [each for each in found if each.name]
        _refuse_odd(end, path, found)
        if manifest is not None:
            _check_files(end, path, temporary, found, manifest)
        told = [[each.name, each.kind, each.mtime_ns, each.mode] for each in found]
        end.ask("adopt", temporary, root, told)
    except TransferFailed:
        end.ask("drop", temporary)
        raise
    return found


def _check_archive(end: Known, path: str, checksum: str) -> None:
    if not checksum:
        return
    hashed, _, wanted = checksum.partition(":")
    if hashed not in end.facts["algorithms"]:
        raise TransferFailed(
            Cause.TOOL, f"{end.title}: nothing there computes {hashed}", "leave the header checksum out"
        )
    root, name = posixpath.split(path)
    (is_now,) = end.ask("digest", hashed, root, [name])
    if is_now != wanted:
        raise TransferFailed(
            Cause.CHECKSUM, f"{end.title}: {path} is {hashed}:{is_now}, and should be {checksum}"
        )


def _refuse_odd(end: Known, path: str, found: Sequence[Entry]) -> None:
    odd = [each.name for each in found if each.kind == "o"]
    if odd:
        raise TransferFailed(Cause.OTHER, f"{end.title}: {path} holds what is no file: {', '.join(odd[:5])}")


def _check_files(end: Known, path: str, temporary: str, found: Sequence[Entry], manifest: str) -> None:
    """Compare all files with the manifest. Raises TransferFailed."""
    try:
        _, wanted = read_manifest(manifest.removesuffix("\n").split("\n")) if manifest else (HASH, {})
    except UsageError as error:
        raise TransferFailed(Cause.CHECKSUM, f"{end.title}: {path}: {error.fact}") from error
    names = [each.name for each in found if each.kind == "f"]
    wrong = set(names) ^ set(wanted)
    for batch in batches(names):
        sums = end.ask("digest", HASH, temporary, list(batch), True)
        wrong |= {name for name, is_now in zip(batch, sums, strict=True) if is_now != wanted.get(name)}
    if wrong:
        fact = f"{end.title}: {path}: not as its manifest says: {some(sorted(wrong))}"
        raise TransferFailed(Cause.CHECKSUM, fact)
