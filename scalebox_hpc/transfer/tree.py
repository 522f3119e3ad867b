"""Many files of a directory moved at once: large ones alone, small ones in balanced parts over streams.

What the target has already, by size and time, is left alone.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from functools import partial
from typing import Any

from scalebox_hpc.transfer.causes import Cause, TransferFailed, some
from scalebox_hpc.transfer.copy import ROUNDS, Copied, Move, Outcome
from scalebox_hpc.transfer.end import fingerprint_of
from scalebox_hpc.transfer.link import Piece
from scalebox_hpc.transfer.meanwhile import Meanwhile
from scalebox_hpc.transfer.parcels import by_parcels
from scalebox_hpc.transfer.plan import Difference, Entry, batches, difference, folder, shards, streams_for
from scalebox_hpc.transfer.rsync import Mode
from scalebox_hpc.transfer.verify import Pair, compare


def copy_tree(move: Move, earlier: Outcome | None = None) -> Outcome:
    """Copy a directory, or the files of it that the order names. Raises TransferFailed.

    What an earlier try copied, and then removed at the source, counts as copied.
    """
    names = move.order.names
    outcome = Outcome([], is_directory=names is None)
    done = {each.name: each for each in earlier.files} if earlier else {}
    temporary = folder(move.order.source, move.order.target, names or ())
    source, target = _listings(move, temporary) if names is None else _named(move, names, done.keys())
    found = difference(source, {each.name: each for each in target})
    _refuse_barred(move, found.barred)
    if found.small or found.large or found.directories:
        _begin(move, found, target, temporary)
    _run(move, found.large, found.small, outcome, temporary)
    wrong = _verify(move, found.unchanged, outcome)
    if wrong:
        move.target.ask("make", move.target_path, [temporary])
        _run(move, (), wrong, outcome, temporary)
    if wrong or target is not source:
        move.target.ask("drop", posixpath.join(move.target_path, temporary))
        _dress(move, found, _filled((*found.small, *found.large, *found.directories, *wrong)))
    outcome.files += [done[name] for name in done.keys() - {each.name for each in source}]
    if names is None:
        here = [each.name for each in source if each.kind == "d"]
        outcome.directories = [*{*here, *(earlier.directories if earlier else ())}]
    move.watch.end()
    return outcome


def _listings(move: Move, temporary: str) -> tuple[list[Entry], list[Entry]]:
    """What lies at both ends, asked at once.

    Where that is the same, only a fingerprint of it comes over, and the two lists are one.
    """
    source, target = move.source_path, move.target_path
    mark = Meanwhile(lambda: move.patiently(lambda: move.target.ask("fingerprint", target, temporary)))
    found = move.patiently(lambda: move.source.ask("walk", source))
    here = [Entry(*each) for each in found]
    if mark.result() == fingerprint_of(found):
        return here, here
    there = move.patiently(lambda: move.target.ask("walk", target)) if mark.result() else []
    return here, [Entry(*each) for each in there]


def _named(move: Move, names: Sequence[str], done: Set[str]) -> tuple[list[Entry], list[Entry]]:
    """Of files by name, and of the directories above them, what lies at both ends, asked at once."""
    above = sorted({above for name in names for above in _above(name)})

    def listed(names: Sequence[str], ask: Callable[[list[str]], Any]) -> list[Entry]:
        asked = [partial(ask, list(part)) for part in batches(names)]
        found = [shown for ask in asked for shown in move.patiently(ask)]
        return [Entry(name, *shown) for name, shown in zip(names, found, strict=True) if shown]

    def followed(names: list[str]) -> Any:  # a directory may be reached by a link
        return move.source.ask("look", [posixpath.join(move.source_path, name) for name in names])

    survey = partial(move.target.ask, "survey", move.target_path)
    there = Meanwhile(lambda: listed((*above, *names), survey))
    files = listed(names, partial(move.source.ask, "survey", move.source_path))
    here = [*listed(above, followed), *files]
    odd = [each.name for each in files if each.kind in "do"]
    if odd:
        fact = f"{move.source.title}: neither files nor links in {move.source_path}: {some(odd)}"
        raise TransferFailed(Cause.USAGE, fact, "copy a directory by its own name, or list the files in it")
    missing = {*names} - {each.name for each in here} - done
    if missing:
        fact = f"{move.source.title}: not in {move.source_path}: {some(sorted(missing))}"
        raise TransferFailed(Cause.MISSING, fact)
    return here, there.result()


def _above(name: str) -> list[str]:
    """The directories in which a file lies, relative to the same root."""
    parts = name.split("/")[:-1]
    return ["/".join(parts[: index + 1]) for index in range(len(parts))]


def _refuse_barred(move: Move, barred: Sequence[Entry]) -> None:
    """What the target has of another kind is not removed for a copy, nor followed where it is a link."""
    if barred:
        which = "no directory" if barred[0].kind == "d" else "a directory"
        fact = (
            f"{move.target.title}: {move.target_path} has {which} at {some([each.name for each in barred])}"
        )
        raise TransferFailed(Cause.OTHER, fact, "at the source it is another kind: remove one of the two")


def _begin(move: Move, found: Difference, target: Sequence[Entry], temporary: str) -> None:
    """Make directories, and those writable that get something; what is on its way has one of its own.

    That also shows that the tree has been begun.
    """
    move.watch.expect(sum(each.size_bytes for each in (*found.large, *found.small)))
    if move.order.names is None:
        filled = _filled((*found.small, *found.large, *found.directories))
        locked = [
            each for each in target if each.kind == "d" and each.name in filled and not each.mode & 0o200
        ]
        for batch in batches(locked):
            wanted = [[each.name, each.mtime_ns, each.mode | 0o700] for each in batch]
            move.target.ask("dress", move.target_path, wanted)
    names = [each.name for each in found.directories]
    move.target.ask("make", move.target_path, ["", temporary, *names])


def _filled(moved: Iterable[Entry]) -> set[str]:
    """The directories that get something new, down from the root."""
    return {"", *(above for each in moved for above in _above(each.name))}


def _run(
    move: Move, larges: Sequence[Entry], smalls: Sequence[Entry], outcome: Outcome, temporary: str
) -> None:
    """Move all that is missing, in parallel; the first failure ends the rest and is raised."""

    def large(each: Entry) -> list[Copied]:
        return [move.one(each.name, each, outcome)]

    def small(index: int, part: Sequence[Entry]) -> list[Copied]:
        return _part(move, part, f"part {index}", temporary)

    tasks: list[Callable[[], list[Copied]]] = [partial(large, each) for each in larges]
    sizes = [each.size_bytes for each in (*smalls, *larges)]
    if not sizes:
        return
    streams = streams_for(sum(sizes), len(sizes), move.delay_s, move.order.streams)
    tasks += [partial(small, *each) for each in enumerate(shards(smalls, streams))]
    for copied in [task() for task in tasks] if len(tasks) < 2 else _at_once(move, tasks, streams):
        outcome.files += copied
    outcome.moved_bytes += sum(each.size_bytes for each in smalls)


def _at_once(move: Move, tasks: Sequence[Callable[[], list[Copied]]], streams: int) -> Iterator[list[Copied]]:
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait  # takes long to import

    with ThreadPoolExecutor(streams) as pool:
        try:
            running = [pool.submit(task) for task in tasks]
            for each in wait(running, return_when=FIRST_EXCEPTION).done:
                each.result()
        except BaseException:  # a failure, or somebody's Control-C
            move.stop.set()
            move.link.stop()
            pool.shutdown(cancel_futures=True)
            raise
    return (each.result() for each in running)


def _part(move: Move, part: Sequence[Entry], title: str, temporary: str) -> list[Copied]:
    """Copy a part of the small files; those that changed meanwhile, or came out wrong, again."""
    copied, left = by_parcels(move, part, title, temporary)
    if not left:
        return copied
    bad: list[Pair] = []
    for _ in range(ROUNDS):
        names = tuple(each.name for each in left)
        piece = Piece(f"{move.source_path}/", f"{move.target_path}/", Mode.MANY, names, temporary)
        size_bytes = sum(each.size_bytes for each in left)
        move.patiently(partial(move.move, piece, title, size_bytes))
        bad = []
        for batch in batches(left):
            for pair in _compared(move, batch):
                if pair.is_equal and not pair.changed:
                    copied.append(_copied(move, pair))
                else:
                    bad.append(pair)
        if not bad:
            move.watch.report(title, sum(each.size_bytes for each in part))
            return copied
        left = [pair.after or pair.before for pair in bad]
    raise _failure(move, bad)


def _compared(move: Move, batch: Sequence[Entry]) -> list[Pair]:
    names = [each.name for each in batch]
    here, there = (move.source, move.source_path, batch), (move.target, move.target_path, names)
    pairs = move.patiently(lambda: compare(here, there, move.algorithm))
    gone = [pair.before.name for pair in pairs if pair.vanished]
    if gone:
        fact = f"{move.source.title}: went away from {move.source_path}: {some(gone)}"
        raise TransferFailed(Cause.MISSING, fact)
    return pairs


def _copied(move: Move, pair: Pair) -> Copied:
    before = pair.before
    return Copied(before.name, before.size_bytes, before.mtime_ns, f"{move.algorithm}:{pair.source}")


def _failure(move: Move, bad: Sequence[Pair]) -> TransferFailed:
    shown = some([pair.before.name for pair in bad])
    if any(pair.changed for pair in bad):
        return TransferFailed(Cause.CHANGED, f"{move.source.title}: changed while they were copied: {shown}")
    return TransferFailed(Cause.CHECKSUM, f"{move.target.title}: came out wrong: {shown} ({move.algorithm})")


def _verify(move: Move, unchanged: Sequence[Entry], outcome: Outcome) -> list[Entry]:
    """Take what is there already as it is; verify it where the source is to go, or the order says so.

    Returns what is not as it looked.
    """
    if move.order.keep_source and not move.order.verify_all:
        outcome.files += [Copied(each.name, each.size_bytes, each.mtime_ns, "") for each in unchanged]
        return []
    wrong: list[Entry] = []
    for batch in batches(unchanged):
        for pair in _compared(move, batch):
            if pair.is_equal and not pair.changed:
                outcome.files.append(_copied(move, pair))
            else:
                wrong.append(pair.after or pair.before)
    move.watch.expect(sum(each.size_bytes for each in wrong))
    return wrong


def _dress(move: Move, found: Difference, filled: Set[str]) -> None:
    """Modes and times of directories, once nothing more is put into them; modes of files that were there."""
    whole = move.order.names is None
    wanted = [each for each in found.undressed if each.kind == "f"]
    made = set(found.directories)
    wanted += [each for each in found.undressed if each.kind == "d" and (whole or each in made)]
    if whole:
        named = {each.name for each in wanted}
        wanted += [each for each in found.settled if each.name in filled and each.name not in named]
    wanted.sort(key=lambda each: each.name.count("/") + bool(each.name), reverse=True)
    for batch in batches(wanted):
        move.target.ask("dress", move.target_path, [[each.name, each.mtime_ns, each.mode] for each in batch])
