"""Holds what we do for a program in a container to the directories that its container has.

The agent is outside of the container: a link or a path that the program left would lead us to places
that the program itself cannot reach. It changes nothing; it only says where things truly lie.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

Walls = tuple[str, ...]
"""Real paths of directories; none: the program runs on the bare host and may reach all that we may."""


def walls_of(directories: Iterable[str]) -> Walls:
    """Return the walls of a program that has these directories."""
    return tuple({os.path.realpath(path): None for path in directories if path})


def has(walls: Walls, path: str) -> bool:
    """Tell whether a real path is within the walls."""
    return not walls or any(path == wall or path.startswith(wall.rstrip("/") + "/") for wall in walls)


def has_open(walls: Walls, fd: int) -> bool:
    """Tell the same of an open file or directory, whatever its path has become meanwhile."""
    return not walls or has(walls, os.readlink(f"/proc/self/fd/{fd}"))


def resolved(path: str) -> str:
    """Return the path with its directory resolved; its last part may be a link, and stays one."""
    directory, name = os.path.split(path)
    return os.path.join(os.path.realpath(directory), name)
