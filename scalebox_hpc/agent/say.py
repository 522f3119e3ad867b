"""Says things in the element's log, which is standard error and lies in the shared folder."""

from __future__ import annotations

import os

MOST_BYTES = 1 << 20  # of one agent, whatever goes wrong how often: others use the shared folder too
ENOUGH = "agent: this is enough; what follows is not written any more\n"


class Voice:
    """Writes lines to a descriptor, and stops after so many bytes."""

    def __init__(self, fd: int, most_bytes: int = MOST_BYTES) -> None:
        self._fd, self._left_bytes = fd, most_bytes

    def __call__(self, text: str) -> None:
        """Say it, unless the log itself cannot be written: a full disk must not end the agent."""
        if self._left_bytes <= 0:
            return
        line = f"agent: {text}\n".encode("utf-8", "backslashreplace")
        self._left_bytes -= len(line)
        try:
            os.write(self._fd, line if self._left_bytes > 0 else ENOUGH.encode())
        except OSError:
            return


log = Voice(2)
