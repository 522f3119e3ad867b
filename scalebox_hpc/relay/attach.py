"""The thin end of the line on the login node: finds the relay or starts it, then copies bytes.

What it reads it passes on; it holds nothing and understands nothing.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import threading
from typing import Any, NoReturn

from scalebox_hpc.relay.channel import parting
from scalebox_hpc.relay.options import STOP, Options, RelayProblem, read_options
from scalebox_hpc.relay.place import Place, find_place, kill_holder, own_digest

ANSWER_S = 10.0  # for a relay to answer or to end
START_S = 5.0  # for one that another process starts to listen
TRIES = 5
PIECE_BYTES = 1 << 16


def connect(options: Options) -> socket.socket:
    """Return a connection to a relay of this version, started if there is none. Raises RelayProblem."""
    place, digest = find_place(options.shared, options.home), own_digest(sys.argv[0])
    for _ in range(TRIES):
        sock = _knock(place)
        if sock is None:
            _start(options, place)
            continue
        greeting = _greeting(sock)
        if greeting is None:
            kill_holder(place)
        elif greeting.get("digest") == digest:
            return sock
        elif not _stop(sock):
            kill_holder(place)
    raise RelayProblem(f"no relay answers on {socket.gethostname()}; {options.shared}/relay.log may say why")


def _knock(place: Place) -> socket.socket | None:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(ANSWER_S)
    try:
        sock.connect(place.socket)
    except OSError:
        sock.close()
        return None
    return sock


def _greeting(sock: socket.socket) -> dict[str, Any] | None:
    """Read the relay's first line, and nothing beyond it; None where it says none."""
    line = b""
    try:
        while not line.endswith(b"\n"):
            piece = sock.recv(1)
            if not piece:
                return None
            line += piece
        return dict(json.loads(line))
    except (OSError, ValueError):
        sock.close()
        return None


def _stop(sock: socket.socket) -> bool:
    """Ask a relay to end, and wait until it has; tell whether it did."""
    with sock:
        try:
            sock.sendall(STOP + b"\n")
            while sock.recv(PIECE_BYTES):
                continue
        except ConnectionError:
            return True
        except OSError:
            return False
    return True


def _start(options: Options, place: Place) -> None:
    """Start a relay, detached, and wait until it listens. Raises RelayProblem."""
    words = [
        sys.executable,
        os.path.abspath(sys.argv[0]),
        "serve",
        "--shared",
        options.shared,
        "--home",
        options.home,
    ]
    words += ["--alone-s", str(options.alone_s)]
    with subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        cwd="/",
    ) as child:
        assert child.stdout is not None
        said = child.stdout.readline()
        if said not in (b"ready\n", b"held\n"):
            said += child.stdout.read()
            raise RelayProblem(f"the relay does not start: {said.decode('utf-8', 'replace').strip()}")
        child.returncode = 0  # it is on its own from here: nobody waits for it
    if said == b"held\n":
        _wait_for_another(place)


def _wait_for_another(place: Place) -> None:
    """Give a relay that holds the lock the time to listen; one that never does is ended."""
    for _ in range(int(START_S / 0.2)):
        sock = _knock(place)
        if sock is not None:
            sock.close()
            return
        select.select([], [], [], 0.2)
    kill_holder(place)


def attach(options: Options) -> None:
    """Be the line between standard input and output and the relay, until one of them ends."""
    sock = connect(options)
    request = {
        "verb": "attach",
        "fingerprint": options.fingerprint,
        "ports": options.ports,
        "advertise": options.advertise,
    }
    sock.sendall(json.dumps(request).encode() + b"\n")
    sock.settimeout(None)
    threading.Thread(target=_copy_in, args=(sock,), daemon=True).start()
    while True:
        data = sock.recv(PIECE_BYTES)
        if not data:
            return
        _write(data)


def _copy_in(sock: socket.socket) -> None:
    try:
        while True:
            data = os.read(0, PIECE_BYTES)
            if not data:
                break
            sock.sendall(data)
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other direction sees the end of it


def _write(data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(1, rest) :]


def stop(options: Options) -> None:
    """End the relay of this place, if there is one."""
    place = find_place(options.shared, options.home)
    sock = _knock(place)
    if sock is not None and not (_greeting(sock) is not None and _stop(sock)):
        kill_holder(place)


def main() -> NoReturn:
    """Do what the command line says; what went wrong goes over the line, where it is read."""
    status = 0
    try:
        options = read_options(sys.argv[1:])
        if options.verb == "stop":
            stop(options)
        else:
            attach(options)
    except (OSError, RelayProblem) as problem:
        print(f"relay: {problem}", file=sys.stderr)
        if sys.argv[1:2] == ["attach"]:
            _write(parting(f"the relay: {problem}"))
        status = 4
    os._exit(status)  # a thread may still wait for standard input
