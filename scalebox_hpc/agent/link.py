"""The way to the daemon: which connection carries what, which address is tried, when to try again.

It does not know what the requests mean.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Any

from scalebox_hpc.agent.connection import Connection, Done, tls_context
from scalebox_hpc.agent.contact import Contact, ContactError, read_contact
from scalebox_hpc.agent.loop import Loop
from scalebox_hpc.agent.say import log

BACKOFF_S, BACKOFF_MOST_S = 0.2, 10.0
ASK_S = 60.0  # for an answer to anything but a sync
BUSY = (429, 503)


class Link:
    """Two connections for syncs and one for everything else."""

    def __init__(self, loop: Loop, contact_path: str, home: str) -> None:
        self.token = ""
        self.ready_at = 0.0  # no attempt before this time
        self._loop = loop
        self._path, self._home = contact_path, home
        self._context = tls_context()
        self._syncs = [Connection(loop, self._context) for _ in range(2)]
        self._other = Connection(loop, self._context)
        self._queue: deque[tuple[str, bytes, Done]] = deque()
        self._backoff_s = BACKOFF_S
        self._good: tuple[str, int] | None = None  # the address that answered last
        self._contact: Contact | None = None
        self._said = ""
        self._closed = False

    def sync(self, body: bytes, timeout_s: float, done: Done) -> None:
        """Send a sync, beside one that is parked. A failure is told at once and not tried again."""
        idle = [one for one in self._syncs if not one.is_busy]
        if not idle:
            oldest = min(self._syncs, key=lambda one: one.began_at)
            oldest.close()
            idle = [oldest]
        self._post(idle[0], "/v1/agent/sync", body, timeout_s, done)

    def ask(self, path: str, body: bytes, done: Done) -> None:
        """Ask anything else. It is tried until there is an answer, one after the other."""
        self._queue.append((path, body, done))
        self._next()

    def close(self) -> None:
        """Close all connections; nothing is tried any more."""
        self._closed = True
        for one in (*self._syncs, self._other):
            one.close()

    def _next(self) -> None:
        if self._closed or not self._queue or self._other.is_busy:
            return
        if self._loop.now < self.ready_at:
            self._loop.at(self.ready_at, self._next)
            return
        path, body, done = self._queue[0]

        def answered(status: int, answer: dict[str, Any]) -> None:
            if status in BUSY or status == 0:
                self.ready_at = max(self.ready_at, self._loop.now + float(answer.get("retry_s", 0.0)))
                self._next()
                return
            self._queue.popleft()
            done(status, answer)
            self._next()

        self._post(self._other, path, body, ASK_S, answered)

    def _post(self, via: Connection, path: str, body: bytes, timeout_s: float, done: Done) -> None:
        if self._contact is None and not self._look():
            self._failed(self._said)
            done(0, {"error": self._said})
            return
        assert self._contact is not None
        contact = self._contact
        request = request_of(path, self.token, body)
        watched = self._watched(via, done)
        if via.is_open_to(contact.fingerprint):
            via.send(request, timeout_s, watched)
        else:
            rest = [address for address in contact.addresses if address != self._good]
            first = [self._good] if self._good is not None and self._good in contact.addresses else []
            via.open_and_send([*first, *rest], contact.fingerprint, request, timeout_s, watched)

    def _watched(self, via: Connection, done: Done) -> Callable[[int, dict[str, Any]], None]:
        def answered(status: int, answer: dict[str, Any]) -> None:
            if status:
                self._backoff_s, self._good, self._said = BACKOFF_S, via.address, ""
            elif not answer.get("closed"):
                self._failed(answer["error"])
            done(status, answer)

        return answered

    def _look(self) -> bool:
        try:
            self._contact = read_contact(self._path, self._home)
        except ContactError as problem:
            self._contact, self._said = None, str(problem)
        return self._contact is not None

    def _failed(self, reason: str) -> None:
        """Look where the daemon is now, and wait a little longer each time."""
        if reason != self._said:
            log(f"the daemon cannot be reached: {reason}")
        self._look()
        self._said = reason
        self.ready_at = self._loop.now + self._backoff_s * random.uniform(0.5, 1.0)
        self._backoff_s = min(BACKOFF_MOST_S, self._backoff_s * 2)


def request_of(path: str, token: str, body: bytes) -> bytes:
    """Return a request as it goes over the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: scalebox\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
