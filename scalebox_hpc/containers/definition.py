"""Which files of this machine a definition (`.def`) takes in, so that a change of theirs is seen.

It reads just enough of the format for that; the runtime reads it properly.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from scalebox_hpc.containers.sandbox import tree_seen

_HEADER: Final = re.compile(r"\s*(bootstrap|from)\s*:\s*(.*?)\s*", re.IGNORECASE)
_LOCAL: Final = ("localimage", "oci-archive", "docker-archive", "oci")


def definition_seen(path: Path) -> str:
    """A digest of a definition and of how the files that it names look from outside. Raises OSError."""
    text = path.read_bytes()
    seen = hashlib.sha256(text)
    for name in files_of(text.decode("utf-8", "replace")):
        for found in sorted(glob.glob(os.path.join(path.parent, name), recursive=True)):
            seen.update(f"{found}\0{_look(Path(found))}\n".encode())
    return seen.hexdigest()


def _look(path: Path) -> str:
    if path.is_dir():
        return tree_seen(path)
    found = path.stat() if path.exists() else path.lstat()
    return f"{found.st_size}:{found.st_mtime_ns}:{found.st_ino}"


def files_of(text: str) -> Iterator[str]:
    """The files, directories and patterns that a definition copies or starts from.

    >>> list(files_of("Bootstrap: localimage\\nFrom: base.sif\\n%files\\n  a.txt /opt\\n%post\\n  true"))
    ['base.sif', 'a.txt']
    """
    section, bootstrap = "", ""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("%"):
            words = stripped[1:].split()
            section = "other" if words[1:2] == ["from"] else words[0] if words else ""
        elif not stripped or stripped.startswith("#"):
            continue
        elif section == "files":
            yield from _first_word(stripped)
        elif match := _HEADER.fullmatch(line):
            section = "" if match[1].lower() == "bootstrap" else section
            if match[1].lower() == "bootstrap":
                bootstrap = match[2].lower()
            elif bootstrap in _LOCAL:
                yield match[2]


def _first_word(line: str) -> Iterator[str]:
    try:
        yield from shlex.split(line)[:1]
    except ValueError:
        yield line.split()[0]
