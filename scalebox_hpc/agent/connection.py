"""One connection to the daemon: HTTP/1.1 over TLS, pinned to a fingerprint, never blocking.

One request at a time. It knows no addresses beyond those it is given to try, and never tries again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any

from scalebox_hpc.agent.loop import READ, WRITE, Loop

CONNECT_S = 5.0  # for one address, TLS included
CHUNK = 1 << 18

Done = Callable[[int, dict[str, Any]], None]
"""Called with the status and the answer; status 0 and {"error": reason} when there was none."""


def tls_context() -> ssl.SSLContext:
    """Return a context that checks nothing: the fingerprint is compared instead."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Connection:
    """Closed, connecting, or open; when open, idle or busy with one request."""

    def __init__(self, loop: Loop, context: ssl.SSLContext) -> None:
        self.address: tuple[str, int] | None = None  # the one it is or was last open to
        self.began_at = 0.0
        self._loop = loop
        self._context = context
        self._raw: socket.socket | None = None  # while connecting
        self._tls: ssl.SSLSocket | None = None
        self._fd = -1
        self._open = False
        self._events = 0
        self._fingerprint = ""
        self._to_try: list[tuple[str, int]] = []
        self._problems: list[str] = []
        self._attempt = 0  # numbers connects and requests, so that late timers see they are late
        self._out = memoryview(b"")
        self._in = bytearray()
        self._request = b""
        self._done: Done | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a request is under way."""
        return self._done is not None

    def is_open_to(self, fingerprint: str) -> bool:
        """Whether it is open and the other end showed this certificate."""
        return self._open and self._fingerprint == fingerprint

    def send(self, request: bytes, timeout_s: float, done: Done) -> None:
        """Send over the open connection."""
        self._begin(request, timeout_s, done)
        self._pump(self._fd)

    def open_and_send(
        self,
        addresses: Sequence[tuple[str, int]],
        fingerprint: str,
        request: bytes,
        timeout_s: float,
        done: Done,
    ) -> None:
        """Connect to the first address that answers with that certificate, then send."""
        self.close()
        self._to_try, self._problems, self._fingerprint = list(addresses), [], fingerprint
        self._begin(request, timeout_s + CONNECT_S * len(self._to_try), done)
        self._connect_next()

    def close(self) -> None:
        """Close it; a request under way is answered with status 0 and {"closed": True}."""
        self._let_go()
        done, self._done = self._done, None
        if done is not None:
            done(0, {"error": "closed by us", "closed": True})

    def _begin(self, request: bytes, timeout_s: float, done: Done) -> None:
        self._done, self._request, self._out = done, request, memoryview(request)
        self.began_at = self._loop.now
        self._attempt += 1
        attempt = self._attempt

        def expire() -> None:
            if attempt == self._attempt and self._done is not None:
                self._fail(f"no answer within {timeout_s:.0f} s")

        self._loop.at(self._loop.now + timeout_s, expire)

    # connecting

    def _connect_next(self) -> None:
        self._let_go()
        if not self._to_try:
            self._fail("; ".join(self._problems))
            return
        self.address = self._to_try.pop(0)
        try:
            family, kind, proto, _, where = socket.getaddrinfo(*self.address, type=socket.SOCK_STREAM)[0]
            raw = socket.socket(family, kind, proto)
            raw.setblocking(False)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            code = raw.connect_ex(where)
        except OSError as problem:
            self._next_because(str(problem))
            return
        self._raw, self._fd, self._events = raw, raw.fileno(), WRITE
        if code not in (0, errno.EINPROGRESS):
            self._next_because(errno.errorcode.get(code, str(code)))
            return
        self._loop.watch(self._fd, WRITE, self._pump)

        def expire() -> None:
            if raw is self._raw or (self._tls is not None and not self._open and self._tls.fileno() == fd):
                self._next_because(f"no connection within {CONNECT_S:.0f} s")

        fd = self._fd
        self._loop.at(self._loop.now + CONNECT_S, expire)

    def _next_because(self, problem: str) -> None:
        host, port = self.address or ("", 0)
        self._problems.append(f"{host}:{port}: {problem}")
        self._connect_next()

    def _advance(self) -> bool:
        """Go one step on towards an open connection; tell whether it is open now."""
        if self._tls is None:
            assert self._raw is not None
            code = self._raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, errno.errorcode.get(code, ""))
            self._tls = self._context.wrap_socket(self._raw, do_handshake_on_connect=False)
            self._raw = None
        self._tls.do_handshake()
        shown = hashlib.sha256(self._tls.getpeercert(binary_form=True) or b"").hexdigest()
        if shown != self._fingerprint:
            raise ConnectionError(
                f"its certificate {shown[:16]}... is not the one that contact.json names"
                f" ({self._fingerprint[:16]}...): this is not our daemon"
            )
        self._open = True
        return True

    # talking

    def _pump(self, _: int) -> None:
        try:
            if self._open or self._advance():
                if self._out:
                    self._write()
                self._read()
        except ssl.SSLWantReadError:
            self._want(READ | WRITE if self._open and self._out else READ)
        except ssl.SSLWantWriteError:
            self._want(WRITE)
        except (OSError, ValueError) as problem:
            if self._open:
                self._fail(str(problem) or repr(problem))
            else:
                self._next_because(str(problem))

    def _want(self, events: int) -> None:
        if events != self._events:
            self._events = events
            self._loop.change(self._fd, events)

    def _write(self) -> None:
        assert self._tls is not None
        while self._out:
            self._out = self._out[self._tls.send(self._out[:CHUNK]) :]

    def _read(self) -> None:
        """Read until there is no more; raises SSLWantReadError in the end."""
        assert self._tls is not None
        while self._open:
            piece = self._tls.recv(CHUNK)
            if not piece:
                raise ConnectionError("the daemon closed the connection")
            self._in += piece
            if self._done is not None:
                self._understand(self._done)

    def _understand(self, done: Done) -> None:
        end = self._in.find(b"\r\n\r\n")
        if end < 0:
            return
        first, *lines = self._in[:end].decode("latin-1").split("\r\n")
        fields = dict(line.lower().split(":", 1) for line in lines)
        length = int(fields.get("content-length", "0"))
        if len(self._in) < end + 4 + length:
            return
        body = bytes(self._in[end + 4 : end + 4 + length])
        self._in.clear()
        status, answer = int(first.split(None, 2)[1]), json.loads(body) if body else {}
        self._done = None
        if "close" in fields.get("connection", ""):
            self._let_go()
        done(status, answer)

    def _fail(self, reason: str) -> None:
        self._let_go()
        done, self._done = self._done, None
        if done is not None:
            done(0, {"error": reason})

    def _let_go(self) -> None:
        if self._fd >= 0:
            self._loop.forget(self._fd)
        for end in (self._raw, self._tls):
            if end is not None:
                end.close()
        self._raw = self._tls = None
        self._fd, self._open = -1, False
        self._out = memoryview(self._request) if self._to_try else memoryview(b"")
        self._in.clear()
