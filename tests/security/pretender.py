"""Somebody who answers at the daemon's address with another certificate, and keeps what he is sent."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from scalebox_hpc.daemon.keys import Identity


class Pretender:
    """Listens until closed; `heard` is all that came inside of TLS, `met` who tried to connect."""

    def __init__(self, identity: Identity, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if newest < ssl.TLSVersion.TLSv1_2:
            self._context.set_ciphers("ALL:@SECLEVEL=0")
            self._context.minimum_version = ssl.TLSVersion.TLSv1
        self._context.maximum_version = newest
        self._context.load_cert_chain(identity.certificate, identity.key)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self.heard, self.met = b"", 0
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._socket.accept()
            except OSError:
                return
            self.met += 1
            plain.settimeout(10)
            with plain, suppress(OSError), self._context.wrap_socket(plain, server_side=True) as tls:
                while piece := tls.recv(65536):
                    self.heard += piece


@contextmanager
def pretending(identity: Identity, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> Iterator[Pretender]:
    made = Pretender(identity, newest)
    try:
        yield made
    finally:
        made.close()
