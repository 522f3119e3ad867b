"""The end of a move: the source goes away where its copy was verified, is on the disk, and is another."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import replace

from scalebox_hpc.transfer.causes import Cause, TransferFailed, some
from scalebox_hpc.transfer.copy import Copied, Move, Outcome
from scalebox_hpc.transfer.ends import Known
from scalebox_hpc.transfer.plan import Entry, batches
from scalebox_hpc.transfer.verify import refuse_same


def remove_source(move: Move, outcome: Outcome) -> None:
    """Remove what came of a copy at its source, and of a whole directory the directories that are empty then.

    What is gone already was removed by an earlier try. Raises TransferFailed.
    """
    root, copy_root, files = move.source_path, move.target_path, outcome.files
    copies = [each.name for each in files]
    is_alone = copies == [""]
    if is_alone:
        (root, name), (copy_root, copies[0]) = posixpath.split(root), posixpath.split(copy_root)
        files = [replace(files[0], name=name)]
    if not (is_alone and outcome.moved_bytes):  # such a one went to the disk by itself
        move.target.ask("settle", move.target_path)
    names = [each.name for each in files]
    for ours, theirs in zip(batches(names), batches(copies), strict=True):
        refuse_same((move.source, root, ours), (move.target, copy_root, theirs), follow=is_alone)
    remove_verified(move.source, root, files)
    outcome.removed = len(files)
    if outcome.directories:
        move.source.ask("prune", move.source_path, outcome.directories)


def remove_verified(end: Known, root: str, files: Sequence[Copied | Entry]) -> None:
    """Remove those files that are what they were when they were verified, or gone. Raises TransferFailed."""
    left: list[str] = []
    for batch in batches(files):
        left += end.ask("remove", root, [[each.name, each.size_bytes, each.mtime_ns] for each in batch])
    if left:
        fact = f"{end.title}: not removed from {root}, for it changed after it was verified: {some(left)}"
        raise TransferFailed(Cause.CHANGED, fact)
