"""Carries bytes between one line and the sockets of its streams, in whoever's event loop.

It holds at most a window a stream of what came over the line, and little of what goes into it: sockets
wait for their turn while the line is busy.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque
from typing import Callable

from scalebox_hpc.relay.channel import (
    FRAME_BYTES,
    Arrived,
    BadFrame,
    Channel,
    Closed,
    Event,
    Greeted,
    Opened,
    Parting,
    Stopped,
    Widened,
)

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
LINE_BYTES = 1 << 18  # waiting for the line, until nothing more is read for it
PIECE_BYTES = 1 << 16  # read from the line at once

Ready = Callable[[int], None]
"""What a selector keeps with a socket: called with the events that are there."""


class _End:
    """The socket of one stream."""

    __slots__ = ("closing", "events", "pending", "sock", "stream", "waits")

    def __init__(self, sock: socket.socket, stream: int) -> None:
        self.sock, self.stream = sock, stream
        self.pending = bytearray()  # for the socket
        self.closing = False  # the other end has closed the stream
        self.waits = False  # for the line to have room
        self.events = 0  # that the selector watches for


class Carrier:
    """One line and its streams, until `ended` says why it is over."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        line: socket.socket,
        words: str,
        accept: Callable[[], socket.socket] | None = None,
    ) -> None:
        """`accept` makes a socket for each stream that the other end opens. It may raise OSError."""
        self.ended: str | None = None
        self.greeting: str | None = None  # the other end's words
        self.stop_asked = False
        self._selector, self._line, self._accept = selector, line, accept
        self._channel = Channel(words, time.monotonic())
        self._ends: dict[int, _End] = {}
        self._waiting: deque[_End] = deque()
        self._line_events = READ
        line.setblocking(False)
        selector.register(line, READ, self._line_ready)

    def __len__(self) -> int:
        """How many streams there are."""
        return len(self._ends)

    def add(self, sock: socket.socket) -> None:
        """Carry a socket over a new stream."""
        self._begin(sock, self._channel.open())

    def ask_to_stop(self) -> None:
        """Tell the relay at the other end to end; it closes the line then."""
        self._channel.stop()

    def received(self, data: bytes) -> None:
        """Take what came over the line already."""
        try:
            for event in self._channel.received(data, time.monotonic()):
                self._apply(event)
        except BadFrame as problem:
            self._end(f"the other end is not understood: {problem}")

    def turn(self) -> float | None:
        """Send what there is and look after the line; return for how many seconds at most to wait."""
        now = time.monotonic()
        if self._channel.is_dead(now):
            self._end("nothing was heard over the line for too long")
        if self.ended is not None:
            return None
        self._channel.ask(now)
        self._flush()
        return max(0.0, self._channel.look_at() - now)

    def close(self, why: str = "") -> None:
        """Close the line, saying why where it takes that at once, and all sockets."""
        if why and self.ended is None:
            self._channel.part(why)
            self._flush()
        self._end(why or "closed")
        self._selector.unregister(self._line)
        self._line.close()
        for end in list(self._ends.values()):
            self._drop(end)

    def _end(self, why: str) -> None:
        if self.ended is None:
            self.ended = why

    # the line

    def _line_ready(self, events: int) -> None:
        if self.ended is not None:
            return
        if events & READ:
            try:
                data = self._line.recv(PIECE_BYTES)
            except BlockingIOError:
                return
            except OSError as problem:
                self._end(f"the line broke: {problem}")
                return
            if not data:
                self._end("the line was closed")
                return
            self.received(data)

    def _flush(self) -> None:
        out = self._channel.out
        try:
            while out:
                with memoryview(out)[:PIECE_BYTES] as piece:
                    sent = self._line.send(piece)
                del out[:sent]
        except BlockingIOError:
            pass
        except OSError as problem:
            self._end(f"the line broke: {problem}")
            return
        events = READ | WRITE if out else READ
        if events != self._line_events:
            self._line_events = events
            self._selector.modify(self._line, events, self._line_ready)
        while self._waiting and len(out) < LINE_BYTES:
            end = self._waiting.popleft()
            end.waits = False
            self._watch(end)

    def _apply(self, event: Event) -> None:
        if isinstance(event, Arrived):
            self._deliver(event)
        elif isinstance(event, Opened):
            self._open(event.stream)
        elif isinstance(event, Widened):
            self._widened(event.stream)
        elif isinstance(event, Closed):
            self._closed(event.stream)
        elif isinstance(event, Greeted):
            self.greeting = event.words
        elif isinstance(event, Stopped):
            self.stop_asked = True
        elif isinstance(event, Parting):
            self._end(event.why)

    def _open(self, stream: int) -> None:
        try:
            if self._accept is None:
                raise BadFrame("only the relay opens streams")
            self._begin(self._accept(), stream)
        except OSError:
            self._channel.close(stream)

    def _begin(self, sock: socket.socket, stream: int) -> None:
        sock.setblocking(False)
        end = self._ends[stream] = _End(sock, stream)
        self._watch(end)

    # sockets

    def _watch(self, end: _End) -> None:
        """Let the selector watch a socket for what it can be used for now."""
        events = WRITE if end.pending else 0
        if not (end.closing or end.waits) and self._channel.credit(end.stream):
            events |= READ
        if events == end.events:
            return
        if not end.events:
            self._selector.register(end.sock, events, lambda seen: self._end_ready(end, seen))
        elif not events:
            self._selector.unregister(end.sock)
        else:
            key = self._selector.get_key(end.sock)
            self._selector.modify(end.sock, events, key.data)
        end.events = events

    def _end_ready(self, end: _End, events: int) -> None:
        if end.events & events & WRITE:
            self._write(end)
        if end.events & events & READ:
            self._read(end)

    def _read(self, end: _End) -> None:
        """Pass on what a socket has; while the line is full the socket waits for its turn."""
        if len(self._channel.out) >= LINE_BYTES:
            end.waits = True
            self._waiting.append(end)
            self._watch(end)
            return
        try:
            data = end.sock.recv(min(FRAME_BYTES, self._channel.credit(end.stream)))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._channel.send(end.stream, data)
            self._watch(end)
        else:
            self._channel.close(end.stream)
            self._drop(end)

    def _widened(self, stream: int) -> None:
        if stream in self._ends:
            self._watch(self._ends[stream])

    def _deliver(self, event: Arrived) -> None:
        end = self._ends.get(event.stream)
        if end is not None:
            end.pending += event.data
            self._write(end)

    def _write(self, end: _End) -> None:
        try:
            sent = end.sock.send(end.pending)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._channel.close(end.stream)
            self._drop(end)
            return
        del end.pending[:sent]
        self._channel.took(end.stream, sent)
        if end.closing and not end.pending:
            self._drop(end)
        else:
            self._watch(end)

    def _closed(self, stream: int) -> None:
        end = self._ends.get(stream)
        if end is None:
            return
        end.closing = True
        if end.pending:
            self._watch(end)
        else:
            self._drop(end)

    def _drop(self, end: _End) -> None:
        if end.events:
            self._selector.unregister(end.sock)
            end.events = 0
        end.closing = True
        end.pending.clear()
        end.sock.close()
        self._ends.pop(end.stream, None)
