"""Pulls, builds and inspects images with the container runtime of this machine, through spython.

spython's own `pull` and `build` throw away what the runtime wrote and how it ended, and know only
a program called `singularity`: its client makes and runs the commands, and what comes of them is
judged here (docs/decisions/0013-images-by-content.md). Nothing is kept: where images go is the
store's affair.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from scalebox_hpc.containers.source import REGISTRIES, Source
from scalebox_hpc.errors import (
    BuildFailed,
    ImageMissing,
    RegistryUnreachable,
    RuntimeAbsent,
    SbxError,
    StorageFull,
)

if TYPE_CHECKING:
    from spython.main.base import Client

PROGRAMS: Final = ("apptainer", "singularity")
LAST_LINES: Final = 6  # of what a runtime wrote, shown in an error
_AWAY: Final = re.compile(
    r"dial tcp|no such host|connection refused|i/o timeout|network is unreachable|no route to host|"
    r"TLS handshake|server misbehaving|connection reset|context deadline exceeded|x509:",
    re.IGNORECASE,
)
_NOT_THERE: Final = re.compile(
    r"manifest unknown|name unknown|not found|unauthorized|access .*denied|denied:|status: 40[134]|\b404\b",
    re.IGNORECASE,
)
_NO_ROOM: Final = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_NOISE: Final = re.compile(r"\x1b\[[0-9;]*m|^(?:FATAL|ERROR):\s*", re.MULTILINE)


# Starts a command in a directory, without input; it is told to end when we are gone, however that came.
_START: Final = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 15)
os.chdir(sys.argv[1])
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.execv(sys.argv[2], sys.argv[2:])
"""


class Runtime(Protocol):
    """What makes image files."""

    def make(self, source: Source, target: Path, *, no_https: bool = False) -> None:
        """Write the image of a source to a new file. Raises errors that name the image."""

    def inspect(self, path: Path) -> dict[str, Any]:
        """Labels, definition and the like of an image; empty where nothing here can tell."""


class SpythonRuntime:
    """Apptainer or Singularity, as found in PATH or named by the site."""

    def __init__(self, named: str = "", environ: Mapping[str, str] = os.environ) -> None:
        self._named, self._environ = named, environ

    def make(self, source: Source, target: Path, *, no_https: bool = False) -> None:
        """Pull or build.

        Raises RuntimeAbsent, RegistryUnreachable, ImageMissing, BuildFailed, StorageFull.
        """
        program = self._program(source)
        client = _client()
        if source.kind in REGISTRIES:
            command = client._init_command("pull")
            options = ["--disable-cache", *(["--no-https"] if no_https else []), "--name", str(target)]
            words, folder = [*command, *options, source.text], target.parent
        else:
            command = client._init_command("build")
            given = source.text if source.kind not in ("def", "sandbox") else str(source.path)
            words = [*command, *self._build_options(program, source), str(target), given]
            folder = source.path.parent if source.path is not None else target.parent
        words[0] = program
        status, text = self._run(client, words, folder)
        if status != 0 or not target.is_file():
            raise _failure(source, Path(program).name, status, text)

    def _build_options(self, program: str, source: Source) -> list[str]:
        """Singularity builds definitions as an ordinary user only when told to; apptainer does anyway."""
        old = source.kind == "def" and os.geteuid() != 0 and Path(program).name == "singularity"
        if old and "apptainer" not in self._run(_client(), [program, "--version"], Path("/"))[1]:
            return ["--disable-cache", "--fakeroot"]
        return ["--disable-cache"]

    def inspect(self, path: Path) -> dict[str, Any]:
        """spython knows only the name `singularity`, which Apptainer's packages bring as well."""
        if shutil.which("singularity", path=self._environ.get("PATH")) is None:
            return {}
        try:
            found = _client().inspect(str(path))
        except (ValueError, LookupError, TypeError):  # an answer of another shape than spython knows
            return {}
        return dict(found.get("attributes") or {}) if isinstance(found, dict) else {}

    def _found(self) -> str | None:
        names = [self._named] if self._named in PROGRAMS else []
        found = (shutil.which(name, path=self._environ.get("PATH")) for name in (*names, *PROGRAMS))
        return next((each for each in found if each), None)

    def _program(self, source: Source) -> str:
        program = self._found()
        if program is None:
            raise RuntimeAbsent(
                f"nothing on this machine can make an image of {source.text}: "
                f"neither {' nor '.join(PROGRAMS)} is in PATH",
                "load its module and try again (a daemon keeps the PATH it was started with: "
                "`sbx daemon stop` first), or make a .sif file elsewhere and name that",
            )
        return program

    def _run(self, client: Client, words: list[str], folder: Path) -> tuple[int, str]:
        """Run in a directory, for paths in a definition are relative to it; spython cannot by itself."""
        inside = [sys.executable, "-I", "-S", "-c", _START, str(folder), *words]
        environ = {**self._environ, "LC_ALL": "C"}
        try:
            done = client._run_command(inside, capture=True, quiet=True, return_result=True, environ=environ)
        except UnicodeDecodeError:
            return -1, "what it wrote is no UTF-8 text"
        message = done["message"]
        return int(done["return_code"]), message if isinstance(message, str) else "\n".join(message)


def _client() -> Client:
    """spython's client, loaded when it is needed: commands that need none start without it."""
    from spython.main import get_client

    client = get_client()
    client.quiet = True  # its option of that name is lost on the way
    return client


def _failure(source: Source, program: str, status: int, text: str) -> SbxError:
    """The error for what a runtime wrote when it failed."""
    said = [line for line in _NOISE.sub("", text).splitlines() if line.strip()][-LAST_LINES:]
    shown = "\n".join(said) or f"{program} said nothing"
    if _NO_ROOM.search(text):
        return StorageFull(
            f"no room to make the image {source.text}: {said[-1]}",
            "make room in the image store and in $TMPDIR; APPTAINER_TMPDIR names another place to work in",
        )
    if source.kind in REGISTRIES and _AWAY.search(text):
        return RegistryUnreachable(
            f"the registry of {source.text} cannot be reached: {said[-1]}",
            "try where there is a network, then run here with the .sif file; a proxy is set by HTTPS_PROXY",
        )
    if source.kind in REGISTRIES and _NOT_THERE.search(text):
        return ImageMissing(
            f"the registry has no image {source.text} for you: {said[-1]}",
            f"look at its name and tag; for a private one say `{program} registry login` first",
        )
    verb = "pull" if source.kind in REGISTRIES else "build"
    return BuildFailed(f"{program} could not {verb} {source.text} (exit status {status}):\n{shown}")
