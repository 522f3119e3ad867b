"""Says things in the element's log, which is standard error."""

from __future__ import annotations

import os


def log(text: str) -> None:
    """Say it, unless the log itself cannot be written: a full disk must not end the agent."""
    try:
        os.write(2, f"agent: {text}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        return
