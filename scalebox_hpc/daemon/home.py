"""The home and its shared folders: where things lie, made with the right modes or not at all.

It does not open the ledger, keep the lock or start anything. What it cannot make, it says with
the path and what to do about it.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scalebox_hpc import bundle
from scalebox_hpc.disk import problem_with, write_whole
from scalebox_hpc.errors import ConflictError, EnvironmentProblem, UsageError

IDENTITY: Final = "home.json"
NO_HOME_YET: Final = "0" * 16  # stands for the id that a home will draw
SHARED_PARTS: Final = ("files", "runs", "tries", "logs", "spool", "ended")
REMOTE_SHARED: Final = "~/.sbx/shared"  # `paths.shared` of a remote site that names none
_recording = threading.Lock()  # home.json is read and written by the engine and by hands


@dataclass(frozen=True, slots=True)
class Home:
    """A `.sbx/` directory that exists. Paths only; what they hold is told where it is written."""

    path: Path  # absolute
    id: str  # 16 hex digits

    @property
    def ledger(self) -> Path:
        return self.path / "ledger.db"

    @property
    def daemon_json(self) -> Path:
        return self.path / "daemon.json"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def log(self) -> Path:
        return self.path / "log" / "daemon.log"

    @property
    def stdin(self) -> Path:
        return self.path / "stdin"

    @property
    def local(self) -> Path:
        return self.path / "local"

    def recorded(self) -> dict[str, Any]:
        """What home.json holds beside the id: `path`, and once a daemon ran `port`, `shared`, `ledger`."""
        return _read_identity(self.path)

    def record(self, changes: Mapping[str, Any]) -> None:
        """Change entries of home.json. Only the holder of the lock may call this."""
        with _recording:
            write_whole(self.path / IDENTITY, json.dumps(self.recorded() | dict(changes)), 0o600)


def make_private(path: Path, remedy: str) -> None:
    """Make a directory that only its owner may enter, or check that it is one.

    Raises EnvironmentProblem where it cannot be made, is not ours, or cannot be written.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
        if found.st_uid != os.geteuid():
            raise EnvironmentProblem(f"{path} belongs to another user (uid {found.st_uid})", remedy)
        if found.st_mode & 0o777 != 0o700:
            path.chmod(0o700)
    except OSError as error:
        raise problem_with(path, error, "make the directory", remedy) from error
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise problem_with(path, PermissionError(errno.EACCES, "Permission denied"), "write to", remedy)


def create(path: Path) -> Home:
    """Make a home where there is none, or open the one there is; any number of callers may race.

    Raises EnvironmentProblem, and what `open_home` raises.
    """
    path = Path(os.path.abspath(path))
    make_private(path, "put the home elsewhere with SBX_HOME, or make its place writable")
    if not (path / IDENTITY).exists():
        _draw_identity(path)
    return open_home(path)


def _draw_identity(path: Path) -> None:
    """Write a new identity unless another process was first."""
    identity = {"id": secrets.token_hex(8), "path": os.path.realpath(path), "version": 1}
    temporary = path / f".{IDENTITY}.{secrets.token_hex(8)}"
    try:
        write_whole(temporary, json.dumps(identity), 0o600)
        os.link(temporary, path / IDENTITY)
    except FileExistsError:
        pass
    except OSError as error:
        remedy = "put the home on a file system with hard links (SBX_HOME)"
        raise problem_with(path / IDENTITY, error, "write", remedy) from error
    finally:
        temporary.unlink(missing_ok=True)


def _read_identity(path: Path) -> dict[str, Any]:
    try:
        identity = json.loads((path / IDENTITY).read_text())
        if len(bytes.fromhex(identity["id"])) != 8 or not isinstance(identity["path"], str):
            raise ValueError("no id or path in it")
    except FileNotFoundError as error:
        raise UsageError(f"{path} is no home: it has no {IDENTITY}", "`sbx run` makes one") from error
    except OSError as error:
        raise problem_with(path / IDENTITY, error, "read", "check its owner and mode") from error
    except (ValueError, KeyError, TypeError) as error:
        hint = (
            "bring the file back from a backup; without it the home's allocations cannot be told from others'"
        )
        raise EnvironmentProblem(f"{path / IDENTITY} cannot be read: {error}", hint) from error
    return dict(identity)


