"""The end of a move: the source goes away where its copy was verified, is on the disk, and is another."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Final

from scalebox_hpc.transfer.causes import Cause, TransferFailed
from scalebox_hpc.transfer.copy import Copied, Move, Outcome
from scalebox_hpc.transfer.plan import batches
from scalebox_hpc.transfer.verify import refuse_same

_AT_ONCE: Final = 5000  # files of one question


def remove_source(move: Move, outcome: Outcome) -> None:
    """Remove what came of a copy at its source, and of a whole directory the directories that are empty then.

    What is gone already was removed by an earlier try. Raises TransferFailed.
    """
    is_alone = [each.name for each in outcome.files] == [""]
    if not (is_alone and outcome.moved_bytes):  # such a one went to the disk by itself
        move.target.ask("settle", move.target_path)
    for batch in batches(outcome.files, _AT_ONCE):
        outcome.removed += _remove(move, batch, is_alone)
    if outcome.directories:
        move.source.ask("prune", move.source_path, outcome.directories)


def _remove(move: Move, files: Sequence[Copied], is_alone: bool) -> int:
    root, copy_root = move.source_path, move.target_path
    names, copies = [each.name for each in files], [each.name for each in files]
    if is_alone:
        (root, names[0]), (copy_root, copies[0]) = posixpath.split(root), posixpath.split(copy_root)
    refuse_same((move.source, root, names), (move.target, copy_root, copies), follow=is_alone)
    known = [[name, each.size_bytes, each.mtime_ns] for name, each in zip(names, files, strict=True)]
    left = move.source.ask("remove", root, known)
    if left:
        fact = f"not removed, for it changed after it was copied: {', '.join(map(repr, left[:5]))}"
        raise TransferFailed(Cause.CHANGED, f"{move.source.title}: {fact}")
    return len(known)
