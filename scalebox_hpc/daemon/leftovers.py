"""Files of ours that are of use once, or no more: last words of wrappers, folders of runs that are over.

It finds, reads and removes them for the hands; what is to go the engine decides.
"""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

ENDINGS_MOST = 1000  # last words that are taken in at once; the others are at the next look


def read_endings(shared: str) -> list[tuple[str, Any]]:
    """Path and content of the last words that wrappers left as files; what cannot be read is passed over."""
    found = []
    for path in _entries(shared, "ended")[:ENDINGS_MOST]:
        if path.suffix == ".json" and not path.name.startswith("."):  # else still being written
            try:
                found.append((str(path), json.loads(path.read_bytes())))
            except (OSError, ValueError):
                continue
    return found


def run_folders(shared: str) -> list[str]:
    """The directories of runs in a shared folder; each has the name of its run."""
    return [str(path) for path in _entries(shared, "runs")]


def remove(path: str) -> None:
    """Remove a directory with all that is in it, or a file; what is gone or resists is passed over."""
    found = Path(path)
    if found.is_dir() and not found.is_symlink():
        shutil.rmtree(found, ignore_errors=True)
        return
    with suppress(OSError):
        found.unlink()


def _entries(shared: str, part: str) -> list[Path]:
    try:
        return sorted(Path(shared, part).iterdir())
    except OSError:
        return []
