"""Many small files as one run of bytes over the line of an end: no process, no question for each of them.

In the order of a list that both sides have: the content of a file, of the length in the list, then its
checksum as hex. What cannot be read goes as zeros with a checksum of no file. Standard library, Python 3.9;
it is sent to a site together with `end`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Any

from scalebox_hpc.transfer.end import library_of, whole

READ_BYTES = 1 << 18
HEX_BYTES = {"xxh3": 16, "sha256": 64}


def pack(algorithm: str, root: str, files: list[list[Any]]) -> Generator[bytes, None, None]:
    """The content and checksum of each [name, size, ...] below a root, in chunks of some size."""
    root, hasher = whole(root), library_of(algorithm)
    chunk: list[bytes] = []
    weight = 0
    for name, size, *_ in files:
        data = _content(os.path.join(root, name), size)
        checksum = b"-" * HEX_BYTES[algorithm]
        if len(data) == size:
            checksum = hasher(data).hexdigest().encode()
        chunk += [data, bytes(size - len(data)), checksum]
        weight += size
        if weight > READ_BYTES:
            yield b"".join(chunk)
            chunk, weight = [], 0
    yield b"".join(chunk)


def _content(path: str, size: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""  # too short: it will be seen why when it is asked for alone
    try:
        return os.read(descriptor, size + 1)[:size] if size else b""
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def unpack(
    algorithm: str, root: str, temporary: str, files: list[list[Any]], read: Callable[[int], bytes]
) -> Iterator[str]:
    """Write each [name, size, mtime_ns, mode] of a run of bytes; yields the checksum, "" where it is wrong.

    What was written is read again, and has its name only when it is right. Raises OSError once all is read.
    """
    root, hasher = whole(root), library_of(algorithm)
    on_the_way = os.path.join(root, temporary, f"parcel-{os.getpid()}-{threading.get_ident()}")
    failure = None
    for name, size, mtime_ns, mode in files:
        data = read(size) if size else b""
        checksum = read(HEX_BYTES[algorithm]).decode()
        if failure is not None:
            continue
        try:
            is_right = hasher(_written(on_the_way, data, mtime_ns, mode)).hexdigest() == checksum
            if is_right:
                os.replace(on_the_way, os.path.join(root, name))
        except OSError as error:
            failure = error
            continue
        yield checksum if is_right else ""
    if failure is not None:
        raise failure


def _written(path: str, data: bytes, mtime_ns: int, mode: int) -> bytes:
    """Write a file; return what it holds then."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, data)
        found = os.pread(descriptor, len(data) + 1, 0)
        os.fchmod(descriptor, mode)
        os.utime(descriptor, ns=(mtime_ns, mtime_ns))
        return found
    finally:
        os.close(descriptor)
