"""A real server on loopback whose engine is a script, and clients that pin its certificate."""

from __future__ import annotations

import http.client
import json
import queue
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from scalebox_hpc.daemon.events import Call, Reply
from scalebox_hpc.daemon.home import Home, create
from scalebox_hpc.daemon.keys import Identity, Keys, open_identity, open_keys
from scalebox_hpc.daemon.server import Server, listen

Handler = Callable[[Call], None]


def echo(call: Call) -> None:
    call.answer(Reply(200, {"verb": call.verb, "subject": call.subject, "args": dict(call.args)}))


@dataclass
class Rig:
    """A server, and an engine thread that handles each call with `handler`."""

    server: Server
    keys: Keys
    identity: Identity
    inbox: queue.SimpleQueue[Any]
    handler: Handler = echo
    died: list[BaseException | None] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.server.ports[0]

    @contextmanager
    def client(self) -> Iterator[http.client.HTTPSConnection]:
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=20, context=self.context())
        try:
            yield connection
        finally:
            connection.close()

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.identity.certificate))
        context.check_hostname = False
        return context

    def ask(
        self, method: str, path: str, body: Any = None, token: str | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """One request on a connection of its own: status, decoded body, headers."""
        with self.client() as connection:
            return self.send(connection, method, path, body, token)

    @staticmethod
    def send(
        connection: http.client.HTTPSConnection,
        method: str,
        path: str,
        body: Any = None,
        token: str | None = None,
    ) -> tuple[int, Any, dict[str, str]]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(method, path, raw, headers)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None, dict(answer.getheaders())


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return create(tmp_path / ".sbx")


@pytest.fixture
def rig(home: Home) -> Iterator[Rig]:
    keys, identity = open_keys(home), open_identity(home, datetime.now(UTC))
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    died: list[BaseException | None] = []
    made = Rig(Server(keys, identity, inbox, died.append), keys, identity, inbox, died=died)
    made.server.start(listen(None, None, "127.0.0.1"))

    def work() -> None:
        while (call := inbox.get()) is not None:
            made.handler(call)

    engine = threading.Thread(target=work)
    engine.start()
    yield made
    made.server.stop()
    inbox.put(None)
    engine.join(20)
    assert died == [None]
