"""What else is asked of one end, but seldom: many files packed into one archive, an archive unpacked.

It goes to a site together with `end` and on its terms: standard library, Python 3.9, nothing else of ours.
Archives are made and read by the site's GNU tar and zstd.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

from scalebox_hpc.transfer.end import CALLS, drop, prune, whole

MANIFEST = ".sbx-manifest"  # first in each archive: checksums of its files, as sha256sum writes them
_BLOCKS = "512"  # of 512 bytes: fewer and larger reads and writes
_LAST_WORDS = 500
_PROBE_BYTES = 64 << 20
_SET_ID = stat.S_ISUID | stat.S_ISGID


def tools() -> list[str]:
    """Those programs that are not here."""
    return [name for name in ("tar", "zstd") if shutil.which(name) is None]


def pack_archive(
    root: str, archive: str, temporary: str, manifest: str, names: list[str], level: int
) -> list[Any]:
    """Put files and directories below `root` into an archive, which appears as a whole.

    What an earlier try left in `temporary` is removed; that try may be at work yet, so each has a directory
    of its own in it. Returns tar's exit code and last words; 1 means that a file changed meanwhile, and there
    is no archive unless it is 0.
    """
    drop(temporary)
    os.makedirs(temporary, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=temporary) as own:
            with open(os.path.join(own, MANIFEST), "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(manifest)
            made = os.path.join(own, "archive")
            words = ["tar", "--create", f"--file={made}", f"--use-compress-program=zstd -q -{level}"]
            words += ["--format=posix", "--pax-option=delete=atime,delete=ctime", "-b", _BLOCKS]
            words += ["--no-recursion", "-C", own, MANIFEST]
            words += ["-C", root, "--null", "--verbatim-files-from", "--files-from=-"]
            listed = "".join(f"./{name}\0" for name in names).encode("utf-8", "surrogateescape")
            exit_code, said = _run(words, listed)
            if exit_code == 0:
                _sync(made)
                os.replace(made, archive)
                _sync(os.path.dirname(archive))
    finally:
        list(prune(temporary, [""]))
    return [exit_code, said]


def unpack_archive(archive: str, temporary: str) -> list[Any]:
    """Unpack an archive into a directory that is made for it, and for us alone.

    Returns tar's exit code and last words, and the manifest; None where the archive has none. tar itself
    leaves out names that lead out of the directory, and makes links that do so last.
    """
    drop(temporary)
    os.makedirs(os.path.dirname(temporary), exist_ok=True)
    os.mkdir(temporary, 0o700)
    words = ["tar", "--extract", f"--file={archive}", "--use-compress-program=zstd -q", "-b", _BLOCKS]
    words += ["--no-same-owner", "--preserve-permissions", "--delay-directory-restore", "-C", temporary]
    exit_code, said = _run(words, b"")
    manifest = None
    path = os.path.join(temporary, MANIFEST)
    if exit_code == 0 and os.path.lexists(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with open(descriptor, encoding="utf-8", errors="surrogateescape") as file:
            manifest = file.read()
        os.unlink(path)
    return [exit_code, said, manifest]


def _run(words: list[str], stdin: bytes) -> tuple[int, str]:
    done = subprocess.run(
        words, input=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=_environment(), check=False
    )
    return done.returncode, done.stderr.decode("utf-8", "replace")[-_LAST_WORDS:].strip()


def _environment() -> dict[str, str]:
    return {**{key: text for key, text in os.environ.items() if key != "TAR_OPTIONS"}, "LC_ALL": "C"}


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def adopt(temporary: str, target: str, entries: list[list[Any]]) -> None:
    """Give what was unpacked its names at the target, each in one step; a directory comes before its files.

    An entry is [name, kind, mtime_ns, mode]. Where one is a directory and what is there is not, or the other
    way round, nothing is changed. Nor are links followed: what is below them would land elsewhere.
    """
    os.makedirs(target, exist_ok=True)
    for name, kind, *_ in entries:
        _refuse_other(os.path.join(target, name), kind == "d")
    directories = [each for each in entries if each[1] == "d"]
    os.chmod(temporary, 0o700)
    for name, *_ in directories:
        path = os.path.join(target, name)
        os.chmod(os.path.join(temporary, name), 0o700)  # what is in it leaves it
        if os.path.isdir(path):
            os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) | 0o700)  # and comes here
        else:
            os.mkdir(path, 0o700)
    for name, kind, _, mode in entries:
        if kind == "f":
            os.chmod(os.path.join(temporary, name), mode & ~_SET_ID)
        if kind != "d":
            os.replace(os.path.join(temporary, name), os.path.join(target, name))
    for name, _, mtime_ns, mode in reversed(directories):
        path = os.path.join(target, name)
        os.chmod(path, mode & ~_SET_ID)
        os.utime(path, ns=(mtime_ns, mtime_ns))
    drop(temporary)


def _refuse_other(path: str, is_directory: bool) -> None:
    try:
        is_one = stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return
    if is_one and not is_directory:
        raise OSError(errno.EISDIR, "is there and a directory", path)
    if is_directory and not is_one:
        raise OSError(errno.ENOTDIR, "is there and no directory", path)


def identity(root: str, names: list[str], follow: bool = False) -> list[Any]:
    """Of each name what tells one file from another, however it is reached; None where it is not there."""
    root = whole(root)
    found: list[Any] = []
    for name in names:
        try:
            status = os.stat(os.path.join(root, name), follow_symlinks=follow)
            found.append([status.st_ino, status.st_ctime_ns])
        except (FileNotFoundError, NotADirectoryError):
            found.append(None)
    return found


def lines(path: str) -> Iterator[str]:
    """The lines of a text."""
    with open(whole(path), encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            yield line.rstrip("\n")


def fits(directory: str, size: int) -> None:
    """Try whether so many bytes, up to 64 MiB, could be written there now; the error says why not."""
    with tempfile.TemporaryFile(dir=whole(directory)) as file:
        os.posix_fallocate(file.fileno(), 0, max(1, min(size, _PROBE_BYTES)))


# What is sent to a site is one text with `end`, which answers by this table.
CALLS.update(
    {call.__name__: call for call in (tools, pack_archive, unpack_archive, adopt, identity, lines, fits)}
)
