"""The daemon's end of the line to the process that holds libslurm. Decides nothing."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from scalebox_hpc.batch.slurm_answers import slurm_words

CHILD: Final = (sys.executable, "-P", "-m", "scalebox_hpc.batch.slurm_child")
START_S: Final = 90.0
"""How long it may take to load pyslurm; libslurm itself waits a minute for a missing slurm.conf."""
LAST_WORDS: Final = 500  # of what it wrote before it ended
LIFE_S: Final = 3600.0
"""A child is replaced after this: what libslurm leaks is bounded, and slurm.conf is read anew."""


class LineLost(Exception):
    """The child ended, or did not answer in time and was killed; what it was asked may be done or not."""


class SlurmLine:
    """A child that is started when there is something to ask, and asked one thing at a time.

    `clock` gives monotonic seconds.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        command: Sequence[str] = CHILD,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._environ, self._command, self._clock = dict(environ), list(command), clock
        self._child: subprocess.Popen[bytes] | None = None
        self._until = 0.0
        self._said: int | None = None  # an open file in memory: its standard error
        self._greeting: dict[str, Any] = {}

    def greeting(self) -> dict[str, Any]:
        """Return what a child says of itself at its start. Raises LineLost."""
        if self._child is not None and (self._clock() >= self._until or self._child.poll() is not None):
            self.close()
        if self._child is None:
            self._start()
        return self._greeting

    def ask(self, question: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        """Ask, and wait for the answer. Raises LineLost."""
        self.greeting()
        child = self._child
        assert child is not None
        assert child.stdin is not None
        try:
            child.stdin.write(json.dumps(question).encode() + b"\n")
            child.stdin.flush()
        except OSError:
            raise self._lost("ended") from None
        return self._answer(timeout_s)

    def close(self) -> None:
        """End the child, if there is one."""
        child, said = self._child, self._said
        self._child = self._said = None
        if child is not None:
            child.kill()
            child.communicate()
        if said is not None:
            os.close(said)

    def _start(self) -> None:
        self._said = os.memfd_create("said")
        try:
            self._child = subprocess.Popen(
                self._command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                env=self._environ,
                start_new_session=True,
            )
        except OSError as error:
            self.close()
            raise LineLost(f"{self._command[0]} cannot be run: {error.strerror}") from error
        self._until = self._clock() + LIFE_S
        self._greeting = self._answer(START_S)

    def _answer(self, timeout_s: float) -> dict[str, Any]:
        """Read one line, however long."""
        child = self._child
        assert child is not None
        assert child.stdout is not None
        poll = select.poll()
        poll.register(child.stdout, select.POLLIN)
        ends, text = time.monotonic() + timeout_s, b""
        while not text.endswith(b"\n"):
            if not poll.poll(max(0.0, ends - time.monotonic()) * 1000):
                raise self._lost(f"did not answer in {timeout_s:g} s")
            more = child.stdout.read(1 << 20)
            if not more:
                raise self._lost("ended")
            text += more
        return dict(json.loads(text))

    def _lost(self, how: str) -> LineLost:
        """End what is left of the child, and say what became of it."""
        child, said = self._child, self._said
        words = ""
        if child is not None and said is not None:
            child.kill()
            child.wait()
            words = slurm_words(os.pread(said, 1 << 20, 0).decode(errors="replace"))[-LAST_WORDS:]
        self.close()
        return LineLost(f"the process that holds pyslurm {how}" + (f": {words}" if words else ""))
