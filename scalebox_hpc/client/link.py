"""One pinned HTTPS connection to a daemon, kept alive between requests.

It sends and receives JSON; what the answers mean is not its business. The token leaves this
process only after the certificate was found to be the one that `daemon.json` names.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scalebox_hpc.errors import DaemonAbsent, EnvironmentProblem

CONNECT_S = 10.0
ANSWER_S = 60.0  # beyond the time that a long poll asks for itself


@dataclass(frozen=True, slots=True)
class Contact:
    """Where the daemon of a home answers, and how it proves to be the one."""

    home: Path
    host: str
    addresses: tuple[str, ...]  # host:port, tried in order
    fingerprint: str  # sha256 of the certificate in DER, hex
    token: str

    @classmethod
    def of_home(cls, home: Path) -> Contact:
        """Read `daemon.json`. Raises DaemonAbsent where there is none that can be read."""
        try:
            data = json.loads((home / "daemon.json").read_text("utf-8"))
            here = data["host"] in ("", socket.gethostname(), socket.getfqdn())
            addresses = (data["address"],) if here else tuple(data.get("addresses") or [data["address"]])
            return cls(home, data["host"], addresses, data["fingerprint"], data["token"])
        except FileNotFoundError:
            raise _absent(home) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DaemonAbsent(
                f"{home / 'daemon.json'} cannot be read: {error}", "`sbx daemon start` writes it anew"
            ) from None


class Link:
    """Requests to one daemon. Not to be shared by threads."""

    def __init__(self, contact: Contact) -> None:
        self.contact = contact
        self._connection: http.client.HTTPSConnection | None = None

    def ask(
        self, method: str, target: str, body: Mapping[str, Any] | None = None, wait_s: float = 0.0
    ) -> tuple[int, dict[str, Any]]:
        """Send one request and return the status and the JSON object of the answer ({} if none).

        Raises DaemonAbsent where nobody answers, EnvironmentProblem where the daemon took the
        request and then fell silent.
        """
        kept = self._connection is not None and method == "GET"
        if not kept:
            self._connect()
        try:
            return self._exchange(method, target, body, wait_s)
        except TimeoutError:
            self.close()
            raise self._silent() from None
        except (OSError, http.client.HTTPException):
            self.close()
            if not kept and method == "GET":
                raise _absent(self.contact.home) from None
            if not kept:
                raise self._vanished() from None
        # A kept connection may have been closed by the daemon meanwhile: once more on a new one.
        self._connect()
        try:
            return self._exchange(method, target, body, wait_s)
        except (OSError, http.client.HTTPException):
            self.close()
            raise _absent(self.contact.home) from None

    def close(self) -> None:
        """Drop the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(
        self, method: str, target: str, body: Mapping[str, Any] | None, wait_s: float
    ) -> tuple[int, dict[str, Any]]:
        connection = self._connection
        assert connection is not None  # both callers have just made or found one
        connection.sock.settimeout(wait_s + ANSWER_S)
        payload = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.contact.token}", "Content-Type": "application/json"}
        connection.request(method, target, body=payload, headers=headers)
        answer = connection.getresponse()
        data = answer.read()
        if answer.will_close:
            self.close()
        return answer.status, _object(data)

    def _connect(self) -> None:
        self.close()
        for address in self.contact.addresses:
            host, _, port = address.rpartition(":")
            connection = http.client.HTTPSConnection(
                host.strip("[]"), int(port), timeout=CONNECT_S, context=_context()
            )
            try:
                connection.connect()
                connection.auto_open = 0  # never connect again without a look at the certificate
                if _fingerprint(connection) == self.contact.fingerprint.lower():
                    self._connection = connection
                    return
            except OSError:
                pass
            connection.close()
        raise self._unreachable()

    def _unreachable(self) -> DaemonAbsent:
        if self.contact.host in ("", socket.gethostname(), socket.getfqdn()):
            return _absent(self.contact.home)
        return DaemonAbsent(
            f"the daemon of {self.contact.home} runs on {self.contact.host} and cannot be reached from here",
            f"use `sbx` on {self.contact.host}; if that machine is gone for good: sbx daemon takeover",
        )

    def _silent(self) -> EnvironmentProblem:
        return EnvironmentProblem(
            f"the daemon of {self.contact.home} took the request but does not answer",
            f"see what it does: {self.contact.home / 'log' / 'daemon.log'}",
        )

    def _vanished(self) -> EnvironmentProblem:
        return EnvironmentProblem(
            f"the daemon of {self.contact.home} went away before it answered",
            "it may have done what was asked; look before asking again: sbx status --all",
        )


def _absent(home: Path) -> DaemonAbsent:
    return DaemonAbsent(f"no daemon answers for {home}", "start it: sbx daemon start")


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the fingerprint is what we check, before anything is sent
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _fingerprint(connection: http.client.HTTPSConnection) -> str:
    sock = connection.sock
    der = sock.getpeercert(binary_form=True) if isinstance(sock, ssl.SSLSocket) else None
    return hashlib.sha256(der or b"").hexdigest()


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data or b"{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
