"""A shared folder, where it lies: what agents left in it is read, what they need is written.

The daemon calls this for a folder on its own machine, `relay.pyz depot` for one at a remote site. It
decides nothing, and follows no path that an agent says but to a log of ours.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

PIECE_BYTES = 1 << 20
WORDS_BYTES = 2000
ENDINGS_MOST = 1000  # last words that are taken in at once; the others are at the next look
SEGMENT = re.compile(r"/(?:[^\0]*/)?logs/[0-9a-f]{16}\.[0-9]+\.(?:out|err)").fullmatch
MOST_OFFSET = 1 << 62
FRAME_SEARCH = 1 << 22  # bytes at the end of a segment in which the frame of a running attempt is looked for


class Changed(Exception):
    """What was to be put is not of the digest that was told: it changed meanwhile."""


class Parcel(NamedTuple):
    """A file to be put into a folder."""

    name: str  # relative to the folder, or absolute
    digest: str  # sha256 of its content, in hex
    size: int
    mode: int  # of the finished file


class Frame(NamedTuple):
    """Where the output of an attempt under way is to be found."""

    incarnation: str
    lease: str
    stream: str  # "stdout" | "stderr"


def make(root: str, names: Iterable[str]) -> None:
    """Make directories that only their owner may enter, or see that they are. Raises OSError.

    "" is the folder itself.
    """
    for name in names:
        path = os.path.join(root, name) if name else root
        os.makedirs(path, 0o700, exist_ok=True)
        found = os.stat(path)
        if found.st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, f"it belongs to another user (uid {found.st_uid})", path)
        if found.st_mode & 0o777 != 0o700:
            os.chmod(path, 0o700)


def expand(root: str, text: str) -> str:
    """Fill `~` and variables of this machine into a path, which may be relative to the folder."""
    return os.path.join(root, os.path.expandvars(os.path.expanduser(text)))


def write(root: str, name: str, text: str) -> None:
    """Replace a private file as a whole; its directory is made. Raises OSError."""
    target = os.path.join(root, name)
    make(os.path.dirname(target), [""])
    temporary = _temporary(target)
    try:
        with _created(temporary) as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def lacks(root: str, parcels: Sequence[Parcel]) -> list[int]:
    """Return which of these are not there; those that are get their mode."""
    missing = []
    for number, parcel in enumerate(parcels):
        path = os.path.join(root, parcel.name)
        try:
            found = os.stat(path)
        except OSError:
            found = None
        if found is None or found.st_size != parcel.size or not _is_same(path, parcel):
            missing.append(number)
        elif (found.st_mode | parcel.mode) & 0o777 != found.st_mode & 0o777:
            os.chmod(path, parcel.mode)
    return missing


def _is_same(path: str, parcel: Parcel) -> bool:
    """Whether a file of the right size is the right one: its name says so, or else its content."""
    if parcel.digest in parcel.name:
        return True
    hasher = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(PIECE_BYTES):
            hasher.update(piece)
    return hasher.hexdigest() == parcel.digest


def put(root: str, parcel: Parcel, read: Callable[[int], bytes]) -> None:
    """Put a file in its place as a whole, its content from `read`. Raises OSError, Changed."""
    target = os.path.join(root, parcel.name)
    folder = os.path.dirname(target)
    os.makedirs(folder, 0o700, exist_ok=True)
    temporary, hasher, left = _temporary(target), hashlib.sha256(), parcel.size
    try:
        with _created(temporary) as copy:
            while left > 0 and (piece := read(min(left, PIECE_BYTES))):
                hasher.update(piece)
                copy.write(piece)
                left -= len(piece)
            copy.flush()
            os.fsync(copy.fileno())
        if left or hasher.hexdigest() != parcel.digest:
            raise Changed(parcel.name)
        os.chmod(temporary, parcel.mode)
        os.replace(temporary, target)
        _sync(folder)  # the ledger will say that it is there
    finally:
        with suppress(OSError):
            os.unlink(temporary)


def _temporary(target: str) -> str:
    folder, name = os.path.split(target)
    return os.path.join(folder, f".{name}.{os.getpid()}.{secrets.token_hex(4)}")


def _created(path: str) -> Any:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


def _sync(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def endings(root: str) -> list[tuple[str, Any]]:
    """Path and content of the last words that wrappers left as files; what cannot be read is passed over."""
    found = []
    for path in _entries(root, "ended")[:ENDINGS_MOST]:
        if path.suffix == ".json" and not path.name.startswith("."):  # else still being written
            try:
                found.append((str(path), json.loads(path.read_bytes())))
            except (OSError, ValueError):
                continue
    return found


def run_folders(root: str) -> list[str]:
    """The directories of runs in a shared folder; each has the name of its run."""
    return [str(path) for path in _entries(root, "runs")]


def _entries(root: str, part: str) -> list[Path]:
    try:
        return sorted(Path(root, part).iterdir())
    except OSError:
        return []


def remove(path: str) -> None:
    """Remove a directory with all that is in it, or a file; what is gone or resists is passed over."""
    found = Path(path)
    if found.is_dir() and not found.is_symlink():
        shutil.rmtree(found, ignore_errors=True)
        return
    with suppress(OSError):
        found.unlink()


def spool(root: str, incarnation: str) -> list[Any]:
    """Read an agent's spool; empty where it has none. Raises OSError where it cannot be read now.

    A torn last line is what a crash leaves; it and what follows are passed over.
    """
    lines = []
    try:
        with open(Path(root, "spool", f"{incarnation}.jsonl"), "rb") as file:
            for line in file:
                try:
                    lines.append(json.loads(line))
                except ValueError:
                    break
    except FileNotFoundError:
        return []
    return lines


def last_words(root: str, try_name: str, element: int) -> str:
    """The end of what an element's script printed; empty where there is nothing to be read."""
    path = Path(root, "tries", try_name, f"element-{element}.log")
    try:
        data = path.read_bytes()[-WORDS_BYTES:]
    except OSError:
        return ""
    return " / ".join(data.decode("utf-8", "replace").splitlines()[-3:])


def find_frame(root: str, frame: Frame) -> tuple[str, int] | None:
    """Find where the output of an attempt under way begins: behind its frame line, in a slot's segment."""
    ending = "out" if frame.stream == "stdout" else "err"
    for path in sorted(Path(root, "logs").glob(f"{frame.incarnation}.*.{ending}")):
        size = path.stat().st_size
        start = max(0, size - FRAME_SEARCH)
        text = read_log(str(path), start, size - start)
        found = text.rfind(f" {frame.lease}\n".encode())
        if found >= 0:
            return str(path), start + text.index(b"\n", found) + 1
    return None


def read_log(path: str, offset: int, length: int) -> bytes:
    """Read a piece of a segment; nothing where it is gone, or where the path is not that of a segment.

    An agent says where its segments are. Whatever it says, we open no other file, follow no link
    and wait for no pipe.
    """
    if not SEGMENT(path) or offset < 0 or length <= 0 or offset + length > MOST_OFFSET:
        return b""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as error:
        if error.errno == errno.ELOOP:
            return b""
        raise
    try:
        return os.pread(fd, length, offset) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    finally:
        os.close(fd)
