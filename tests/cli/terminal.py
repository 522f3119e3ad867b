"""A real terminal for a test: a pseudo-terminal, and all that was written to it."""

from __future__ import annotations

import os
import pty
import threading
import tty
from collections.abc import Callable

HOSTILE = "a\x1b]0;owned\x07b\x1b[2Jc\x9b2Jd\re\x7ff\u202eg [red]h[/red]"
"""Sets the title, wipes the screen (in 7 and in 8 bits), goes back over its line, turns text round."""
SHOWN = r"a\x1b]0;owned\x07b\x1b[2Jc\x9b2Jd\re\x7ff\u202eg [red]h[/red]"


def on_terminal(work: Callable[[int], object]) -> bytes:
    """What comes out of a new terminal while `work` is done with its descriptor."""
    master, slave = pty.openpty()
    tty.setraw(slave)  # what is written comes out as it is
    found: list[bytes] = []

    def read() -> None:
        try:
            while piece := os.read(master, 65536):
                found.append(piece)
        except OSError:
            pass  # that is how a terminal says that nobody has it open any more

    reader = threading.Thread(target=read)
    reader.start()
    try:
        work(slave)
    finally:
        os.close(slave)
        reader.join(30)
        os.close(master)
    return b"".join(found)


def harmful(seen: bytes) -> list[str]:
    """What of the hostile text reached the terminal as it was."""
    text = seen.decode("utf-8", "replace")
    return [bad for bad in ("\x1b]", "\x1b[2J", "\x9b", "\x07", "\x7f", "\u202e", "d\re") if bad in text]
