"""One transfer: a file, a directory, or files of one by name; copied and verified.

A file of some size is filled under a name in a hidden directory beside its target, so the same transfer
goes on where it broke off; it gets its own name once its checksum is that of the source.
"""

from __future__ import annotations

import functools
import posixpath
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, TypeVar

from scalebox_hpc.transfer.causes import Cause, TransferFailed
from scalebox_hpc.transfer.link import Link, Piece
from scalebox_hpc.transfer.place import Place, lies_in
from scalebox_hpc.transfer.plan import Entry, algorithm, entry, folder, mode_for, version
from scalebox_hpc.transfer.progress import Watch
from scalebox_hpc.transfer.rsync import Mode
from scalebox_hpc.transfer.verify import Pair, compare

ROUNDS: Final = 3  # times that a file is copied which changes, or does not arrive whole
_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 30.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be moved where. Paths of places may begin with `~`."""

    source: Place
    target: Place  # the copy itself, not the directory that it lies in
    names: tuple[str, ...] | None = None  # files below `source`; None: that itself, with all that is in it
    keep_source: bool = True  # otherwise `remove_source` follows: all is verified, and put on the disk
    streams: int = 4
    checksum: str = ""  # ALGORITHM:HEX that the source, a file, should have
    verify_all: bool = False  # also what was there already, by its size and time
    patience_s: float = 600.0  # a broken link is tried again for so long without a byte


@dataclass(frozen=True, slots=True)
class Copied:
    """One file that is at its target."""

    name: str  # relative to the order's places; "" for these themselves
    size_bytes: int
    mtime_ns: int
    checksum: str  # ALGORITHM:HEX; "" where nobody looked: it was there, by size and time


@dataclass(slots=True)
class Outcome:
    """What came of a transfer."""

    files: list[Copied]
    directories: list[str] = field(default_factory=list)  # of the source, where that is one as a whole
    is_directory: bool = False
    moved_bytes: int = 0  # of files that went over now
    resumed_bytes: int = 0  # of these, what an earlier try had left
    removed: int = 0  # files at the source

    @property
    def size_bytes(self) -> int:
        """Bytes in all, moved now or there before."""
        return sum(each.size_bytes for each in self.files)


@dataclass(frozen=True, slots=True)
class _Single:
    """One file at both ends."""

    name: str  # relative to the order's places
    source: str
    target: str
    lock: int | None  # held until all that write it have ended
    follow: bool  # where the source is a link: what it leads to


class Slots(Protocol):
    """The right to use the link, which several transfers share."""

    def one(self, stop: threading.Event | None = None) -> AbstractContextManager[None]:
        """Hold one stream."""

    def alone(self, what: str, stop: threading.Event | None = None) -> AbstractContextManager[int | None]:
        """Be the only one that does something; gives the file descriptor of a lock, if there is one."""


class Move:
    """What a transfer works with: two ends, the link between them, an order."""

    def __init__(self, order: Order, link: Link, slots: Slots, watch: Watch) -> None:
        self.order, self.link, self.watch = order, link, watch
        self.source, self.target = link.source, link.target
        self.stop, self.counting = threading.Event(), threading.Lock()
        self._slots = slots
        self.source_path = self.source.full(order.source.path)
        self.target_path = self.target.full(order.target.path)

    @functools.cached_property
    def algorithm(self) -> str:
        """What both ends verify by."""
        wished = self.order.checksum.partition(":")[0]
        chosen = algorithm(self.source.facts["algorithms"], self.target.facts["algorithms"], wished)
        if wished not in ("", chosen):
            fact = f"{self.source.title} and {self.target.title} do not both compute {wished!r}"
            raise TransferFailed(Cause.TOOL, fact, "install it there, or leave the header checksum out")
        return chosen

    @property
    def delay_s(self) -> float:
        """How long a question takes from one end to the other and back."""
        return self.patiently(lambda: self.source.delay_s + self.target.delay_s)

    def aim(self, target: Place) -> None:
        """Copy to that place of the same site instead."""
        self.order = replace(self.order, target=target)
        self.target_path = self.target.full(target.path)

    def also(self, order: Order) -> Move:
        """Another order between the same two ends, over the same link."""
        return Move(replace(order, streams=self.order.streams), self.link, self._slots, self.watch)

    def patiently(self, do: Callable[[], T]) -> T:
        """Do it, and again while the link is broken; what is gained in between renews the patience.

        A site that never answered is not waited for.
        """
        heard, wait_s = self.watch.heard, _FIRST_WAIT_S
        until_s = time.monotonic() + self.order.patience_s
        while True:
            try:
                return do()
            except TransferFailed as failure:
                if self.watch.heard != heard:
                    heard, wait_s = self.watch.heard, _FIRST_WAIT_S
                    until_s = time.monotonic() + self.order.patience_s
                was_there = self.source.end.was_there and self.target.end.was_there
                if failure.cause is not Cause.NETWORK or not was_there or time.monotonic() + wait_s > until_s:
                    raise
                if self.stop.wait(wait_s):
                    raise
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def move(self, piece: Piece, name: str, size_bytes: int) -> None:
        """Run one stream, within the limit of them, for what is to be so large at the target."""
        try:
            with self._slots.one(self.stop):
                self.link.move(piece, lambda done: self.watch.report(name, piece.had_bytes + done))
        except TransferFailed as failure:
            if failure.cause is Cause.OTHER and not self.stop.is_set():  # its last words may get lost
                self.target.ask("fits", posixpath.dirname(piece.target), size_bytes - piece.had_bytes)
            raise

    def alone(
        self, source: str, target: str, names: Sequence[str] = ()
    ) -> AbstractContextManager[int | None]:
        """Be the only try of a transfer: each would write into the temporary files of the other."""
        return self.only_one(self._folder(source, target, names))

    def only_one(self, what: str) -> AbstractContextManager[int | None]:
        """Be the only transfer on this machine that does something, waiting for it."""
        return self._slots.alone(what, self.stop)

    def _folder(self, source: str, target: str, names: Sequence[str] = ()) -> str:
        return folder(Place(self.source.key, source), Place(self.target.key, target), names)

    def one(self, name: str, new: Entry, outcome: Outcome, follow: bool = False) -> Copied:
        """Copy one file; `name` is relative to the order's places. Raises TransferFailed."""
        source, target = (
            posixpath.join(root, name) if name else root for root in (self.source_path, self.target_path)
        )
        with self.alone(source, target) as lock:
            return self._one(_Single(name, source, target, lock, follow), new, outcome)

    def _one(self, single: _Single, new: Entry, outcome: Outcome) -> Copied:
        (shown,) = self.target.ask("look", [single.target])
        old = None if shown is None else entry(single.name, shown)
        if old is not None and old.kind == "d":
            hint = "name the copy itself, or remove what is there"
            raise TransferFailed(Cause.OTHER, f"{self.target.title}: {single.target} is a directory", hint)
        for _ in range(ROUNDS):
            is_there = new.is_same(old)
            place = single.target if is_there else self._fill(single, new, old, outcome)
            pair = self._compare(single, place, new)
            if pair.vanished:
                raise TransferFailed(Cause.MISSING, f"{self.source.title}: {single.source} went away")
            if pair.is_equal and not pair.changed:
                return self._accept(single, place, new, old, f"{self.algorithm}:{pair.source}", outcome)
            if not is_there and not pair.changed:
                self.target.ask("drop", posixpath.dirname(place))
            assert pair.after is not None
            old, new, last = None, pair.after, pair
        if last.changed:
            fact = f"{self.source.title}: {single.source} changed while it was copied"
            raise TransferFailed(Cause.CHANGED, fact)
        raise TransferFailed(
            Cause.CHECKSUM,
            f"{single.target} came out as {last.target}, {single.source} is {last.source} ({self.algorithm})",
        )

    def _accept(
        self, single: _Single, place: str, new: Entry, old: Entry | None, checksum: str, outcome: Outcome
    ) -> Copied:
        """Give a copy that is right its name, and one that was there before the mode of its source."""
        is_there = place == single.target
        if self.order.checksum not in ("", checksum):
            if not is_there:
                self.target.ask("drop", posixpath.dirname(place))
            fact = f"{single.source} is {checksum}, and should be {self.order.checksum}"
            raise TransferFailed(Cause.CHECKSUM, f"{self.source.title}: {fact}")
        if not is_there:
            is_durable = not self.order.keep_source
            self.target.ask("finish", place, single.target, new.mtime_ns, new.mode, is_durable)
            with self.counting:
                outcome.moved_bytes += new.size_bytes
        elif old is not None and old.mode != new.mode:
            root, name = posixpath.split(place)
            self.target.ask("dress", root, [[name, new.mtime_ns, new.mode]])
        self.watch.report(single.name, new.size_bytes)
        return Copied(single.name, new.size_bytes, new.mtime_ns, checksum)

    def _fill(self, single: _Single, new: Entry, old: Entry | None, outcome: Outcome) -> str:
        """Bring a file over under its temporary name; return that."""
        mode = mode_for(new, old, self.link.way)
        own = self._folder(single.source, single.target)
        temporary = posixpath.join(posixpath.dirname(single.target), own, version(new, mode))
        base = single.target if mode is Mode.DELTA else ""
        first = True

        def fill() -> None:
            nonlocal first
            had = int(self.target.ask("begin", temporary, new.size_bytes, base))
            if mode is Mode.APPEND and first:
                with self.counting:
                    outcome.resumed_bytes += had
            first = False
            had = had if mode is Mode.APPEND else 0
            self.watch.report(new.name, had)
            now = Mode.WHOLE if mode is Mode.APPEND and had == 0 else mode
            piece = Piece(single.source, temporary, now, file=new, had_bytes=had, lock=single.lock)
            self.move(piece, new.name, new.size_bytes)

        self.patiently(fill)
        return temporary

    def _compare(self, single: _Single, place: str, new: Entry) -> Pair:
        root, name = posixpath.split(single.source)
        far_root, far_name = posixpath.split(place)
        there = Entry(name, new.kind, new.size_bytes, new.mtime_ns, new.mode)

        def compared() -> list[Pair]:
            near = (self.source, root, [there])
            return compare(near, (self.target, far_root, [far_name]), self.algorithm, single.follow)

        (pair,) = self.patiently(compared)
        return pair


