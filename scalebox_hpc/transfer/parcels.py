"""Many new small files sent to a site in one pass: read and hashed here, written, read back and hashed there.

rsync spends more on each small file than on its content, and its checksums would be followed by ours.
What does not go this way, or changes meanwhile, is left to rsync.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from hashlib import sha256
from typing import Final

from scalebox_hpc.transfer.archives import FRAME
from scalebox_hpc.transfer.copy import Copied, Move
from scalebox_hpc.transfer.ends import There
from scalebox_hpc.transfer.plan import Entry, Way, same_time

LARGEST_BYTES: Final = 256 << 10
LEAST_FILES: Final = 50  # fewer are no work for rsync
_FILES: Final = 5000  # of one parcel: what a broken link repeats
_BYTES: Final = 64 << 20
_AT_ONCE_BYTES: Final = 1 << 20


def send(move: Move, new: Sequence[Entry], temporary: str) -> list[Copied]:
    """Send those files that the target has nothing of; return what is there now. Raises TransferFailed."""
    end = move.target.end
    fit = [each for each in new if each.kind == "f" and each.size_bytes <= LARGEST_BYTES]
    if (
        len(fit) < LEAST_FILES
        or move.link.way is not Way.PUSH
        or move.link.is_slow
        or not isinstance(end, There)
    ):
        return []
    copied: list[Copied] = []
    done = 0
    for parcel in _parcels(fit):
        with move.slot():
            there = move.patiently(partial(_sent, move, end, parcel, temporary))
        copied += there
        done += sum(each.size_bytes for each in there)
        move.watch.report("small files", done)
    return copied


def _parcels(files: Sequence[Entry]) -> Iterator[list[Entry]]:
    parcel: list[Entry] = []
    held = 0
    for each in files:
        parcel.append(each)
        held += each.size_bytes
        if len(parcel) == _FILES or held >= _BYTES:
            yield parcel
            parcel, held = [], 0
    if parcel:
        yield parcel


def _sent(move: Move, end: There, parcel: Sequence[Entry], temporary: str) -> list[Copied]:
    """Send one; nothing of it is there unless all of it is."""
    sent: list[Copied] = []
    is_right = end.send(frames(move.source_path, parcel, sent), "receive", move.target_path, temporary)
    return sent if is_right else []


def frames(root: str, files: Sequence[Entry], sent: list[Copied]) -> Iterator[bytes]:
    """What `archives.receive` reads, in pieces; `sent` gets what is in it."""
    total, held, size = sha256(), [], 0
    for each in files:
        data = _content(os.path.join(root, each.name), each)
        if data is None:
            continue
        digest = sha256(data)
        total.update(digest.digest())
        name = os.fsencode(each.name)
        held += [FRAME.pack(len(name), len(data), each.mtime_ns, each.mode), name, data]
        sent.append(Copied(each.name, each.size_bytes, each.mtime_ns, f"sha256:{digest.hexdigest()}"))
        size += len(data)
        if size >= _AT_ONCE_BYTES:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join([*held, FRAME.pack(0, 0, 0, 0), total.digest()])


def _content(path: str, expected: Entry) -> bytes | None:
    """A file's content; None where it is not, or no longer, what was listed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        data = os.read(descriptor, expected.size_bytes + 1)
        now = os.fstat(descriptor)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    is_same = len(data) == now.st_size == expected.size_bytes and same_time(
        now.st_mtime_ns, expected.mtime_ns
    )
    return data if is_same else None
