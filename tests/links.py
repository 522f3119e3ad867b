"""A link to a server that can go silent: nothing more passes on it, and neither end is told.

As when a switch, a tunnel or a proxy hangs: what is sent is taken, and goes nowhere.
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Way:
    """One connection through the link."""

    client: socket.socket
    server: socket.socket
    silent: set[str] = field(default_factory=set)  # "up": to the server; "down": from it


class Link:
    """Passes on what comes to a port of its own; `freeze` holds for the connections that there are."""

    def __init__(self, target: tuple[int, str | tuple[str, int]]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._ways: list[Way] = []
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._wake, woken = socket.socketpair()
        self._selector.register(woken, selectors.EVENT_READ)
        self._woken = woken
        self._thread = threading.Thread(target=self._pass_on)
        self._thread.start()

    @property
    def ledger(self) -> str:
        """The address of a ledger at its other end."""
        return f"postgresql://sbx@127.0.0.1:{self.port}/postgres"

    def freeze(self, *directions: str) -> int:
        """Let nothing more pass in these directions (default: both); returns how many it strikes."""
        for way in self._ways:
            way.silent |= set(directions or ("up", "down"))
        return len(self._ways)

    def _pass_on(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._woken:
                    return
                if key.fileobj is self._listener:
                    self._open()
                else:
                    self._carry(*key.data)

    def _open(self) -> None:
        client, _ = self._listener.accept()
        family, address = self._target
        server = socket.socket(family)
        server.connect(address)
        way = Way(client, server)
        self._ways.append(way)
        self._selector.register(client, selectors.EVENT_READ, (way, "up", client, server))
        self._selector.register(server, selectors.EVENT_READ, (way, "down", server, client))

    def _carry(self, way: Way, direction: str, source: socket.socket, target: socket.socket) -> None:
        if way not in self._ways:
            return  # closed since we looked
        data = b""
        with suppress(OSError):
            data = source.recv(65536)
        if direction in way.silent:  # an ending does not pass either
            if not data:
                self._selector.unregister(source)
            return
        with suppress(OSError):
            target.sendall(data)
            if data:
                return
        for end in (source, target):
            with suppress(KeyError):
                self._selector.unregister(end)
            end.close()
        self._ways.remove(way)

    def close(self) -> None:
        self._wake.send(b".")
        self._thread.join()
        for way in self._ways:
            way.client.close()
            way.server.close()
        for each in (self._listener, self._wake, self._woken):
            each.close()
        self._selector.close()


@contextmanager
def link_to(target: tuple[int, str | tuple[str, int]]) -> Iterator[Link]:
    made = Link(target)
    try:
        yield made
    finally:
        made.close()
