"""The HTTPS server: a thread with an event loop of its own, listening for agents and the user.

It authenticates, decodes, queues and answers (see gate), within bounds of time and size that
hold for strangers too. It opens no ledger and waits for nobody but clients.
"""

from __future__ import annotations

import asyncio
import logging
import random
import resource
import socket
import threading
from asyncio import sslproto
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from scalebox_hpc import __version__
from scalebox_hpc.daemon.gate import Gate, Inbox
from scalebox_hpc.daemon.keys import Identity, Keys
from scalebox_hpc.errors import EnvironmentProblem

HEAD_BYTES: Final = 32 << 10  # of a request's first line and headers
HEAD_S: Final = 30.0  # from the connection, or a request's first byte, to the end of its headers
HANDSHAKE_S: Final = 20.0
KEEP_ALIVE_S: Final = 300  # agents come back to a connection they kept
STOP_S: Final = 3.0  # for answers under way when the server stops
DESCRIPTORS_KEPT: Final = 128  # for the ledger, logs, the scheduler
BACKLOG: Final = 1024
READ_BYTES: Final = 16 << 10  # at once from a connection, which keeps so large a buffer as long as it is open

log = logging.getLogger(__name__)


class OneWrite(asyncio.Transport):
    """A transport that sends the head of an answer together with its body: one record, one packet."""

    def __init__(self, under: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._under, self._loop = under, loop
        self._head = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._head:
            data, self._head = self._head + data, b""
            self._under.write(data)
        elif data[:9] == b"HTTP/1.1 " and data[9:12] != b"100":
            self._head = bytes(data)
            self._loop.call_soon(self._flush)
        else:
            self._under.write(data)

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._under.write(head)

    def close(self) -> None:
        self._flush()
        self._under.close()

    def abort(self) -> None:
        self._under.abort()

    def is_closing(self) -> bool:
        return self._under.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._under.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._under.pause_reading()

    def resume_reading(self) -> None:
        self._under.resume_reading()


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with what it lacks: bounds on the head of a request, and silence on bad ones."""

    connection_limit = 10_000

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._in_head = True
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        super().connection_made(OneWrite(transport, self.loop))
        if len(self.connections) > self.connection_limit:
            self.transport.abort()
        else:
            self._deadline = self.loop.call_later(HEAD_S, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_done()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES:
            self.transport.abort()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_S, self.transport.abort)

    def on_headers_complete(self) -> None:
        self._head_done()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        self.transport.abort()

    def _head_done(self) -> None:
        self._in_head = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def listen(
    recorded: int | None,
    ports: tuple[int, int] | None,
    address: str = "0.0.0.0",
    draw: Callable[[int, int], int] = random.randint,
) -> socket.socket:
    """A listening socket: on the recorded port where it is free and within the range, else on another.

    `ports` is the site's range, inclusive; None: any port. Within a range the search begins at a
    random place, as many users share it. Raises EnvironmentProblem when none is free.
    """
    candidates = [] if recorded is None else [recorded]
    if ports is None:
        candidates.append(0)
    else:
        first, last = ports
        start = draw(first, last)
        candidates = [port for port in candidates if first <= port <= last]
        candidates += [*range(start, last + 1), *range(first, start)]
    for port in candidates:
        found = _bind(address, port)
        if found is not None:
            return found
    raise EnvironmentProblem(
        f"port taken: none of the ports {ports[0]} to {ports[1]} is free on this host"
        if ports
        else "port taken: this host has no free port",
        "widen `ports` in the site file, or end what listens there",
    )


def _bind(address: str, port: int) -> socket.socket | None:
    # asyncio sends small answers at once (TCP_NODELAY) only where the protocol is spelt out.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        return None
    sock.setblocking(False)
    return sock


class Server:
    """The server. `start` returns once it listens; `died` is told what ended it, or None after `stop`."""

    def __init__(
        self, keys: Keys, identity: Identity, inbox: Inbox, died: Callable[[BaseException | None], None]
    ) -> None:
        self._gate = Gate(keys, inbox, __version__)
        self._identity, self._died = identity, died
        self._context = identity.server_context()
        self._state = ServerState()
        self._config = uvicorn.Config(
            self._gate,
            http="httptools",
            ws="none",
            loop="asyncio",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        self._config.load()
        self._loop = asyncio.new_event_loop()
        self._listeners: dict[int, asyncio.Server] = {}
        self._opening = threading.Lock()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="server")

    @property
    def fingerprint(self) -> str:
        return self._identity.fingerprint

    @property
    def ports(self) -> Sequence[int]:
        """The ports listened on, the main one first."""
        return tuple(self._listeners)

    def start(self, first: socket.socket) -> None:
        """Listen on this socket, in a thread of its own."""
        _raise_descriptor_limit()
        sslproto.SSLProtocol.max_size = READ_BYTES  # of its own accord asyncio takes 256 KiB a connection
        BoundedProtocol.connection_limit = _connection_limit()
        self._thread.start()
        self._in_loop(self._listen_on(first))

    def port_in(self, ports: tuple[int, int] | None, recorded: int | None) -> int:
        """A port that is listened on, within the range; opens one where none is. From any thread.

        `recorded` is the port that agents of the site knew before. Raises EnvironmentProblem when
        every port of the range is taken.
        """
        with self._opening:
            for port in self._listeners:
                if ports is None or ports[0] <= port <= ports[1]:
                    return port
            found = listen(recorded, ports)
            port = int(found.getsockname()[1])
            self._in_loop(self._listen_on(found))
            return port

    def stop(self) -> None:
        """Stop listening, answer who waits, end the thread. From any thread but the server's; idempotent."""
        if self._thread.is_alive():
            try:
                self._loop.call_soon_threadsafe(self._stopping.set)
            except RuntimeError:
                log.debug("the server had stopped already")
            self._thread.join()

    def _in_loop(self, work: Coroutine[Any, Any, None]) -> None:
        future: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        future.result(timeout=30)

    async def _listen_on(self, sock: socket.socket) -> None:
        self._listeners[sock.getsockname()[1]] = await self._loop.create_server(
            self._protocol,
            sock=sock,
            ssl=self._context,
            ssl_handshake_timeout=HANDSHAKE_S,
            backlog=BACKLOG,
        )

    def _protocol(self) -> asyncio.Protocol:
        return BoundedProtocol(config=self._config, server_state=self._state, app_state={}, _loop=self._loop)

    def _run(self) -> None:
        ended: BaseException | None = None
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # noqa: BLE001 (the thread's last door: whatever it was ends the daemon)
            ended = error
        finally:
            self._loop.close()
            self._died(ended)

    async def _serve(self) -> None:
        await self._stopping.wait()
        for listener in self._listeners.values():
            listener.close()
        self._gate.turn_away()
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=STOP_S)
        for connection in list(self._state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # lets the transports close


def _raise_descriptor_limit() -> None:
    """Each agent is a connection, and login nodes start people off with 1024 descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _connection_limit() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 60_000 if soft == resource.RLIM_INFINITY else max(16, soft - DESCRIPTORS_KEPT)
