"""The daemon's machine in the bench of the relay: a TLS server that says back what it hears (`serve FOLDER`),
and the home end of a relay's line (`link FOLDER PORT`), each a process that ends with its standard input.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from scalebox_hpc.daemon.home import Home
from scalebox_hpc.daemon.keys import open_identity
from scalebox_hpc.sites.base import Finished
from scalebox_hpc.sites.relay import LinkUp, RelayLink, RelayPlace

HOME = "0123456789abcdef"


class Attach:
    """A stream to a process of this machine. See Stream."""

    def __init__(self, words: Sequence[str]) -> None:
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._in, self._out = self.process.stdin, self.process.stdout

    def read(self, most: int) -> bytes:
        return self._out.read(most) or b""

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._in.write(rest) or 0 :]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class Here:
    """A transport to this machine. See Transport."""

    attach: Attach

    def run(self, words: Sequence[str], *, stdin: bytes = b"", timeout_s: float) -> Finished:
        raise NotImplementedError

    def open(self, words: Sequence[str]) -> Attach:
        self.attach = Attach(words)
        return self.attach

    def close(self) -> None:
        self.attach.close()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say back what is heard."""
    try:
        while data := await reader.read(1 << 18):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.transport.abort()


async def serve(folder: Path) -> None:
    """Be the server until standard input ends."""
    identity = open_identity(Home(folder, HOME), datetime.datetime.now(datetime.UTC))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.key)
    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=context, backlog=1024)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await asyncio.to_thread(sys.stdin.read)


def link(folder: Path, port: int) -> None:
    """Keep the line up until standard input ends."""
    shared, up, transport = folder / "shared", threading.Event(), Here()
    place = RelayPlace(sys.executable, str(shared / "relay.pyz"), str(shared), HOME, "ab" * 32)
    kept = RelayLink(
        transport,
        place,
        lambda: socket.create_connection(("127.0.0.1", port)),
        lambda news: up.set() if isinstance(news, LinkUp) else None,
    )
    up.wait()
    print(json.dumps({"attach": transport.attach.process.pid}), flush=True)
    sys.stdin.read()
    kept.end(stop=True)


if sys.argv[1] == "serve":
    asyncio.run(serve(Path(sys.argv[2])))
else:
    link(Path(sys.argv[2]), int(sys.argv[3]))
