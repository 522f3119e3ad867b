"""Writes a small file whole, for somebody on another machine who waits for it."""

from __future__ import annotations

import json
import os
from typing import Any


def write_whole(path: str, content: dict[str, Any]) -> None:
    """Write JSON that is there as a whole or not at all. Raises OSError."""
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}.{os.getpid()}")
    with open(temporary, "w", encoding="ascii") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, path)
