"""A long line for tests on one machine: a TCP proxy on which bytes take their time, a window of them at once.

    python -m scalebox_hpc.testing.delay_proxy siteb:22 --round-trip-ms 50 --window-kib 256

It needs no netem of the kernel. The model is TCP's over a path with a fixed window: of what was read from one
end, at most `window_bytes` are on their way, or their receipt is on its way back. So a direction of a
connection carries at most window_bytes / round_trip_s, and several connections that much each.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Thread
from typing import Self

CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """What a connection is like."""

    round_trip_s: float = 0.05
    window_bytes: int = 256 * 1024


class Direction:
    """One direction of one connection."""

    def __init__(self, line: Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.one_way_s = line.round_trip_s / 2
        self.reader, self.writer = reader, writer
        self.room_bytes = line.window_bytes
        self.room = asyncio.Event()
        self.on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()  # when it arrives, and what

    async def send(self) -> None:
        """Read what there is room for and put it on its way, to the end of the stream."""
        data = b"first"
        while data:
            while self.room_bytes <= 0:
                self.room.clear()
                await self.room.wait()
            data = await self.reader.read(min(CHUNK_BYTES, self.room_bytes))
            self.room_bytes -= len(data)
            self.on_the_way.put_nowait((asyncio.get_running_loop().time() + self.one_way_s, data))

    async def arrive(self) -> None:
        """Hand over what has been on its way for long enough, and send the receipt back."""
        loop = asyncio.get_running_loop()
        while True:
            due_s, data = await self.on_the_way.get()
            await asyncio.sleep(due_s - loop.time())
            if not data:
                self.writer.write_eof()
                return
            self.writer.write(data)
            await self.writer.drain()
            loop.call_later(self.one_way_s, self._receipt, len(data))

    def _receipt(self, size_bytes: int) -> None:
        self.room_bytes += size_bytes
        self.room.set()


class DelayProxy:
    """Takes connections at `port` and carries each over a line of its own to the target."""

    def __init__(
        self, target: tuple[str, int], line: Line, listen: tuple[str, int] = ("127.0.0.1", 0)
    ) -> None:
        self.target, self.listen = target, listen
        self.line = line
        self.accepted = 0  # connections, from the start
        self._listening: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = Thread(target=lambda: asyncio.run(self._serve()), name="delay-proxy", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens, once it is entered."""
        return self._listening.result()[0]

    def __enter__(self) -> Self:
        self._thread.start()
        self._listening.result()
        return self

    def __exit__(self, *why: object) -> None:
        """End it and all its connections."""
        _, loop, over = self._listening.result()
        loop.call_soon_threadsafe(over.set)
        self._thread.join()

    async def _serve(self) -> None:
        over = asyncio.Event()
        try:
            server = await asyncio.start_server(self._connection, *self.listen)
        except OSError as error:
            self._listening.set_exception(error)
            return
        port: int = server.sockets[0].getsockname()[1]
        self._listening.set_result((port, asyncio.get_running_loop(), over))
        await over.wait()
        server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        with suppress(OSError, asyncio.CancelledError):  # an end that breaks off ends the other one too
            try:
                there, back = await asyncio.open_connection(*self.target)
                try:
                    await self._carry((reader, writer), (there, back))
                finally:
                    back.close()
            finally:
                writer.close()

    async def _carry(
        self,
        near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        out, home = Direction(self.line, near[0], far[1]), Direction(self.line, far[0], near[1])
        halves = (out.send(), out.arrive(), home.send(), home.arrive())
        parts = [asyncio.ensure_future(half) for half in halves]
        try:
            await asyncio.gather(*parts)
        finally:
            for part in parts:
                part.cancel()


def main(words: Sequence[str]) -> None:
    """Say the port on standard output, then serve until killed."""
    parser = argparse.ArgumentParser(prog="delay_proxy", description=__doc__.splitlines()[0])
    parser.add_argument("target", help="HOST:PORT")
    parser.add_argument("--round-trip-ms", type=float, default=50.0)
    parser.add_argument("--window-kib", type=int, default=256)
    parser.add_argument("--port", type=int, default=0, help="where to listen; 0: any free port")
    given = parser.parse_args(words)
    host, _, port = given.target.rpartition(":")
    line = Line(given.round_trip_ms / 1000, given.window_kib * 1024)
    with DelayProxy((host, int(port)), line, ("127.0.0.1", given.port)) as proxy:
        print(proxy.port, flush=True)
        Event().wait()


if __name__ == "__main__":
    main(sys.argv[1:])
