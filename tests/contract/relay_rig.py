"""A relay as a process of its own on this machine, and a TLS server in the daemon's place that says back
what it is told."""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from scalebox_hpc.bundle import build_relay
from scalebox_hpc.daemon.home import Home
from scalebox_hpc.daemon.keys import Identity, open_identity
from scalebox_hpc.errors import SiteUnreachable
from scalebox_hpc.relay.channel import MAGIC
from scalebox_hpc.sites.base import Finished, Transport
from scalebox_hpc.sites.relay import LinkDown, LinkUp, RelayLink, RelayPlace
from tests.cluster.box import wait_until

PYTHON = os.environ.get("SBX_TEST_AGENT_PYTHON", sys.executable)  # another one may run the relay
DEADLINE_S = 60.0
ECHO_BYTES = 1 << 16


class ProcessStream:
    """See Stream; a process with pipes."""

    def __init__(self, words: Sequence[str]) -> None:
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/")

    def read(self, most: int) -> bytes:
        assert self.process.stdout is not None
        return os.read(self.process.stdout.fileno(), most)

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self.process.stdin.fileno(), rest) :]
        except OSError as error:
            raise SiteUnreachable(str(error)) from error

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class Here:
    """A transport to this machine that can be told to fail, and keeps what it started."""

    def __init__(self) -> None:
        self.problem: SiteUnreachable | None = None
        self.opened: list[ProcessStream] = []
        self.tried = 0

    def run(self, words: Sequence[str], *, stdin: bytes = b"", timeout_s: float) -> Finished:
        done = subprocess.run(words, input=stdin, capture_output=True, timeout=timeout_s, check=False)
        return Finished(done.returncode, done.stdout, done.stderr)

    def open(self, words: Sequence[str]) -> ProcessStream:
        self.tried += 1
        if self.problem is not None:
            raise self.problem
        self.opened.append(ProcessStream(words))
        return self.opened[-1]

    def close(self) -> None:
        for stream in self.opened:
            stream.close()
            for pipe in (stream.process.stdin, stream.process.stdout):
                if pipe is not None:
                    pipe.close()


class Echo:
    """The daemon's listener: every byte comes back, with TLS or, to see more of the relay, without."""

    def __init__(self, identity: Identity | None) -> None:
        self.peers = 0
        context = None
        if identity is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(identity.key)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self._listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(context,), daemon=True)
        self._thread.start()

    def dial(self) -> socket.socket:
        """See RelayLink."""
        return socket.create_connection(("127.0.0.1", self.port))

    def close(self) -> None:
        """End it and all its connections. Idempotent."""
        if not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self, context: ssl.SSLContext | None) -> None:
        serving = asyncio.start_server(self._serve, sock=self._listener, ssl=context)
        server = self._loop.run_until_complete(serving)
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peers += 1
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self.peers -= 1
            writer.transport.abort()


class Rig:
    """One site: shared folder, relay, home end, and clients that play agents."""

    def __init__(self, folder: Path, tls: bool = True) -> None:
        self.folder, self.shared = folder, folder / "shared"
        self.shared.mkdir(mode=0o700)
        self.program = self.shared / "relay.pyz"
        build_relay(self.program)
        self.home = Home(folder, secrets.token_hex(8))
        self.identity = open_identity(self.home, datetime.datetime.now(datetime.UTC))
        self.echo = Echo(self.identity if tls else None)
        self.transport = Here()
        self.news: list[LinkUp | LinkDown] = []
        self.links: list[RelayLink] = []
        self.context = ssl.create_default_context(cafile=str(self.identity.certificate))
        self.context.check_hostname = False

    def place(self, **keys: Any) -> RelayPlace:
        """What the relay is told."""
        return RelayPlace(
            PYTHON, str(self.program), str(self.shared), self.home.id, self.identity.fingerprint, **keys
        )

    def link(self, transport: Transport | None = None, **keys: Any) -> RelayLink:
        """Begin to keep a line up."""
        made = RelayLink(
            transport or self.transport, self.place(**keys), lambda: self.echo.dial(), self.news.append
        )
        self.links.append(made)
        return made

    def up(self, times: int = 1) -> None:
        """Wait until the link came up so often."""
        self.wait(lambda: sum(isinstance(one, LinkUp) for one in self.news) >= times, f"link up {self.news}")

    def wait(self, predicate: Callable[[], object], what: str) -> None:
        wait_until(predicate, DEADLINE_S, what)

    def contact(self) -> dict[str, Any]:
        """What agents read."""
        return dict(json.loads((self.shared / "contact.json").read_text()))

    def record(self) -> dict[str, Any]:
        """What the relay says of itself."""
        return dict(json.loads((self.shared / "relay.json").read_text()))

    def raw(self) -> socket.socket:
        """An agent's connection to the relay, without TLS."""
        return socket.create_connection(("127.0.0.1", self.record()["port"]), timeout=DEADLINE_S)

    def client(self) -> ssl.SSLSocket:
        """An agent's connection, all the way home."""
        raw = self.raw()
        try:
            return self.context.wrap_socket(raw)
        except BaseException:
            raw.close()
            raise

    def again(self) -> ssl.SSLSocket:
        """The same, tried until there is one, as agents do."""
        found: list[ssl.SSLSocket] = []

        def tried() -> bool:
            with suppress(OSError):
                found.append(self.client())
            return bool(found)

        self.wait(tried, "a connection home")
        return found[0]

    @contextmanager
    def attach(self, *more: str) -> Iterator[subprocess.Popen[bytes]]:
        """An attach whose home end is the test, once it is served."""
        words = self.words("attach", "--fingerprint", self.identity.fingerprint, *more)
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert os.read(process.stdout.fileno(), len(MAGIC)) == MAGIC
            try:
                yield process
            finally:
                process.kill()

    def log(self) -> str:
        """What the relay wrote down."""
        return (self.shared / "relay.log").read_text()

    def words(self, verb: str, *more: str) -> list[str]:
        """A command line of the relay."""
        fixed = ["--shared", str(self.shared), "--home", self.home.id]
        return [PYTHON, str(self.program), verb, *fixed, *more]

    def relay(self, verb: str, *more: str) -> subprocess.CompletedProcess[bytes]:
        """Run a verb to its end."""
        return subprocess.run(
            self.words(verb, *more),
            capture_output=True,
            timeout=DEADLINE_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def close(self) -> None:
        """End everything that was started."""
        for link in self.links:
            link.end(stop=True)
        self.relay("stop")
        self.transport.close()
        self.echo.close()


def echoed(client: socket.socket, data: bytes) -> bytes:
    """Send bytes, in pieces as one thread can, and return what comes back."""
    back = bytearray()
    for start in range(0, len(data), ECHO_BYTES):
        piece = data[start : start + ECHO_BYTES]
        client.sendall(piece)
        while len(back) < start + len(piece):
            got = client.recv(ECHO_BYTES)
            if not got:
                return bytes(back)
            back += got
    return bytes(back)


def is_gone(pid: int) -> bool:
    """Whether a process of somebody else's starting has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return text.rpartition(")")[2].split()[0] in "ZX"


def kill(pid: int) -> None:
    """End a process at once."""
    os.kill(pid, signal.SIGKILL)
