"""An image that is a directory: its digest, its processor.

It stays where it is: nothing keeps it from being changed while a run is on.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from scalebox_hpc.containers.formats import elf_arch
from scalebox_hpc.errors import ImageCorrupt

_PROGRAMS: Final = ("bin/sh", "usr/bin/env", "bin/busybox", "usr/bin/bash", "bin/true", "sbin/init")
_PROGRAM_FOLDERS: Final = ("usr/bin", "bin", "usr/local/bin", "usr/sbin", "sbin", "")
_MOST_LOOKS: Final = 200
_LINKS: Final = 20


def tree_seen(root: Path) -> str:
    """A digest of names, sizes and times, without a look into the files: cheap, and changed by any edit."""
    seen = hashlib.sha256()
    for name, found in _entries(root):
        about = (found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
        seen.update(b"%s\0%r\n" % (os.fsencode(name), about))
    return seen.hexdigest()


def tree_digest(root: Path) -> str:
    """The digest of a directory's contents, as "sha256:<hex>".

    SHA-256 over one line for each entry, in the order of their names as bytes: `TYPE MODE NAME\\0WHAT\\n`
    where TYPE is f, d, l or o, MODE the permission bits in octal, NAME the path below the root, and WHAT
    the SHA-256 of a file's content in hex, the target of a link, or empty. A file that may not be
    read counts with its size. Owners and times do not count.
    """
    tree = hashlib.sha256()
    for name, found in _entries(root):
        path = root / name
        kind, what = "o", ""
        if stat.S_ISDIR(found.st_mode):
            kind = "d"
        elif stat.S_ISLNK(found.st_mode):
            kind, what = "l", os.readlink(path)
        elif stat.S_ISREG(found.st_mode):
            kind, what = "f", _content(path, found.st_size)
        line = f"{kind} {found.st_mode & 0o7777:o} {name}\0{what}\n"
        tree.update(os.fsencode(line))
    return f"sha256:{tree.hexdigest()}"


def _content(path: Path, size: int) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except PermissionError:
        return f"unreadable {size}"


def _entries(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """All below the root, with names relative to it, in the order of their bytes; raises OSError."""
    found = []
    for folder, folders, files in os.walk(root, followlinks=False):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            found.append((os.path.relpath(path, root), os.lstat(path)))
    return iter(sorted(found, key=lambda entry: os.fsencode(entry[0])))


def arch_of_tree(root: Path) -> str:
    """The processor its programs are for; "" where none was found. Raises ImageCorrupt for an empty one."""
    try:
        if not any(root.iterdir()):
            raise ImageCorrupt(f"the directory {root} is empty, and so no image", "build the sandbox again")
    except PermissionError:
        return ""
    for name in _PROGRAMS:
        if arch := _arch_of(root, name):
            return arch
    looks = 0
    for folder in _PROGRAM_FOLDERS:
        inside = inside_root(root, folder)
        if inside is None or not inside.is_dir() or not os.access(inside, os.R_OK):
            continue
        for path in sorted(inside.iterdir())[: _MOST_LOOKS - looks]:
            looks += 1
            if arch := _arch_of(root, os.path.join(folder, path.name)):
                return arch
    return ""


def _arch_of(root: Path, name: str) -> str:
    path = inside_root(root, name)
    try:
        if path is None or not path.is_file():
            return ""
        with path.open("rb") as file:
            return elf_arch(file.read(64))
    except OSError:
        return ""


def inside_root(root: Path, name: str) -> Path | None:
    """Follow links as a process inside would, never out of the root; None where they lead nowhere."""
    left = [part for part in name.split("/") if part]
    at: list[str] = []
    links = 0
    while left:
        part = left.pop(0)
        if part in (".", ""):
            continue
        if part == "..":
            at = at[:-1]
            continue
        here = root.joinpath(*at, part)
        if not here.is_symlink():
            at.append(part)
            continue
        links += 1
        if links > _LINKS:
            return None
        target = os.readlink(here)
        if target.startswith("/"):
            at = []
        left = [step for step in target.split("/") if step] + left
    return root.joinpath(*at)
