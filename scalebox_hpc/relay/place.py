"""Where a relay lives on its login node, and what it leaves in the shared folder for others to find.

The socket and its lock are on the node's own disk: shared folders are on network file systems, where
sockets mean nothing to other nodes and paths are long.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import stat
import zlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from scalebox_hpc.relay.options import RelayProblem

ROOTS = ("/tmp", "/var/tmp")  # the second where somebody else was first in the first
RECORD, CONTACT, LOG = "relay.json", "contact.json", "relay.log"


class Place(NamedTuple):
    """Files of one relay: one for each home and shared folder."""

    socket: str
    lock: str


def find_place(shared: str, home: str, roots: Sequence[str] = ROOTS) -> Place:
    """Return the place, in a directory that only we may enter. Raises RelayProblem."""
    problems = []
    for root in roots:
        directory = os.path.join(root, f"sbx-{os.geteuid()}")
        try:
            _make_private(directory)
        except (OSError, RelayProblem) as problem:
            problems.append(str(problem))
            continue
        folder = zlib.crc32(os.fsencode(os.path.realpath(shared)))
        base = os.path.join(directory, f"{home}-{folder:08x}")
        return Place(f"{base}.sock", f"{base}.lock")
    raise RelayProblem("no place for the relay's socket: " + "; ".join(problems))


def _make_private(directory: str) -> None:
    """Make a directory of our own, or see that it is one: others may write beside it."""
    with suppress(FileExistsError):
        os.mkdir(directory, 0o700)
    found = os.lstat(directory)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise RelayProblem(f"{directory} is not a directory of ours (uid {found.st_uid})")
    if found.st_mode & 0o077:
        raise RelayProblem(f"others may enter {directory}: `chmod 700 {directory}`")


def take_lock(place: Place) -> int | None:
    """Become the relay of this place, as long as the process lives; None: there is one.

    One that ends removes the file, so what was locked must still be what the name leads to.
    """
    while True:
        lock = os.open(place.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock), os.stat(place.lock)):
                break
        except BlockingIOError:
            os.close(lock)
            return None
        except FileNotFoundError:
            pass
        os.close(lock)
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    return lock


def leave(place: Place, lock: int) -> None:
    """Make room for the next relay. The lock is ours until the last line."""
    for path in (place.socket, place.lock):
        if os.path.exists(path):
            os.unlink(path)
    os.close(lock)


def kill_holder(place: Place) -> None:
    """End the relay that has the lock and answers nobody; who has it wrote its id into it.

    One that took it a moment ago has not yet: what is in it then may be the id of somebody else by now.
    """
    lock = take_lock(place)
    if lock is not None:
        leave(place, lock)
        return
    with open(place.lock, encoding="ascii") as file:
        text = file.read()
    if text.isdigit() and _has_open(int(text), place.lock):
        with suppress(ProcessLookupError):
            os.kill(int(text), signal.SIGKILL)


def _has_open(process: int, path: str) -> bool:
    folder = f"/proc/{process}/fd"
    with suppress(OSError):  # the process is gone, or another user's
        for name in os.listdir(folder):
            with suppress(FileNotFoundError):  # closed meanwhile
                if os.path.samefile(os.path.join(folder, name), path):
                    return True
    return False


def read_record(shared: str) -> dict[str, Any]:
    """Return what the newest relay of a shared folder said of itself; {} where there was none."""
    try:
        with open(os.path.join(shared, RECORD), encoding="utf-8") as file:
            return dict(json.load(file))
    except (OSError, ValueError, TypeError):
        return {}


def write_whole(shared: str, name: str, content: dict[str, Any]) -> None:
    """Write a file of the shared folder that is there as a whole or not at all. Raises OSError."""
    temporary = os.path.join(shared, f".{name}.{os.getpid()}")
    with open(
        os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii"
    ) as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, os.path.join(shared, name))


def own_digest(program: str) -> str:
    """Return what tells one version of this program from another; better digests take 4 MiB of memory."""
    with open(program, "rb") as file:
        content = file.read()
    return f"{zlib.crc32(content):08x}-{len(content)}"
