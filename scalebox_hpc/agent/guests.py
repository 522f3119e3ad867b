"""Tasks that a process beside the agent starts, as the agent knows them, and what stands for them.

Two kinds of hands start them: a runner (`joined`), on the bare host or in a container that it has
entered, or the shell inside that holds the container open (`anchor`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import NamedTuple, Protocol

from scalebox_hpc.agent.child import STANDING, Children, Ended, Process
from scalebox_hpc.agent.loop import Loop
from scalebox_hpc.agent.workdir import Slot, WorkDirs

LOST = "hands"  # why a guest was stopped whose starter ended


class Usage(NamedTuple):
    """What of an rusage is told of guests."""

    ru_utime: float
    ru_stime: float
    ru_maxrss: int  # KiB; 0 where nobody can tell


class Order(NamedTuple):
    """One task to be started."""

    process: Process
    slot: Slot
    module: int
    tmp: str  # the slot's own directory for temporary files; "" on the bare host
    path: str  # of the program; "" to look for the first word in the container
    argv: list[str]
    env: dict[bytes, bytes]  # beside what all tasks of the module have
    time_s: float
    not_started: Callable[[int, int], None]  # told what was missing (NO_PLACE ...), and the errno


class Setting(NamedTuple):
    """What all that stands beside tasks has in common."""

    loop: Loop
    children: Children
    work: WorkDirs
    helper: list[str]  # words that start a helper of ours: `runner`, `copy`
    environ: dict[bytes, bytes]  # of runtimes, with SBX_INCARNATION
    helper_environ: dict[bytes, bytes]  # what helpers need beside

    def stand(
        self,
        argv: list[str],
        redirections: list[tuple[int, int, int]],
        mark: bytes,
        ended: Ended,
        extra: dict[bytes, bytes] | None = None,
    ) -> Process:
        """Start a standing process, a helper unless `extra` is given. Raises OSError, ValueError.

        `mark`, as `standing_mark` makes it, is in the environment of it and of all that it starts for itself.
        """
        more = self.helper_environ if extra is None else extra
        env = {**self.environ, **more, STANDING: mark[len(STANDING) + 1 :]}
        marker = frozenset((b"SBX_INCARNATION=" + env[b"SBX_INCARNATION"], mark))
        return self.children.stand(argv, env, redirections, marker, ended)


def standing_mark(module: int, life: int) -> bytes:
    """Return what marks the processes that stand for a module (0: for the bare host), for the n-th time."""
    return STANDING + b"=%d.%d" % (module, life)


class Hands(Protocol):
    """What starts tasks."""

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
