"""The relay itself: a process of its own on the login node, which listens for agents and for its attach.

It sees only what TLS lets it see. Without an attach it lets agents go at once, so that they keep what they
have and come again.
"""

from __future__ import annotations

import json
import os
import resource
import selectors
import signal
import socket
import struct
import sys
import time
from typing import Any, Callable, NoReturn

from scalebox_hpc.relay.addresses import own_addresses
from scalebox_hpc.relay.carrier import Carrier
from scalebox_hpc.relay.channel import parting
from scalebox_hpc.relay.options import STOP, Options, RelayProblem, read_options
from scalebox_hpc.relay.place import (
    CONTACT,
    LOG,
    RECORD,
    Place,
    find_place,
    leave,
    own_digest,
    read_record,
    take_lock,
    write_whole,
)

LOOK_S = 30.0  # between two looks whether the shared folder is still ours
ASKED_S = 10.0  # for a visitor to say what it wants
REQUEST_BYTES = 1 << 14
STREAMS_MOST = 10_000
SPARE_FILES = 64
LOG_BYTES = 1 << 18
BACKLOG = 1024


def say(text: str) -> None:
    """Write a line to the log, which begins anew when it is long."""
    try:
        if os.fstat(2).st_size > LOG_BYTES:
            os.ftruncate(2, 0)
        os.write(2, f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n".encode())
    except OSError:
        return  # a full disk does not end the relay


def listen(ports: tuple[int, int] | None, recorded: int | None) -> socket.socket:
    """Listen for agents: on the port of before where it is free and within the range. Raises RelayProblem."""
    tried = [] if recorded is None or (ports and not ports[0] <= recorded <= ports[1]) else [recorded]
    if ports is None:
        tried.append(0)
    else:
        inside = range(ports[0], ports[1] + 1)
        start = int.from_bytes(os.urandom(4), "big") % max(1, len(inside))
        tried += [*inside[start:], *inside[:start]]
    for port in tried:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("0.0.0.0", port))
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            continue
        listener.setblocking(False)
        return listener
    raise RelayProblem(f"no free port in {ports} on {socket.gethostname()}: widen `ports` in the site file")


class Visitor:
    """Somebody on the socket who has not said yet what is wanted."""

    def __init__(self, sock: socket.socket, now: float) -> None:
        self.sock, self.until = sock, now + ASKED_S
        self.heard = b""