def copy(move: Move, earlier: Outcome | None = None) -> Outcome:
    """Do what the order says, but the removal. Raises TransferFailed.

    Args:
        earlier: what an earlier try found to be copied before it removed some of that at the source.
    """
    from scalebox_hpc.transfer.tree import copy_tree

    order = move.order
    (shown,) = move.patiently(lambda: move.source.ask("look", [move.source_path]))
    if shown is None:
        if earlier is not None:
            return earlier
        raise TransferFailed(Cause.MISSING, f"{move.source.title}: there is no {move.source_path}")
    found = entry("", shown)
    if found.kind == "o":
        raise TransferFailed(
            Cause.OTHER, f"{move.source.title}: {move.source_path} is neither file nor directory"
        )
    if order.names is None:
        _refuse_link(move)
    if found.kind == "d":
        _refuse_within(move)
        with move.alone(move.source_path, move.target_path, order.names or ()):
            return copy_tree(move, earlier)
    if order.names is not None:
        raise TransferFailed(Cause.USAGE, f"{move.source.title}: {move.source_path} is no directory")
    outcome = Outcome([])
    move.watch.expect(found.size_bytes)
    outcome.files.append(move.one("", found, outcome, follow=True))
    move.watch.end()
    return outcome


def _refuse_link(move: Move) -> None:
    """A link is copied as what it leads to; if it were removed then, that would stay."""
    if move.order.keep_source:
        return
    root, name = posixpath.split(move.source_path)
    (shown,) = move.source.ask("survey", root, [name])
    if shown and shown[0] == "l":
        fact = f"{move.source.title}: {move.source_path} is a link: it cannot be moved away, only copied"
        raise TransferFailed(Cause.USAGE, fact, "name what it leads to")


def _refuse_within(move: Move) -> None:
    """A directory that is copied into itself would be in its own copy, one deeper each time."""
    is_whole = move.order.names is None and move.source.key == move.target.key
    is_other = move.target_path != move.source_path
    if is_whole and is_other and lies_in(move.target_path, move.source_path):
        fact = f"{move.target_path} lies in {move.source_path}"
        raise TransferFailed(Cause.USAGE, fact, "copy to a place outside of it")
