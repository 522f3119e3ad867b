"""Tasks inside a warm container, as the agent knows them: what starts them, and how to reach them.

Two kinds of hands start them: a runner that has entered the container (`joined`), or the shell
inside that holds it open (`anchor`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import NamedTuple, Protocol

from scalebox_hpc.agent.child import Process
from scalebox_hpc.agent.workdir import Slot

LOST = "container"  # why a guest was stopped whose container ended


class Usage(NamedTuple):
    """What of an rusage is told of guests."""

    ru_utime: float
    ru_stime: float
    ru_maxrss: int  # KiB; 0 where nobody can tell


class Order(NamedTuple):
    """One task to be started."""

    process: Process
    slot: Slot
    tmp: str  # the slot's own directory for temporary files
    argv: list[str]
    env: dict[bytes, bytes]  # beside the container's own
    time_s: float
    not_started: Callable[[str], None]  # told why


class Hands(Protocol):
    """What starts tasks in a container that is up."""

    orders: dict[int, Order]  # those whose end has not been told
    worked: bool  # a task has run to its end

    def start(self, order: Order) -> None:
        """Start a task; its end is told to `children`. Raises ValueError, OSError."""

    def close(self) -> None:
        """Start no more."""


def explain(word: str, image: str, number: int, is_there: bool) -> str:
    """Say why a program did not start inside, and what to do; `number` is an errno."""
    name = os.path.basename(image)
    if not is_there:
        return (
            f"{word}: no such program in {name}; install it in the image, ship it in `bin/`,"
            f" or write ./{word} for a file beside pipeline.toml"
        )
    reasons = {
        errno.ENOENT: f"what its first line names is not in {name}; install it in the image",
        errno.EACCES: "it is not executable; `chmod +x` it, then start a new run",
        errno.ENOEXEC: "it is no program of this machine; a script needs a first line as #!/bin/sh",
        errno.E2BIG: "body and headers are too long for a command line; use $SBX_BODY, or a file",
    }
    return f"{word}: {reasons.get(number, os.strerror(number))}"
