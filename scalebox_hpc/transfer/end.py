"""What is asked of one end of a transfer: what lies there, its checksums, names changed, files removed.

The same source works here and, sent over ssh, at a site: standard library, Python 3.9, nothing else of
ours. Names below a root are relative to it. It moves no data between machines. Its start is a good part
of a small transfer, so what is seldom needed is imported where it is.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from operator import attrgetter
from typing import Any, BinaryIO

_KIND = 0o170000  # these bits of a mode
_KINDS = {stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l"}
_NAME = attrgetter("name")
TEMPORARY = re.compile(r"\.sbx-[0-9a-f]{12}")
ENTRIES_A_LINE = 2000
_CHUNK = 1 << 18  # stays in the cache of a processor
_WORDS_A_COMMAND = 500
_SAMPLES, _SAMPLE_BYTES = 8, 1 << 16
_LOOKS = 3
_TICK_NS, _COARSE_TICK_NS = 20_000_000, 1_020_000_000


def facts() -> dict[str, Any]:
    """The home directory, the algorithms that can be computed, and by what."""
    return {
        "home": os.path.expanduser("~"),
        "algorithms": [name for name in ("xxh3", "blake3", "sha256") if _way(name)],
        "libraries": [name for name in ("xxh3", "sha256") if library_of(name)],
        "python": sys.executable,
    }


def rsync() -> str:
    """What rsync says of its version; "" where there is none."""
    import subprocess

    try:
        return subprocess.run(["rsync", "--version"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""


def look(paths: list[str]) -> list[Any]:
    """Of each path [kind, size, mtime_ns, mode], links followed; None where there is nothing."""
    found: list[Any] = []
    for path in map(whole, paths):
        try:
            found.append(_shown(_settled(path, os.stat(path), True)))
        except (FileNotFoundError, NotADirectoryError):
            found.append(None)
    return found


def whole(path: str) -> str:
    """A path with the home directory filled in."""
    return os.path.expanduser(path) if path.startswith("~") else path


def _settled(path: str, status: os.stat_result, follow: bool = False) -> os.stat_result:
    """The status of a file once its time is past, so that whoever still writes to it gives it another one.

    File systems count in ticks of the kernel, and some in whole seconds: within one, a change of the same
    size could not be seen.
    """
    for _ in range(_LOOKS):
        tick_ns = _TICK_NS if status.st_mtime_ns % 1_000_000_000 else _COARSE_TICK_NS
        age_ns = time.time_ns() - status.st_mtime_ns
        if abs(age_ns) > tick_ns or not stat.S_ISREG(status.st_mode):
            break
        time.sleep((tick_ns - age_ns) / 1e9)  # noqa: TID251 (a second at most, and nobody to wake it)
        status = os.stat(path, follow_symlinks=follow)
    return status


def _shown(status: os.stat_result) -> list[Any]:
    mode = status.st_mode
    return [_KINDS.get(mode & _KIND, "o"), status.st_size, status.st_mtime_ns, mode & ~_KIND]


def walk(root: str) -> Iterator[list[Any]]:
    """A directory, as "", and all below it: [name, kind, size, mtime_ns, mode]; nothing where there is none.

    Links are not followed, a directory comes before what is in it.
    """
    below = [""]
    root = whole(root)
    if os.path.isdir(root):
        yield ["", *_shown(os.stat(root))]
    while below:
        directory = below.pop()
        try:
            entries = sorted(os.scandir(os.path.join(root, directory)), key=_NAME)
        except FileNotFoundError:
            continue
        above = directory and directory + "/"
        for entry in entries:
            name = above + entry.name
            if TEMPORARY.fullmatch(entry.name):
                continue  # another transfer is at work
            try:
                shown = _shown(_settled(entry.path, entry.stat(follow_symlinks=False)))
            except FileNotFoundError:
                continue
            yield [name, *shown]
            if shown[0] == "d":
                below.append(name)


def fingerprint(root: str, temporary: str) -> str:
    """What a directory has in common with others in which `walk` finds the same; "" where there is none.

    One in which a transfer has begun to fill `temporary` is like no other.
    """
    if os.path.lexists(os.path.join(whole(root), temporary)):
        return "begun"
    return fingerprint_of(walk(root))


def fingerprint_of(found: Iterable[list[Any]]) -> str:
    """The fingerprint of what `walk` found."""
    import hashlib

    checksum, is_there = hashlib.sha256(), False
    for part in _parts(found):
        checksum.update(json.dumps(part).encode())
        is_there = True
    return checksum.hexdigest() if is_there else ""


def survey(root: str, names: list[str]) -> Iterator[Any]:
    """Of each name [kind, size, mtime_ns, mode], links not followed; None where there is nothing."""
    root = whole(root)
    for name in names:
        try:
            path = os.path.join(root, name)
            yield _shown(_settled(path, os.lstat(path)))
        except (FileNotFoundError, NotADirectoryError):
            yield None


def digest(algorithm: str, root: str, names: list[str], links: bool = False) -> Iterator[Any]:
    """The checksum of each file as hex, None where it is gone.

    With `links` a link is not followed: its checksum is `link:` and where it leads.
    """
    root = whole(root)
    way = _way(algorithm)
    if isinstance(way, str):
        yield from _by_tool(way, root, names, links)
        return
    view = memoryview(bytearray(_CHUNK))
    for name in names:
        path = os.path.join(root, name)
        try:
            yield _by_library(way(), path, view, os.O_NOFOLLOW if links else 0)
        except FileNotFoundError:
            yield None
        except OSError as error:
            if error.errno != errno.ELOOP or not links:
                raise
            yield "link:" + os.readlink(path)


def _by_library(hasher: Any, path: str, view: memoryview, flags: int) -> str | None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | flags)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None  # the file is gone, and a pipe in its place could keep us for ever
        while True:
            count = os.readv(descriptor, [view])
            if not count:
                return str(hasher.hexdigest())
            hasher.update(view[:count])
    finally:
        os.close(descriptor)


def _way(algorithm: str) -> Any:
    """How an algorithm is computed here: a constructor, the name of a command, or None."""
    import shutil

    tool = {"xxh3": "xxhsum", "blake3": "b3sum"}.get(algorithm, "")
    return library_of(algorithm) or (tool if shutil.which(tool) and _by_command(tool, [os.devnull]) else None)


def library_of(algorithm: str) -> Any:
    """The constructor of an algorithm in this Python, None where it has none."""
    if algorithm == "sha256":
        import hashlib

        return hashlib.sha256
    if algorithm == "xxh3":
        try:
            import xxhash  # a site may have it, or the command, or neither

            return xxhash.xxh3_64
        except ImportError:
            pass
    return None


def _by_tool(tool: str, root: str, names: list[str], links: bool) -> Iterator[Any]:
    for start in range(0, len(names), _WORDS_A_COMMAND):
        paths = [os.path.join(root, name) for name in names[start : start + _WORDS_A_COMMAND]]
        found = {path: "link:" + os.readlink(path) for path in paths if links and os.path.islink(path)}
        there = [path for path in paths if path not in found and os.path.isfile(path)]
        simple = [path for path in there if "\n" not in path]  # a line of the answer is a file
        found.update(zip(simple, _by_command(tool, simple)))
        for path in set(there) - set(simple):
            with open(path, "rb") as file:
                found.update(zip([path], _by_command(tool, [], file)))
        if not found.keys() >= set(there):
            raise OSError(errno.EIO, f"{tool} did not read all files", root)
        yield from (found.get(path) for path in paths)


def _by_command(tool: str, paths: list[str], stdin: Any = None) -> list[str]:
    """The checksums of files in their order, or of standard input; none where the command failed."""
    import subprocess

    if not paths and stdin is None:
        return []
    options = {"xxhsum": ["-H3"], "b3sum": ["--no-names"]}[tool]
    words = [tool, *options, *(["--", *paths] if paths else [])]
    done = subprocess.run(words, stdin=stdin or subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        return []
    return [_hex_of(line) for line in done.stdout.decode("ascii", "replace").split("\n") if line]


def _hex_of(line: str) -> str:
    """The checksum in `HEX`, `HEX  NAME`, `XXH3_HEX  NAME` or, of older releases, `XXH3 (NAME) = HEX`."""
    if line.startswith("XXH3 ("):
        return line.rpartition(" = ")[2]
    first = line.split(" ")[0]
    return first[len("XXH3_") :] if first.startswith("XXH3_") else first


def begin(temporary: str, most: int, old: str = "") -> int:
    """Make room for a file that is to come; where `old` is given, start from a copy of it.

    The file has a directory for itself. What an earlier try left in it is kept, unless it has more than
    `most` bytes; what was begun of other versions is removed. Returns the bytes that are there.
    """
    temporary, old = whole(temporary), whole(old)
    directory, own = os.path.split(temporary)
    os.makedirs(directory, exist_ok=True)
    for name in os.listdir(directory):
        if name != own:
            os.unlink(os.path.join(directory, name))
    if os.path.exists(temporary) and os.stat(temporary).st_size > most:
        os.unlink(temporary)
    if old and not os.path.exists(temporary):
        import shutil

        # In one step, else a copy cut short would pass for an earlier try.
        os.replace(shutil.copyfile(old, temporary + ".copied"), temporary)
    if os.path.exists(temporary):
        os.chmod(temporary, 0o600)  # rsync may have given it the mode that it is to have
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return os.stat(temporary).st_size


def finish(temporary: str, target: str, mtime_ns: int, mode: int, durable: bool) -> None:
    """Give a whole file mode and time, and then its name in one step."""
    temporary, target = whole(temporary), whole(target)
    os.chmod(temporary, mode)
    os.utime(temporary, ns=(mtime_ns, mtime_ns))
    if durable:
        _sync(temporary)
    os.replace(temporary, target)
    os.rmdir(os.path.dirname(temporary))
    if durable:
        _sync(os.path.dirname(target))


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def settle(path: str) -> None:
    """Write all that the file system of a path still holds in memory to its disk."""
    import ctypes

    descriptor = os.open(whole(path), os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            raise OSError(ctypes.get_errno(), "cannot sync", path)
    finally:
        os.close(descriptor)


def make(root: str, names: list[str]) -> None:
    """Make directories that are not there; outer ones first."""
    root = whole(root)
    for name in names:
        os.makedirs(os.path.join(root, name), exist_ok=True)


def dress(root: str, wanted: list[list[Any]]) -> None:
    """Give each [name, mtime_ns, mode] these; of directories last what lies deepest first."""
    root = whole(root)
    for name, mtime_ns, mode in wanted:
        path = os.path.join(root, name)
        os.chmod(path, mode)
        os.utime(path, ns=(mtime_ns, mtime_ns))


def drop(path: str) -> None:
    """Remove a temporary file or directory, if it is there, whatever the modes of directories below."""
    path = whole(path)
    if os.path.isdir(path):
        import shutil

        try:
            shutil.rmtree(path)
        except PermissionError:
            _unlock(path)
            shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def _unlock(path: str) -> None:
    """Let us change a directory and all below it; links are not followed."""
    os.chmod(path, 0o700)
    for below in [entry.path for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False)]:
        _unlock(below)


def remove(root: str, known: list[list[Any]]) -> Iterator[str]:
    """Remove each [name, size, mtime_ns] that is still so; yields the names of those that are not."""
    root = whole(root)
    for name, size, mtime_ns in known:
        path = os.path.join(root, name)
        try:
            now = os.lstat(path)
            if (now.st_size, now.st_mtime_ns) == (size, mtime_ns):
                os.unlink(path)
            else:
                yield name
        except FileNotFoundError:
            pass  # removed by an earlier try


def prune(root: str, names: list[str]) -> Iterator[str]:
    """Remove directories that are empty, deepest first; yields the names of those that are not."""
    for name in sorted(names, key=lambda name: (bool(name), name.count("/")), reverse=True):
        try:
            os.rmdir(os.path.join(whole(root), name) if name else whole(root))
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY):
                raise
            yield name


def load(source: str) -> None:
    """Learn to answer more."""
    exec(compile(source, "more", "exec"), globals())


def ping() -> None:
    """Show how long a question travels."""


def sample(path: str) -> float:
    """To which share of its size some of what lies at a path can be compressed; 1 for nothing."""
    import zlib

    path = whole(path)
    found: list[str] = []
    for directory, _, names in os.walk(path) if os.path.isdir(path) else [("", [], [path])]:
        found += [os.path.join(directory, name) for name in names[:_SAMPLES]]
        if len(found) >= _SAMPLES:
            break
    plain = packed = 0
    for name in found[:_SAMPLES]:
        if os.path.isfile(name):
            with open(name, "rb") as file:
                data = file.read(_SAMPLE_BYTES)
            plain, packed = plain + len(data), packed + len(zlib.compress(data, 1))
    return packed / plain if plain else 1.0


_CALLS = (facts, rsync, ping, look, walk, fingerprint, survey, digest, sample)
_ORDERS = (load, begin, finish, settle, make, dress, drop, remove, prune)
CALLS: dict[str, Any] = {call.__name__: call for call in (*_CALLS, *_ORDERS)}
AT_ONCE = frozenset([*CALLS, "pack", "unpack"])  # the others come by `load`


def answered(do: Callable[[], Any]) -> Iterator[dict[str, Any]]:
    """What comes of a question, as answers; lists come in several parts."""
    try:
        found = do()
        if isinstance(found, Iterator):
            yield from ({"part": part} for part in _parts(found))
            found = None
        yield {"done": found}
    except OSError as error:
        yield {"errno": error.errno or 0, "fact": error.strerror or str(error), "path": error.filename or ""}


def _parts(items: Iterable[Any]) -> Iterator[list[Any]]:
    part: list[Any] = []
    for item in items:
        part.append(item)
        if len(part) == ENTRIES_A_LINE:
            yield part
            part = []
    if part:
        yield part


def serve(asks: BinaryIO, parcels: dict[str, Any]) -> None:
    """Answer lines until they end; after some of them come, or go, bytes of files."""
    said = sys.stdout.buffer

    def say(answers: Iterable[dict[str, Any]]) -> None:
        for found in answers:
            said.write(json.dumps(found).encode() + b"\n")
        said.flush()

    say([{"ready": 1}])
    for line in iter(asks.readline, b""):
        asked = json.loads(line)
        if asked["call"] == "pack":
            said.writelines(parcels["pack"](*asked["args"]))
            say([{"done": None}])
        elif asked["call"] == "unpack":
            say(answered(partial(parcels["unpack"], *asked["args"], asks.read)))
        else:
            say(answered(partial(CALLS[asked["call"]], *asked["args"])))
