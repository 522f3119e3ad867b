"""The proxy carries all bytes, none of them too early, and no more at once than its window."""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from scalebox_hpc.testing.delay_proxy import DelayProxy, Line

QUICK = Line(round_trip_s=0.002, window_bytes=256 * 1024)
DEADLINE_S = 20.0


@contextmanager
def echo() -> Iterator[tuple[str, int]]:
    """A server that sends back what it gets, and closes when the other side does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)


def accept(listener: socket.socket) -> None:
    with suppress(OSError):
        while True:
            threading.Thread(target=answer, args=listener.accept()[:1], daemon=True).start()


def answer(connection: socket.socket) -> None:
    with connection, suppress(OSError):
        while data := connection.recv(65536):
            connection.sendall(data)


def through(proxy: DelayProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), DEADLINE_S)


def receive(connection: socket.socket) -> bytes:
    """All that comes, to the end."""
    parts = []
    while data := connection.recv(65536):
        parts.append(data)
    return b"".join(parts)


def send_and_end(connection: socket.socket, data: bytes) -> threading.Thread:
    def send() -> None:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    return sender


def test_all_bytes_come_in_order_and_the_end_comes_last() -> None:
    data = bytes(range(256)) * 8192
    with echo() as target, DelayProxy(target, QUICK) as proxy, through(proxy) as connection:
        sender = send_and_end(connection, data)
        assert receive(connection) == data
        sender.join(DEADLINE_S)


def test_connections_do_not_mix() -> None:
    texts = [bytes([n]) * 300_000 for n in range(4)]
    with echo() as target, DelayProxy(target, QUICK) as proxy:
        connections = [through(proxy) for _ in texts]
        senders = [send_and_end(*pair) for pair in zip(connections, texts, strict=True)]
        assert [receive(connection) for connection in connections] == texts
        for each in senders:
            each.join(DEADLINE_S)
        for each in connections:
            each.close()
        assert proxy.accepted == 4


def test_an_answer_takes_no_less_than_the_round_trip() -> None:
    with echo() as target, DelayProxy(target, Line(0.1, 1024)) as proxy, through(proxy) as connection:
        begun_s = time.monotonic()
        connection.sendall(b"?")
        assert connection.recv(1) == b"?"
        assert time.monotonic() - begun_s > 0.099


def test_a_window_leaves_only_when_the_one_before_it_is_received() -> None:
    line = Line(round_trip_s=0.05, window_bytes=16 * 1024)
    with echo() as target, DelayProxy(target, line) as proxy, through(proxy) as connection:
        begun_s = time.monotonic()
        sender = send_and_end(connection, bytes(5 * line.window_bytes))
        assert len(receive(connection)) == 5 * line.window_bytes
        assert time.monotonic() - begun_s > (4 + 1) * line.round_trip_s - 0.001
        sender.join(DEADLINE_S)


def test_a_target_that_is_not_there_ends_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = listener.getsockname()
    with DelayProxy(nobody, QUICK) as proxy, through(proxy) as connection:
        assert receive(connection) == b""


def test_its_end_is_the_end_of_its_connections() -> None:
    with echo() as target:
        with DelayProxy(target, QUICK) as proxy:
            connection = through(proxy)
            connection.sendall(b"!")
            assert connection.recv(1) == b"!"
        with connection, suppress(ConnectionResetError):
            assert connection.recv(1) == b""


def test_a_port_that_is_taken_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        DelayProxy(("127.0.0.1", 1), QUICK, taken.getsockname()).__enter__()


def test_as_a_program_it_says_its_port_and_serves_until_it_is_killed() -> None:
    program = [sys.executable, "-m", "scalebox_hpc.testing.delay_proxy", "--round-trip-ms=2"]
    with echo() as (host, port):
        with subprocess.Popen([*program, f"{host}:{port}"], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = int(process.stdout.readline())
            with socket.create_connection(("127.0.0.1", said), DEADLINE_S) as connection:
                connection.sendall(b"!")
                assert connection.recv(1) == b"!"
            process.terminate()
        assert process.returncode == -signal.SIGTERM
