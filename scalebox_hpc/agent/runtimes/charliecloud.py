"""Charliecloud (ch-run): image directories and SquashFS files, without any privilege.

It cannot bind read-only and knows no GPU flag: the libraries must be in the image (`ch-fromhost`).
"""

from __future__ import annotations

import os
from typing import NamedTuple

from scalebox_hpc.agent.runtimes.base import Bind, Execution

SAYS = "ch-run["  # how it begins its lines: ch-run[PID]: error: ...
FAILED = 1
SQUASHFS = (".sqfs", ".squashfs")


class Charliecloud(NamedTuple):
    """An installed ch-run."""

    name: str
    path: str
    version: str

    def refuses(self, image: str, binds: tuple[Bind, ...]) -> str:
        """Return why it cannot run this image with these binds, and what to do; "" when it can."""
        if not os.path.isdir(image) and not image.endswith(SQUASHFS):
            return (
                f"charliecloud runs image directories and .sqfs files, which {image} is not;"
                " convert it with ch-convert, or set `container.runtime`"
            )
        if not os.path.exists(image):
            return f"image {image} does not exist here; look at `image`"
        return ""

    def words(self, execution: Execution) -> list[str]:
        """Return the words that stand before those of the program."""
        # Targets of binds need not be in the image: they are made in a layer in memory.
        words = [self.path, "--write-fake"]
        for bind in execution.binds:
            words.append(f"--bind={bind.source}:{bind.target}")
        if os.path.isdir(os.path.join(execution.image, "ch")):
            words.append("--set-env")  # what the image says of its environment
        words += [f"--set-env={name}={value}" for name, value in execution.env.items()]
        if execution.path_first:
            words.append("--set-env=PATH=" + execution.path_first + ":$PATH")
        return [*words, f"--cd={execution.pwd}", *execution.args, execution.image, "--"]

    def unpack_words(self, image: str, directory: str, args: tuple[str, ...]) -> list[str]:
        """Return no words: ch-run packs and unpacks nothing."""
        return []

    def environ(self, execution: Execution) -> dict[str, str]:
        """Return the variables that the runtime itself must find."""
        return {}

    def failure(self, exit_code: int | None, stderr: str) -> str:
        """Return what the runtime says of its own failure."""
        lines = [line for line in stderr.splitlines() if line.startswith(SAYS) and "error" in line]
        return lines[-1] if exit_code == FAILED and lines else ""

    def lacks_program(self, stderr: str) -> bool:
        """Tell whether it says that the image does not hold the program asked for."""
        return any(SAYS in line and "execve" in line for line in stderr.splitlines())


def recognise(name: str, path: str, said: str) -> Charliecloud:
    """Return what answered `said` to --version."""
    return Charliecloud(name, path, (said.split() or [""])[-1])