def open_home(path: Path) -> Home:
    """Open an existing home and make what parts are missing.

    Raises UsageError where there is none, ConflictError where it lies at another path than it
    recorded, EnvironmentProblem where it cannot be used.
    """
    path = Path(os.path.abspath(path))
    identity = _read_identity(path)
    if not _same_place(path, identity["path"]):
        raise ConflictError(
            f"the home {path} was at {identity['path']} when it was last used",
            "if it was moved, say `sbx daemon moved`; if this is a copy, say `sbx daemon copied`",
        )
    for part in (path, path / "log", path / "stdin", path / "local"):
        make_private(part, "check who owns the home and whether its file system is writable")
    return Home(path, identity["id"])


def _same_place(path: Path, recorded: str) -> bool:
    """One directory may have many names (links, mounts); it is the same where either name leads to it."""
    if os.path.realpath(path) == recorded:
        return True
    try:
        return os.path.samefile(path, recorded)
    except OSError:
        return False


def say_moved(path: Path) -> Home:
    """Record that the home lies here now, and is still the same."""
    path = Path(os.path.abspath(path))
    identity = _read_identity(path) | {"path": os.path.realpath(path)}
    write_whole(path / IDENTITY, json.dumps(identity), 0o600)
    return open_home(path)


def say_copied(path: Path) -> Home:
    """Record that this home is a copy: it gets an id and keys of its own.

    Its ledger still names the original, and the allocations in it belong to the original;
    `copied_from` in home.json says so to whoever opens the ledger next.
    """
    path = Path(os.path.abspath(path))
    before = _read_identity(path)
    for name in ("key", "tls.key", "tls.crt", "daemon.json", "lock"):
        (path / name).unlink(missing_ok=True)
    identity = {"id": secrets.token_hex(8), "path": os.path.realpath(path), "version": 1}
    identity |= {"copied_from": before["id"], "ledger": before.get("ledger", False)}
    write_whole(path / IDENTITY, json.dumps(identity), 0o600)
    return open_home(path)


def shared_path(home: Home, site_shared: str | None) -> Path:
    """Where the shared folder of a site with this `paths.shared` is; None: inside the home."""
    if site_shared is None:
        return home.path / "shared"
    return Path(os.path.expandvars(os.path.expanduser(site_shared))) / f"sbx-{home.id}"


def remote_shared(home: Home, site_shared: str | None) -> str:
    """The same of a remote site, as it is written: `~` and variables are filled in there."""
    return f"{(site_shared or REMOTE_SHARED).rstrip('/')}/sbx-{home.id}"


def build_agent(target: Path) -> None:
    """Write the agent's file."""
    bundle.build_agent(target)


def make_shared(home: Home, site_shared: str | None, build: Callable[[Path], None] = build_agent) -> Path:
    """Make a shared folder with its parts and the agent's file, or complete the one there is.

    Raises UsageError for a relative path, EnvironmentProblem where it cannot be written.
    """
    path = shared_path(home, site_shared)
    remedy = "set `paths.shared` in the site file to a directory that you may write and compute nodes reach"
    if not path.is_absolute():
        raise UsageError(f"paths.shared = {site_shared!r} is not an absolute path", remedy)
    for part in (path, *(path / name for name in SHARED_PARTS)):
        make_private(part, remedy)
    fresh = path / f".agent.pyz.{os.getpid()}.{secrets.token_hex(4)}"
    try:
        build(fresh)
        _replace_if_other(fresh, path / "agent.pyz")
    except OSError as error:
        raise problem_with(path / "agent.pyz", error, "write", remedy) from error
    finally:
        fresh.unlink(missing_ok=True)
    return path


def _replace_if_other(fresh: Path, target: Path) -> None:
    """Leave an equal file alone: agents at work read it lazily."""
    if target.exists() and target.read_bytes() == fresh.read_bytes():
        return
    fresh.chmod(0o500)
    os.replace(fresh, target)
