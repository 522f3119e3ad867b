"""What the daemon reads of files that agents write: logs, spools, last words."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

WORDS_BYTES = 2000
SEGMENT = re.compile(r"/(?:[^\0]*/)?logs/[0-9a-f]{16}\.[0-9]+\.(?:out|err)").fullmatch
MOST_OFFSET = 1 << 62
FRAME_SEARCH = 1 << 22  # bytes at the end of a segment in which the frame of a running attempt is looked for


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


def find_frame(shared: str, incarnation: str, lease: str, stream: str) -> tuple[str, int, None] | None:
    """Find where the output of an attempt under way begins: behind its frame line, in a slot's segment."""
    ending = "out" if stream == "stdout" else "err"
    for path in sorted(Path(shared, "logs").glob(f"{incarnation}.*.{ending}")):
        size = path.stat().st_size
        start = max(0, size - FRAME_SEARCH)
        text = read_log(str(path), start, size - start)
        found = text.rfind(f" {lease} ".encode())
        if found >= 0:
            return str(path), start + text.index(b"\n", found) + 1, None
    return None


def read_spool(shared: str, incarnation: str) -> list[Any] | None:
    """Read an agent's spool; empty where it has none, None where it cannot be read now.

    A torn last line is what a crash leaves; it and what follows are passed over.
    """
    lines = []
    try:
        with open(Path(shared, "spool", f"{incarnation}.jsonl"), "rb") as file:
            for line in file:
                try:
                    lines.append(json.loads(line))
                except ValueError:
                    break
    except FileNotFoundError:
        return []
    except OSError:
        return None
    return lines


def last_words(shared: str, try_name: str, element: int) -> str:
    """The end of what an element's script printed; empty where there is nothing to be read."""
    path = Path(shared, "tries", try_name, f"element-{element}.log")
    try:
        data = path.read_bytes()[-WORDS_BYTES:]
    except OSError:
        return ""
    return " / ".join(data.decode("utf-8", "replace").splitlines()[-3:])


def rss_mib() -> float:
    """The memory of this process, in MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20), 1)
