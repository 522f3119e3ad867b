"""A psycopg session that does not wait for ever: a server that owes an answer for too long is given up.

TCP notices a machine or a cable that is gone, within `LOST_AFTER`; not a server that hangs, nor a tunnel or
proxy that takes everything and passes nothing on. Then the session's socket is shut down, and the statement
fails as on any lost connection. What became of it is not known.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import psycopg

LOOKS: Final = 10  # at the clock, within the time that an answer may take


class Session(psycopg.Connection[Any]):
    """A connection whose every wait for the server has an end. Made by `connect`, watched from `watch` on."""

    _watch: Watch | None = None

    def watch(self, answer_s: float) -> None:
        """From now on give the server up that owes an answer for so long."""
        self._watch = Watch(self.fileno(), answer_s)

    @contextmanager
    def unwatched(self) -> Iterator[None]:
        """Statements inside may take as long as they need."""
        kept, self._watch = self._watch, None
        try:
            yield
        finally:
            self._watch = kept

    def wait(self, *args: Any, **kwargs: Any) -> Any:
        """psycopg's one place in which it waits for the server."""
        if self._watch is None:
            return super().wait(*args, **kwargs)
        try:
            with self._watch:
                return super().wait(*args, **kwargs)
        except psycopg.OperationalError as error:
            if self._watch is None or not self._watch.shut:
                raise
            raise psycopg.OperationalError(f"no answer for {self._watch.answer_s:g} s") from error

    def close(self) -> None:
        super().close()
        if self._watch is not None:
            self._watch.close()


class Watch:
    """Entered while an answer is due; its thread shuts the socket down when that takes too long."""

    def __init__(self, descriptor: int, answer_s: float) -> None:
        self._socket = socket.socket(fileno=os.dup(descriptor))  # our own: libpq may close its one any time
        self.answer_s, self.shut = answer_s, False
        self._due_s = float("inf")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="ledger watch", daemon=True)
        self._thread.start()

    def __enter__(self) -> None:
        self._due_s = time.monotonic() + self.answer_s

    def __exit__(self, *_: object) -> None:
        self._due_s = float("inf")

    def _look(self) -> None:
        while not self._over.wait(self.answer_s / LOOKS):
            if time.monotonic() > self._due_s:
                self.shut = True
                with suppress(OSError):  # the other side was quicker
                    self._socket.shutdown(socket.SHUT_RDWR)
                return

    def close(self) -> None:
        """Let go of the socket, which ends the connection."""
        self._over.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        self._socket.close()
