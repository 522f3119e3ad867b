"""What a program left, taken in as an agent does it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from scalebox_hpc.agent.contract import Collected, Place, collect
from scalebox_hpc.agent.messages import Rules
from scalebox_hpc.agent.walls import Walls


def collected(
    work: Path, results: Path, rules: dict[str, Any], *, chunks: Path, walls: Walls = ()
) -> Collected:
    """Take in what is in a work directory, to the end; `walls` as for a container."""
    left = {entry.name: entry.is_file(follow_symlinks=False) for entry in os.scandir(work)}
    steps = collect(Place(str(work), left, str(results), "body", {}, str(chunks), walls), Rules(rules), True)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            found: Collected = done.value
            return found
