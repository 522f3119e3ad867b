"""One small request to the daemon of a home: does it answer, will it stop.

Light to import and meant for starting and stopping only; everything else speaks through the
client.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from typing import Any

from scalebox_hpc.errors import DaemonAbsent


def ask(entries: Mapping[str, Any], method: str, path: str, timeout_s: float = 10.0) -> tuple[int, Any]:
    """Ask the daemon that daemon.json tells of; returns the HTTP status and the decoded body.

    On another host than the daemon's its other addresses are tried. The token is sent to nobody
    who lacks the daemon's certificate. Raises DaemonAbsent where nobody answers.
    """
    here = entries.get("host") == socket.gethostname()
    addresses = [entries["address"]] if here else entries.get("addresses", [entries["address"]])
    for address in addresses:
        try:
            return _ask_at(address, entries, method, path, timeout_s)
        except (OSError, http.client.HTTPException, ValueError):
            continue
    raise DaemonAbsent(f"no daemon answers at {', '.join(addresses)}", "`sbx daemon start` starts one")


def _ask_at(
    address: str, entries: Mapping[str, Any], method: str, path: str, timeout_s: float
) -> tuple[int, Any]:
    host, _, port = address.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # known by its fingerprint instead
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    connection = http.client.HTTPSConnection(host, int(port), timeout=timeout_s, context=context)
    try:
        connection.connect()
        shown = connection.sock.getpeercert(binary_form=True)
        if hashlib.sha256(shown or b"").hexdigest() != entries["fingerprint"]:
            raise ConnectionError(f"somebody else answers at {address}")
        connection.request(method, path, headers={"Authorization": f"Bearer {entries['token']}"})
        answer = connection.getresponse()
        body = answer.read()
        return answer.status, json.loads(body) if body else {}
    finally:
        connection.close()
