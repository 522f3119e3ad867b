"""The named statements of the .sql files beside this one.

A statement begins with `-- name: WORD`, followed by comment lines that say what it is for.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def statements() -> dict[str, str]:
    """Return every statement by its name. Raises ValueError where a name is used twice."""
    found: dict[str, str] = {}
    for file in sorted(resources.files("scalebox_hpc.ledger").iterdir(), key=lambda item: item.name):
        if not file.name.endswith(".sql"):
            continue
        pieces = _NAME.split(file.read_text(encoding="utf-8"))
        for name, text in zip(pieces[1::2], pieces[2::2], strict=True):
            if name in found:
                raise ValueError(f"{file.name}: statement {name} is there twice")
            found[name] = text.strip().rstrip(";")
    return found


@cache
def migrations() -> tuple[tuple[int, str], ...]:
    """Return (version, script) of every migration, in order."""
    folder = resources.files("scalebox_hpc.ledger") / "migrations"
    scripts = sorted(
        (item for item in folder.iterdir() if item.name.endswith(".sql")), key=lambda item: item.name
    )
    return tuple((int(item.name.split("_")[0]), item.read_text(encoding="utf-8")) for item in scripts)
