"""What follows from disks of nodes that have no room for work directories. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

AGAIN_S: Final = 15.0
"""The least time from an agent that left for the sake of a disk to the next submission: doubled with each."""

AGAIN_MOST_S: Final = 600.0


def wait_s(endings: int) -> float:
    """Return how long to ask for nothing after the last of so many endings for the sake of a disk."""
    return min(AGAIN_S * 2.0 ** min(endings - 1, 20), AGAIN_MOST_S)


def short_of_scratch(free_mib: int, needs: Mapping[str, int]) -> str:
    """Say why an agent got none of the tasks that wait, if its disk is why; else "".

    `needs` is the MiB of scratch that a task takes, by module, of those that have tasks waiting.
    """
    if not needs or min(needs.values()) <= free_mib:
        return ""
    module = min(needs, key=lambda name: needs[name])
    return f"its disk has {free_mib} MiB free for work directories, a task of {module} needs {needs[module]}"
