"""What the daemon needs to reach a site's login node, and nothing more.

A transport runs commands there; it knows nothing of Slurm, of agents or of data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended."""

    exit_code: int  # 128 + N where signal N ended it
    stdout: bytes
    stderr: bytes


class Stream(Protocol):
    """A command that runs at the site, by its standard input and output.

    Reading and writing may be done by two threads at once. Its standard error goes to the log.
    """

    def read(self, most: int) -> bytes:
        """Wait for bytes and return at most so many; b"" once the command or the link is over."""

    def write(self, data: bytes) -> None:
        """Write all of it, waiting as long as the other side does not read. Raises SiteUnreachable."""

    def close(self) -> None:
        """End the command, and whoever waits in `read` or `write`. Idempotent.

        Over ssh its stdin ends and nobody takes its stdout any more: one that heeds neither lives on there.
        """


class Transport(Protocol):
    """A way to the login node of one site.

    Commands are words, never shell text, and run without a terminal in the home directory there. A transport
    never asks a person anything. All methods may be called by several threads at once. Each opens the link
    when it is not open, and raises

    * SiteUnreachable: there is no way there now; later there may be one;
    * LoginNeeded: a person has to log in first, by the command that it names;
    * HostKeyUnknown, HostKeyChanged: the host is not, or no longer, one that the user trusts;
    * LoginRefused: the host does not take the user's keys.
    """

    def run(self, words: Sequence[str], *, stdin: bytes = b"", timeout_s: float) -> Finished:
        """Run a command to its end. Raises SiteTimeout when it takes longer; it may still be running then.

        The link is opened, and the command started, within a minute besides, or SiteUnreachable is raised:
        also when the other side takes all and answers nothing.
        """

    def open(self, words: Sequence[str]) -> Stream:
        """Start a command that lives as long as the stream, or the link."""

    def close(self) -> None:
        """Close the link. What runs there is ended; the next call opens the link anew."""
