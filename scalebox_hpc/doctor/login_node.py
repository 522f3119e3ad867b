"""Looks at the machine that it runs on: the doctor calls it here, and sends its text to Pythons elsewhere.

So it is one file for Python 3.9 and its standard library. It judges nothing; what it writes it removes.
"""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from io import FileIO
from typing import Any

SLURM = ("sbatch", "squeue", "scancel", "scontrol")
RUNTIMES = {"apptainer": "apptainer", "singularity": "singularity", "charliecloud": "ch-run"}
ANSWER_S = 20.0  # for a program to answer
MIB = 1 << 20


def look(shared: str, mark: str) -> dict[str, Any]:
    """Return who and where we are, and what the shared folder is like; leave a file of that name in it."""
    path = expand(shared)
    found = place(path)
    if "$" in path or not os.path.isabs(path):
        found["problem"] = "that is no path here: a variable is not set"
    if not found["problem"]:
        with open(os.path.join(found["there"], mark), "x", encoding="ascii") as file:
            file.write(mark)
    return {
        "host": socket.gethostname(),
        "user": getpass.getuser(),
        "uid": os.getuid(),
        "clock_s": time.time_ns() / 1e9,
        "shared": found,
    }


def look_again(shared: str, mark: str, scratch: str | None) -> dict[str, Any]:
    """Return what else there is, and whether the file that `look` left is seen; remove that.

    `scratch` is "" for where temporary files go, None for a directory that is not here.
    """
    left = os.path.join(nearest(expand(shared)), mark)
    return {
        "seen": _works(lambda: os.unlink(left)),
        "missing": [name for name in SLURM if shutil.which(name) is None],
        "scratch": None if scratch is None else place(expand(scratch) or tempfile.gettempdir()),
        "containers": containers(),
    }


def expand(path: str) -> str:
    """Fill `~` and variables of this machine into a path."""
    user = re.sub(r"\$(?:USER\b|\{USER\})", lambda _: getpass.getuser(), path)  # it may not be set
    return os.path.expandvars(os.path.expanduser(user))


def nearest(path: str) -> str:
    """Return the path, or the directory over it that there is already."""
    while not os.path.exists(path) and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    return path


def place(path: str) -> dict[str, Any]:
    """Return what a directory can do, or where it is not there yet, the one that it would be made in."""
    found: dict[str, Any] = {
        "path": path,
        "exists": os.path.isdir(path),
        "problem": "",
        "there": nearest(path),
    }
    try:
        room = os.statvfs(found["there"])
        with tempfile.TemporaryDirectory(prefix=".sbx-doctor-", dir=found["there"]) as made:
            found.update(_try_out(made))
    except OSError as error:
        return {**found, "problem": f"{found['there']}: {error.strerror or error}"}
    return {
        **found,
        "folder": os.path.realpath(found["there"]),
        "mounts": _read("/proc/self/mounts"),
        "free_mib": room.f_bavail * room.f_frsize // MIB,
        "free_inodes": room.f_favail if room.f_files else None,
    }


def _try_out(directory: str) -> dict[str, Any]:
    """Return what a directory can do. Raises OSError where not even a file can be written."""
    file, other = os.path.join(directory, "file"), os.path.join(directory, "other")
    with open(file, "wb", buffering=0) as opened:
        fsync_s = min(_time_to_write(opened) for _ in range(3))  # the least: others use the disk too
        ahead_s = (time.time_ns() - os.fstat(opened.fileno()).st_mtime_ns) / 1e9
        locks = _works(lambda: fcntl.lockf(opened, fcntl.LOCK_EX | fcntl.LOCK_NB))
    links = _works(lambda: os.link(file, os.path.join(directory, "link")))
    with open(other, "wb") as opened:
        opened.write(b"other")
    replaces = _works(lambda: os.replace(other, file)) and _read(file) == "other"
    return {"fsync_s": fsync_s, "ahead_s": ahead_s, "links": links, "locks": locks, "replaces": replaces}


def _time_to_write(file: FileIO) -> float:
    """Return the seconds until a small write is safe on disk."""
    began_ns = time.perf_counter_ns()
    file.write(bytes(4096))
    os.fsync(file.fileno())
    return (time.perf_counter_ns() - began_ns) / 1e9


def _works(act: Callable[[], Any]) -> bool:
    try:
        act()
    except OSError:
        return False
    return True


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def containers() -> dict[str, Any]:
    """Return the container runtimes in PATH, and what lets an ordinary user run them."""
    found = [each for each in map(_runtime, RUNTIMES) if each is not None]
    return {
        "runtimes": found,
        "namespaces": _no_namespaces(),
        "squashfuse": _squashfuse(found),
        "root": os.geteuid() == 0,
    }


def _runtime(name: str) -> dict[str, Any] | None:
    path = shutil.which(RUNTIMES[name])
    if path is None:
        return None
    said = _said([path, "--version"])
    version = re.search(r"\d+(?:\.\d+)+\S*", said)
    libraries = _libraries(path) if name != "charliecloud" else ""
    return {
        "name": name,
        "path": path,
        "version": version[0] if version else "",
        "family": "apptainer" if "apptainer" in said else name,
        "setuid": any(map(_is_setuid, _programs(libraries, "starter-suid"))),
        "libraries": libraries,
    }


def _libraries(program: str) -> str:
    """Return where Apptainer or Singularity keeps its own programs."""
    found = re.search(r"^LIBEXECDIR=(/.+)$", _said([program, "buildcfg"]), re.MULTILINE)
    return found[1] if found else ""


def _programs(libraries: str, begins: str) -> list[str]:
    """Return the programs whose names begin so in a runtime's folders."""
    folders = os.scandir(libraries) if os.path.isdir(libraries) else ()
    bins = [os.path.join(each.path, "bin") for each in folders]
    return [
        each.path
        for folder in bins
        if os.path.isdir(folder)
        for each in os.scandir(folder)
        if each.name.startswith(begins)
    ]


def _is_setuid(path: str) -> bool:
    return bool(os.stat(path).st_mode & stat.S_ISUID)


def _no_namespaces() -> str:
    """Return why we get no user namespace of our own; "" where we do."""
    try:
        done = subprocess.run(
            ["unshare", "--user", "--map-root-user", "--mount", "true"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ANSWER_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else done.stderr.strip() or "unshare failed"


def _squashfuse(runtimes: list[dict[str, Any]]) -> bool:
    """Return whether an image file can be mounted without privileges."""
    bundled = [path for each in runtimes for path in _programs(each["libraries"], "squashfuse")]
    there = bundled or any(map(shutil.which, ("squashfuse_ll", "squashfuse")))
    return bool(there) and os.access("/dev/fuse", os.R_OK | os.W_OK)


def _said(words: list[str]) -> str:
    """Return what a program prints; "" where it cannot be run."""
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=ANSWER_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr


def main() -> None:
    """Answer the one question on the command line, in JSON."""
    asked = json.loads(sys.argv[1])
    answers: dict[str, Callable[..., Any]] = {"look": look, "look again": look_again}
    print(json.dumps(answers[asked.pop("do")](**asked)))


if __name__ == "__main__":
    main()
