"""The standard module `delete`: what was copied goes away where it came from, once both are the same.

Nothing is deleted unless all of it is at the copy, by checksum, and the two are not one by another way.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

from scalebox_hpc.errors import UsageError
from scalebox_hpc.transfer.causes import Cause, TransferFailed, some
from scalebox_hpc.transfer.copying import read_body
from scalebox_hpc.transfer.ends import Known
from scalebox_hpc.transfer.opening import end_at
from scalebox_hpc.transfer.place import Place, read_place
from scalebox_hpc.transfer.plan import Entry, algorithm, batches, entry
from scalebox_hpc.transfer.removal import remove_verified
from scalebox_hpc.transfer.task import Task
from scalebox_hpc.transfer.verify import compare, refuse_same
from scalebox_hpc.units import show_count, show_size


@dataclass(frozen=True, slots=True)
class Doomed:
    """What is to go, below a root: files, links, and of a whole directory those that are then empty."""

    root: str
    files: list[Entry]
    copy_root: str
    copies: list[str]  # the name of each file's copy
    directories: list[str]


def run(task: Task) -> None:
    """Delete the source of the copy that the body names. Raises TransferFailed, UsageError."""
    wanted = read_body(task.body, task.place("FROM"))
    told = task.headers.get("source") or task.text("SOURCE")
    if not told:
        hint = "send what `copy` or `unpack` sent, or the header source"
        raise UsageError("nothing says what is to be deleted", hint)
    gone = read_place(told)
    ends = {name: end_at(name, task.find_site) for name in {gone.site, wanted.source.site}}
    source, copy = ends[gone.site], ends[wanted.source.site]
    try:
        doomed = _doomed(source, gone, copy, wanted.source, wanted.names)
        is_file = wanted.names is None and not doomed.directories
        _verify(source, copy, doomed, task.headers.get("checksum", "") if is_file else "")
        _delete(source, copy, doomed)
    finally:
        for end in ends.values():
            end.close()
    size = sum(each.size_bytes for each in doomed.files)
    task.send(task.body, task.headers)
    task.tell(f"{show_count(len(doomed.files), 'file')} deleted in {gone}, {show_size(size)}", 0, 0)


def _doomed(source: Known, gone: Place, copy: Known, kept: Place, names: Sequence[str] | None) -> Doomed:
    """Find what is there; a source that is not was deleted by an earlier try."""
    root, copy_root = source.full(gone.path), copy.full(kept.path)
    (found,), (there,) = source.ask("look", [root]), copy.ask("look", [copy_root])
    if there is None:
        raise TransferFailed(Cause.MISSING, f"{copy.title}: there is no {copy_root}: nothing was deleted")
    if found is None:
        return Doomed(root, [], copy_root, [], [])
    if found[0] != there[0] or found[0] not in "fd":
        raise TransferFailed(Cause.CHECKSUM, f"{gone} and {kept} are not both files or both directories")
    if found[0] == "f":
        (folder, name), (copy_folder, copy_name) = posixpath.split(root), posixpath.split(copy_root)
        return Doomed(folder, [entry(name, found)], copy_folder, [copy_name], [])
    entries = [Entry(*each) for each in source.ask("walk", root)]
    chosen = None if names is None else set(names)
    wanted = [each for each in entries if chosen is None or (each.kind != "d" and each.name in chosen)]
    copies = {each[0]: each[1] for each in copy.ask("walk", copy_root)}
    lacking = [each.name for each in wanted if each.kind == "o" or copies.get(each.name) != each.kind]
    if lacking:
        fact = f"{copy.title}: not in {copy_root}: {some(lacking)}: nothing was deleted"
        raise TransferFailed(Cause.MISSING, fact)
    files = [each for each in wanted if each.kind != "d"]
    directories = [each.name for each in wanted if each.kind == "d"]
    return Doomed(root, files, copy_root, [each.name for each in files], directories)


def _verify(source: Known, copy: Known, doomed: Doomed, checksum: str) -> None:
    """Read all of both. Raises TransferFailed unless they are two, and the same."""
    hashed = algorithm(source.facts["algorithms"], copy.facts["algorithms"], checksum.partition(":")[0])
    pairs = list(zip(doomed.files, doomed.copies, strict=True))
    for batch in batches(pairs):
        files, copies = [each for each, _ in batch], [name for _, name in batch]
        names = [each.name for each in files]
        refuse_same((source, doomed.root, names), (copy, doomed.copy_root, copies))
        near, far = (source, doomed.root, files), (copy, doomed.copy_root, copies)
        found = compare(near, far, hashed)
        bad = [pair.before.name for pair in found if not pair.is_equal or pair.changed or pair.vanished]
        if bad:
            fact = f"{copy.title}: {doomed.copy_root} is not the same in {some(bad)}: nothing was deleted"
            raise TransferFailed(Cause.CHECKSUM, fact)
        told = {f"{hashed}:{pair.source}" for pair in found}
        if checksum.startswith(f"{hashed}:") and told != {checksum}:
            fact = f"{source.title}: {doomed.root}/{names[0]} is not {checksum}: nothing was deleted"
            raise TransferFailed(Cause.CHECKSUM, fact)


def _delete(source: Known, copy: Known, doomed: Doomed) -> None:
    if not doomed.files and not doomed.directories:
        return
    copy.ask("settle", doomed.copy_root)
    remove_verified(source, doomed.root, doomed.files)
    source.ask("prune", doomed.root, doomed.directories)
