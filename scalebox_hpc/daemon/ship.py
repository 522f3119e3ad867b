"""Copies a file that a run ships into the shared folder, once per content.

The copy is what tasks see for as long as the run lives: read-only, and verified against the
digest that the ledger keeps. It decides nothing about which files are shipped.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path
from typing import BinaryIO, Final

from scalebox_hpc.disk import problem_with, sync
from scalebox_hpc.errors import UsageError

PIECE_BYTES: Final = 1 << 20


def ship(source: Path, digest: str, shared: Path) -> Path:
    """Return the path of the copy, `<shared>/files/<digest>/<basename>`.

    `digest` is the SHA-256 of the content in hex. A copy made before is used again. Raises
    UsageError where the file is gone or no longer has this digest, StorageFull without room,
    EnvironmentProblem for all else.
    """
    folder = shared / "files" / digest
    target = folder / source.name
    runnable = _runnable(source)
    remedy = "check `paths.shared` of the site and its quota"
    try:
        if not target.exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _copy(source, digest, target)
            sync(folder)  # the ledger will say that it is there
        if runnable and not target.stat().st_mode & 0o100:
            target.chmod(0o500)
    except OSError as error:
        raise problem_with(target, error, "write", remedy) from error
    return target


def _runnable(source: Path) -> bool:
    try:
        return bool(source.stat().st_mode & 0o111)
    except OSError as error:
        raise UsageError(
            f"{source} cannot be read: {error.strerror}", "put it back, then submit again"
        ) from error


def _copy(source: Path, digest: str, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    hasher = hashlib.sha256()
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as copy, _open_source(source) as original:
            while piece := original.read(PIECE_BYTES):
                hasher.update(piece)
                copy.write(piece)
            copy.flush()
            os.fsync(copy.fileno())
        if hasher.hexdigest() != digest:
            raise UsageError(
                f"{source} changed while it was being submitted", "submit again when it is at rest"
            )
        temporary.chmod(0o400)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _open_source(source: Path) -> BinaryIO:
    try:
        return source.open("rb")
    except OSError as error:
        raise UsageError(
            f"{source} cannot be read: {error.strerror}", "put it back, then submit again"
        ) from error