class Server:
    """The process: at most one attach, and the agents it carries."""

    def __init__(self, options: Options, place: Place, digest: str) -> None:
        self.leaving = ""  # why, once it is to end
        self._options, self._place, self._digest = options, place, digest
        self._nonce = os.urandom(8).hex()
        self._selector = selectors.DefaultSelector()
        self._visitors: dict[socket.socket, Visitor] = {}
        self._carrier: Carrier | None = None
        self._agents: socket.socket | None = None  # listens for them
        self._alone_since = self._looked_at = time.monotonic()
        self._look_s = min(LOOK_S, options.alone_s)
        self._most = min(STREAMS_MOST, _files() - SPARE_FILES)

    def open(self) -> None:
        """Listen for an attach. The lock is ours, so a socket that is there is of the dead."""
        if os.path.exists(self._place.socket):
            os.unlink(self._place.socket)
        door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        os.umask(0o077)
        door.bind(self._place.socket)
        door.listen(8)
        self._watch(door, self._visited)

    def turn(self) -> None:
        """Wait for something, do it, and look at the clock."""
        wait_s = self._look_s if not self._visitors else min(self._look_s, ASKED_S)
        if self._carrier is not None:
            wait_s = min(wait_s, self._carrier.turn() or 0.0)
        for key, events in self._selector.select(wait_s):
            key.data(events)
        now = time.monotonic()
        if self._carrier is not None:
            self._after_line(self._carrier, now)
        for visitor in [one for one in self._visitors.values() if now >= one.until]:
            self._dismiss(visitor)
        self._look(now)

    def close(self, lock: int) -> None:
        """Make room for the next relay, then let go of everybody; who asked us to end waits for that."""
        leave(self._place, lock)
        if self._agents is not None:
            self._agents.close()
        if self._carrier is not None:
            self._carrier.close(self.leaving)
        for visitor in list(self._visitors.values()):
            self._dismiss(visitor)
        self._selector.close()

    def _watch(self, listener: socket.socket, ready: Callable[[socket.socket], None]) -> None:
        """Have everybody taken who comes, several at once."""
        listener.setblocking(False)

        def accept(_: int) -> None:
            for _ in range(64):
                try:
                    sock, _address = listener.accept()
                except OSError:
                    return
                ready(sock)

        self._selector.register(listener, selectors.EVENT_READ, accept)

    def _after_line(self, carrier: Carrier, now: float) -> None:
        if carrier.stop_asked:
            self.leaving = "asked to"
        if carrier.ended is not None:
            say(f"detached: {carrier.ended}; {len(carrier)} connections let go")
            carrier.close()
            self._carrier, self._alone_since = None, now

    def _look(self, now: float) -> None:
        """Find out whether anybody still wants this process."""
        if self._carrier is None and now - self._alone_since >= self._options.alone_s:
            self.leaving = f"alone for {self._options.alone_s:.0f} s"
        if now - self._looked_at < self._look_s:
            return
        self._looked_at = now
        record = read_record(self._options.shared)
        if record and self._agents is not None and record.get("nonce") != self._nonce:
            self.leaving = f"the shared folder has a newer relay, on {record.get('host')}"
        elif self._carrier is None and not os.path.isdir(self._options.shared):
            self.leaving = "the shared folder is gone"

    # visitors

    def _visited(self, sock: socket.socket) -> None:
        _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid != os.geteuid():
            sock.close()
            return
        sock.setblocking(False)
        greeting = {"relay": 1, "digest": self._digest, "pid": os.getpid()}
        try:
            sock.send(json.dumps(greeting).encode() + b"\n")
        except OSError:
            sock.close()
            return
        visitor = self._visitors[sock] = Visitor(sock, time.monotonic())
        self._selector.register(sock, selectors.EVENT_READ, lambda _: self._hear(visitor))

    def _dismiss(self, visitor: Visitor) -> None:
        self._forget(visitor)
        visitor.sock.close()

    def _forget(self, visitor: Visitor) -> None:
        self._selector.unregister(visitor.sock)
        del self._visitors[visitor.sock]

    def _hear(self, visitor: Visitor) -> None:
        try:
            data = visitor.sock.recv(REQUEST_BYTES)
        except OSError:
            data = b""
        visitor.heard += data
        request, newline, rest = visitor.heard.partition(b"\n")
        if newline and request == STOP:
            self.leaving = "asked to"
        elif newline:
            self._forget(visitor)
            self._attached(visitor.sock, request, rest)
        elif not data or len(visitor.heard) > REQUEST_BYTES:
            self._dismiss(visitor)

    def _attached(self, sock: socket.socket, request: bytes, rest: bytes) -> None:
        try:
            asked = json.loads(request)
            port = self._open_to_agents(asked)
        except (RelayProblem, OSError, ValueError, KeyError, TypeError) as problem:
            say(f"cannot serve an attach: {problem}")
            sock.setblocking(True)
            sock.settimeout(1.0)
            with sock:
                sock.sendall(parting(str(problem)))
            return
        if self._carrier is not None:
            self._carrier.close("another attach has taken its place")
        words = {"host": socket.gethostname(), "pid": os.getpid(), "port": port}
        self._carrier = Carrier(self._selector, sock, json.dumps(words))
        self._carrier.received(rest)
        say(f"attached; agents come to port {port}")

    # agents

    def _open_to_agents(self, asked: dict[str, Any]) -> int:
        """Listen, and tell agents where. Raises RelayProblem, OSError."""
        ports = (int(asked["ports"][0]), int(asked["ports"][1])) if asked["ports"] else None
        if self._agents is not None and ports and not ports[0] <= _port(self._agents) <= ports[1]:
            self._selector.unregister(self._agents)
            self._agents.close()
            self._agents = None
        record = read_record(self._options.shared)
        if self._agents is None:
            recorded = record.get("port")
            self._agents = listen(ports, recorded if isinstance(recorded, int) else None)
            self._watch(self._agents, self._called)
        port = _port(self._agents)
        told = {"nonce": self._nonce, "host": socket.gethostname(), "pid": os.getpid(), "port": port}
        if record != told:
            write_whole(self._options.shared, RECORD, told)
        contact = {
            "home": self._options.home,
            "addresses": [f"{address}:{port}" for address in own_addresses(asked["advertise"])],
            "fingerprint": str(asked["fingerprint"]),
        }
        write_whole(self._options.shared, CONTACT, contact)
        return port

    def _called(self, sock: socket.socket) -> None:
        """An agent: carried home, or sent away at once while there is no way home."""
        if self._carrier is None or self._carrier.ended is not None or len(self._carrier) >= self._most:
            sock.close()
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._carrier.add(sock)


def _port(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def _files() -> int:
    """Raise how many files we may have open as far as we may, and return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = STREAMS_MOST + SPARE_FILES if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def main() -> NoReturn:
    """Serve until nobody wants it any more. The first line on standard output says how it began."""
    try:
        options = read_options(sys.argv[1:])
        place = find_place(options.shared, options.home)
        log = os.open(os.path.join(options.shared, LOG), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        lock = take_lock(place)
        if lock is None:
            print("held", flush=True)
            sys.exit(3)
        server = Server(options, place, own_digest(sys.argv[0]))
        server.open()
        _detach(log)
    except (OSError, RelayProblem) as problem:
        print(problem, flush=True)
        sys.exit(4)
    say(f"serves home {options.home} as process {os.getpid()} on {socket.gethostname()}")
    while not server.leaving:
        server.turn()
    say(f"leaves: {server.leaving}")
    server.close(lock)
    sys.exit(0)


def _detach(log: int) -> None:
    """Say that it began, and let go of whoever started it."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.write(1, b"ready\n")
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
