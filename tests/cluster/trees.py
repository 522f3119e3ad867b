"""Trees of files to be moved between sites: made quickly, and compared byte for byte."""

import os
import random
import shutil
import stat
from pathlib import Path

from tests.cluster.box import USER_ID

A_DIRECTORY = 100  # files in each
MODES = (0o644, 0o600, 0o755)
FIRST_MTIME_NS = 1_500_000_000_000_000_000
AWKWARD = (
    "a b",
    "-rf",
    "two\nlines",
    "quo'te",
    'quo"te',
    "$HOME",
    "*",
    "ümläut",
    "back\\slash",
    ".hidden",
)


def make_tree(root: Path, *, files: int, size_bytes: int = 4096, seed: int = 1) -> Path:
    """Make a tree, in place of what is there, of files of one size, no two alike, with modes and times."""
    draw = random.Random(seed)
    shutil.rmtree(root, ignore_errors=True)
    _make_directory(root)
    for n in range(files):
        directory = root / f"d{n // A_DIRECTORY:04}"
        if n % A_DIRECTORY == 0:
            _make_directory(directory)
        file = f"{directory}/f{n:06}"
        _make_file(
            file, draw.randbytes(size_bytes), MODES[n % len(MODES)], FIRST_MTIME_NS + n * 1_000_000_007
        )
    return root


def add_awkward(root: Path) -> Path:
    """Add what programs trip over: odd names, an empty file, an empty directory, links, a hole."""
    for n, name in enumerate(AWKWARD):
        _make_file(f"{root}/{name}", name.encode(), 0o644, FIRST_MTIME_NS + n)
    _make_file(f"{root}/empty", b"", 0o444, FIRST_MTIME_NS)
    _make_directory(root / "empty directory")
    for name, target in (("link", "empty"), ("dangling", "nowhere")):
        (root / name).symlink_to(target)
        os.lchown(root / name, USER_ID, USER_ID)
    _make_file(f"{root}/hole", b"end", 0o644, FIRST_MTIME_NS, at=1 << 20)
    return root


def _make_directory(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    os.chown(path, USER_ID, USER_ID)


def _make_file(path: str, content: bytes, mode: int, mtime_ns: int, *, at: int = 0) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        os.pwrite(descriptor, content, at)
        os.fchown(descriptor, USER_ID, USER_ID)
        os.fchmod(descriptor, mode)
        os.utime(descriptor, ns=(mtime_ns, mtime_ns))
    finally:
        os.close(descriptor)


def differences(one: Path, other: Path) -> list[str]:
    """In what two trees differ: names, kinds, modes, times of files, targets of links, bytes."""
    here, there = _entries(one), _entries(other)
    found = [f"only in {one}: {name!r}" for name in sorted(here.keys() - there.keys())]
    found += [f"only in {other}: {name!r}" for name in sorted(there.keys() - here.keys())]
    for name in sorted(here.keys() & there.keys()):
        if here[name] != there[name]:
            found.append(f"{name!r}: {here[name]} here, {there[name]} there")
        elif (one / name).is_file() and (one / name).read_bytes() != (other / name).read_bytes():
            found.append(f"{name!r}: other bytes")
    return found


def _entries(root: Path) -> dict[str, tuple[str, int, str]]:
    """Each name below: its mode, its mtime in ns (of files), what a link points at."""
    found = {}
    for directory, directories, files in os.walk(root):
        for name in directories + files:
            path = os.path.join(directory, name)
            status = os.lstat(path)
            mtime = status.st_mtime_ns if stat.S_ISREG(status.st_mode) else 0
            target = os.readlink(path) if stat.S_ISLNK(status.st_mode) else ""
            found[os.path.relpath(path, root)] = (stat.filemode(status.st_mode), mtime, target)
    return found
