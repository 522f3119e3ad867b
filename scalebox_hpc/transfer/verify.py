"""Whether what lies at the target is what lies at the source: checksums on both ends, computed at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scalebox_hpc.transfer.causes import Cause, TransferFailed, some
from scalebox_hpc.transfer.ends import Known
from scalebox_hpc.transfer.meanwhile import Meanwhile
from scalebox_hpc.transfer.plan import Entry, same_time


@dataclass(frozen=True, slots=True)
class Pair:
    """One file as both ends see it after a copy."""

    before: Entry  # the source, as it was when the copy began
    source: str | None  # its checksum afterwards; None: it is gone
    target: str | None
    after: Entry | None  # the source, once its checksum was computed

    @property
    def vanished(self) -> bool:
        """Whether the source went away."""
        return self.source is None or self.after is None

    @property
    def changed(self) -> bool:
        """Whether the source is not what it was when the copy began."""
        return self.after is None or not (
            self.after.kind == self.before.kind
            and self.after.size_bytes == self.before.size_bytes
            and same_time(self.after.mtime_ns, self.before.mtime_ns)
        )

    @property
    def is_equal(self) -> bool:
        """Whether the target has what the source has."""
        return self.source is not None and self.source == self.target


def compare(
    source: tuple[Known, str, Sequence[Entry]],
    target: tuple[Known, str, Sequence[str]],
    algorithm: str,
    follow: bool = False,
) -> list[Pair]:
    """Compute the checksums of files on both ends: below a root each, names and entries in one order."""
    near, near_root, entries = source
    far, far_root, far_names = target
    names = [each.name for each in entries]
    theirs = Meanwhile(lambda: far.ask("digest", algorithm, far_root, list(far_names), not follow))
    ours = near.ask("digest", algorithm, near_root, names, not follow)
    sums = (ours, theirs.result())
    after: list[Any]
    if follow:
        after = near.ask("look", [f"{near_root}/{name}" for name in names])
    else:
        after = near.ask("survey", near_root, names)
    return [
        Pair(each, one, other, None if now is None else Entry(each.name, *now))
        for each, one, other, now in zip(entries, *sums, after, strict=True)
    ]


def refuse_same(
    source: tuple[Known, str, Sequence[str]], copy: tuple[Known, str, Sequence[str]], follow: bool = False
) -> None:
    """Raise TransferFailed where files below two roots, in one order, are the same: then there is no copy.

    Two places may be one: a directory that two sites mount, a link on the way to it, a hard link.
    """
    (_, root, names), (_, copy_root, _) = source, copy
    ours, theirs = (end.ask("identity", at, list(below), follow) for end, at, below in (source, copy))
    same = [name for name, one, other in zip(names, ours, theirs, strict=True) if one and one == other]
    if same:
        fact = f"{root} and {copy_root} are the same files: nothing was deleted of {some(same)}"
        raise TransferFailed(Cause.OTHER, fact, "there is one copy only, and it stays")
