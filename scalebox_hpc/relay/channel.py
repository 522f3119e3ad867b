"""Many streams over one line: frames, windows, and whether the other end still lives. Pure: bytes and
times in, events and bytes out.

Both ends are equal but for who opens streams. A stream may have so many bytes under way as the other end
has room for (its window), so that whoever does not read holds up nobody else. It knows no sockets.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple, Union

VERSION = 1
MAGIC = b"\0sbx-relay\n"  # what comes before it is the login shell's small talk
NOISE_BYTES = 1 << 16  # so much of that is borne
FRAME_BYTES = 1 << 15  # most content of one frame
WINDOW_BYTES = 1 << 17  # of a stream, in each direction
PING_S = 10.0  # of silence, until we ask
DEAD_S = 30.0  # of silence, until the other end counts as gone
HEAD = struct.Struct(">BII")  # kind, stream, length of the content
NUMBER = struct.Struct(">I")


class Kind(IntEnum):
    """What a frame says."""

    HELLO = 0  # the first one: version, then words about oneself
    OPEN = 1
    DATA = 2
    WINDOW = 3  # so many more bytes may be sent
    CLOSE = 4  # nothing more is sent, and nothing more is wanted
    PING = 5
    PONG = 6
    STOP = 7  # the relay is to end
    BYE = 8  # the line is about to be closed, and why


class BadFrame(Exception):
    """The other end does not keep to the protocol; the line is of no use any more."""


class Greeted(NamedTuple):
    """The other end is there and speaks our version."""

    words: str


class Opened(NamedTuple):
    """A new stream."""

    stream: int


class Arrived(NamedTuple):
    """Bytes of a stream; `took` tells the channel once they are out of the way."""

    stream: int
    data: bytes


class Widened(NamedTuple):
    """More of a stream may be sent."""

    stream: int


class Closed(NamedTuple):
    """The other end has closed a stream; what arrived before still counts."""

    stream: int


class Stopped(NamedTuple):
    """The relay is to end."""


class Parting(NamedTuple):
    """The other end leaves the line."""

    why: str


Event = Union[Greeted, Opened, Arrived, Widened, Closed, Stopped, Parting]


class _Stream:
    """What is known of a stream that we have not closed."""

    __slots__ = ("credit", "owed", "room")

    def __init__(self) -> None:
        self.credit = WINDOW_BYTES  # bytes that we may send
        self.room = WINDOW_BYTES  # bytes that the other end may send
        self.owed = 0  # bytes taken here, for which it has no new room yet


class Channel:
    """One end of a line. `out` holds what is to be sent; whoever sends deletes it from there."""

    def __init__(self, words: str, now: float) -> None:
        self.out = bytearray(MAGIC)
        self.greeted = False
        self._in = bytearray()
        self._began = False  # MAGIC has been seen
        self._streams: dict[int, _Stream] = {}
        self._newest = 0  # stream of either end's opening
        self._heard_at = now
        self._asked_at = now
        self._put(Kind.HELLO, 0, NUMBER.pack(VERSION) + words.encode())

    # what comes in

    def received(self, data: bytes, now: float) -> list[Event]:
        """Understand what came over the line. Raises BadFrame."""
        self._heard_at = self._asked_at = now
        self._in += data
        events: list[Event] = []
        if not self._began and not self._begin():
            return events
        start = 0
        while len(self._in) - start >= HEAD.size:
            kind, stream, length = HEAD.unpack_from(self._in, start)
            if length > FRAME_BYTES:
                raise BadFrame(f"a frame of {length} bytes")
            end = start + HEAD.size + length
            if len(self._in) < end:
                break
            with memoryview(self._in)[start + HEAD.size : end] as content:
                events += self._understand(kind, stream, bytes(content))
            start = end
        del self._in[:start]
        return events

    def _begin(self) -> bool:
        at = self._in.find(MAGIC)
        if at >= 0:
            del self._in[: at + len(MAGIC)]
            self._began = True
        elif len(self._in) > NOISE_BYTES:
            raise BadFrame("something else than a relay talks there: " + repr(bytes(self._in[:200])))
        return self._began

    def _understand(self, kind: int, stream: int, content: bytes) -> list[Event]:
        if kind == Kind.BYE:
            return [Parting(content.decode("utf-8", "replace"))]
        if not self.greeted:
            return [self._greet(kind, content)]
        if kind == Kind.PING:
            self._put(Kind.PONG, 0)
        elif kind == Kind.OPEN:
            return [self._opened(stream)]
        elif kind == Kind.STOP:
            return [Stopped()]
        elif kind in (Kind.DATA, Kind.WINDOW, Kind.CLOSE):
            return self._of_stream(kind, stream, content)
        elif kind != Kind.PONG:
            raise BadFrame(f"a frame of kind {kind}")
        return []

    def _greet(self, kind: int, content: bytes) -> Event:
        if kind != Kind.HELLO or len(content) < NUMBER.size:
            raise BadFrame("no greeting")
        (version,) = NUMBER.unpack_from(content)
        if version != VERSION:
            raise BadFrame(f"version {version} of the protocol, where {VERSION} is spoken here")
        self.greeted = True
        return Greeted(content[NUMBER.size :].decode("utf-8", "replace"))

    def _opened(self, stream: int) -> Event:
        if stream <= self._newest:
            raise BadFrame(f"stream {stream} is opened after stream {self._newest}")
        self._newest = stream
        self._streams[stream] = _Stream()
        return Opened(stream)

    def _of_stream(self, kind: int, stream: int, content: bytes) -> list[Event]:
        """What we have closed already may still be on its way to us: it is passed over."""
        if stream > self._newest:
            raise BadFrame(f"stream {stream} was never opened")
        known = self._streams.get(stream)
        if known is None:
            return []
        if kind == Kind.WINDOW:
            if len(content) != NUMBER.size:
                raise BadFrame("a window without a number")
            known.credit += NUMBER.unpack(content)[0]
            return [Widened(stream)]
        if kind == Kind.CLOSE:
            del self._streams[stream]
            return [Closed(stream)]
        known.room -= len(content)
        if known.room < 0:
            raise BadFrame(f"stream {stream} sends more than its window")
        return [Arrived(stream, content)]

    # what goes out

    def open(self) -> int:
        """Open a stream and return its number. Only one of the two ends may do so."""
        self._newest += 1
        self._streams[self._newest] = _Stream()
        self._put(Kind.OPEN, self._newest)
        return self._newest

    def credit(self, stream: int) -> int:
        """How many bytes of a stream may be sent now; 0 also for one that is closed."""
        known = self._streams.get(stream)
        return 0 if known is None else known.credit

    def send(self, stream: int, data: bytes) -> None:
        """Send bytes of an open stream, no more than its credit and than a frame holds."""
        self._streams[stream].credit -= len(data)
        self._put(Kind.DATA, stream, data)

    def took(self, stream: int, size: int) -> None:
        """Tell that bytes that arrived are out of the way; room is given back by the half window."""
        known = self._streams.get(stream)
        if known is None:
            return
        known.owed += size
        if known.owed * 2 >= WINDOW_BYTES:
            self._put(Kind.WINDOW, stream, NUMBER.pack(known.owed))
            known.room += known.owed
            known.owed = 0

    def close(self, stream: int) -> None:
        """Close a stream for both directions; nothing more of it is told. Idempotent."""
        if self._streams.pop(stream, None) is not None:
            self._put(Kind.CLOSE, stream)

    def stop(self) -> None:
        """Ask the relay to end."""
        self._put(Kind.STOP, 0)

    def part(self, why: str) -> None:
        """Say that the line is about to be closed."""
        self._put(Kind.BYE, 0, why.encode()[:FRAME_BYTES])

    def _put(self, kind: Kind, stream: int, content: bytes = b"") -> None:
        self.out += HEAD.pack(kind, stream, len(content))
        self.out += content

    # whether it lives

    def is_dead(self, now: float) -> bool:
        """Whether the other end was silent for too long."""
        return now - self._heard_at >= DEAD_S

    def look_at(self) -> float:
        """When `ask` is due next."""
        return min(self._asked_at + PING_S, self._heard_at + DEAD_S)

    def ask(self, now: float) -> None:
        """Ask for a sign of life when there was none for a while."""
        if now - self._asked_at >= PING_S:
            self._asked_at = now
            self._put(Kind.PING, 0)


def parting(why: str) -> bytes:
    """What an end says that never got as far as to greet."""
    content = why.encode()[:FRAME_BYTES]
    return MAGIC + HEAD.pack(Kind.BYE, 0, len(content)) + content
