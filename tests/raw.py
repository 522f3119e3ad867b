"""Bytes to an HTTPS server, as no client of ours would send them."""

from __future__ import annotations

import socket
import ssl


def raw(port: int, context: ssl.SSLContext, request: bytes) -> bytes:
    """What the server says to these bytes until it closes."""
    answer = b""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
        context.wrap_socket(plain) as tls,
    ):
        try:
            tls.sendall(request)
            while piece := tls.recv(65536):
                answer += piece
        except (ssl.SSLError, ConnectionError):
            pass  # it was cut off
    return answer
