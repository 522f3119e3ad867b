"""What the agent asks of a container runtime: words for a command line, and how it says that it failed.

Nothing is started here. One more runtime is one more file beside this one and a line in `KINDS`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple, Protocol


class Bind(NamedTuple):
    """A directory or file of the node that is to be seen inside."""

    source: str
    target: str
    mode: str = "rw"  # "rw" | "ro"


class Execution(NamedTuple):
    """One program to be run in one image."""

    image: str
    binds: tuple[Bind, ...]
    args: tuple[str, ...]  # of `container.args`, as they are
    gpus: str  # "" | "nvidia" | "rocm"
    pwd: str
    env: Mapping[str, str]  # to be set inside, whatever the image says
    path_first: str  # a directory to stand first in PATH; "" for none


class Runtime(Protocol):
    """A container runtime as it is installed on this node."""

    @property
    def name(self) -> str:
        """The name that pipelines and sites use."""

    @property
    def path(self) -> str:
        """The program."""

    @property
    def version(self) -> str:
        """What it says of itself, such as "1.4.5"."""

    def refuses(self, image: str, binds: tuple[Bind, ...]) -> str:
        """Return why it cannot run this image with these binds, and what to do; "" when it can."""

    def words(self, execution: Execution) -> list[str]:
        """Return the words that stand before those of the program."""

    def unpack_words(self, image: str, directory: str, args: tuple[str, ...]) -> list[str]:
        """Return the words that unpack an image file to a new directory, for containers with these args.

        Empty where it has none, or where such containers might write to the directory.
        """

    def environ(self, execution: Execution) -> dict[str, str]:
        """Return the variables that the runtime itself must find, beside those for the program."""

    def failure(self, exit_code: int | None, stderr: str) -> str:
        """Return what the runtime says of its own failure; "" when the program ran and ended so."""

    def lacks_program(self, stderr: str) -> bool:
        """Tell whether it says that the image does not hold the program asked for."""


def which(word: str, search: str) -> str:
    """Return the path of a program, found as a shell does in this PATH; "" when there is none."""
    if "/" in word:
        return word if os.access(word, os.X_OK) else ""
    for directory in search.split(":"):
        path = os.path.join(directory or ".", word)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return ""
