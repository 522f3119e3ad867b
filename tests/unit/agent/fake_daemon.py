"""A daemon of a few lines, over real HTTPS: enough to run whole agents against it.

It keeps its tasks in memory and never forgets one; it has none of the real one's rules for retries.
"""

from __future__ import annotations

import datetime
import hashlib
import http.server
import json
import ssl
import threading
from collections import deque
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOME = "0123456789abcdef"
TRY = "sbx-try"
JOIN, TOKEN = "join-token", "incarnation-token"
NEED = {"cpus": 1, "memory_mib": 100, "gpus": 0, "scratch_mib": 0, "time_s": 60.0}
AMOUNTS = ("cpus", "memory_mib", "gpus", "scratch_mib")

Json = dict[str, Any]


class FakeDaemon:
    """What an agent talks to. `with` it; change its attributes under `changed`."""

    def __init__(self, shared: Path, **terms: Any) -> None:
        self.shared = shared
        self.terms: Json = {
            "resources": {"cpus": 2, "memory_mib": 2000, "gpus": 0, "scratch_mib": 1000},
            "idle_s": 1.0,
            "lost_after_s": 60.0,
            "spool_after_s": 60.0,
            "poll_s": 5.0,
            "prefetch_s": 2.0,
            **terms,
        }
        self.changed = threading.Condition()
        self.sheets: dict[int, Json] = {}
        self.pending: deque[Json] = deque()
        self.offered: dict[str, tuple[int, Json]] = {}  # lease to the first answer that bore it, offer
        self.held: dict[str, Json] = {}
        self.results: dict[str, Json] = {}
        self.chunks: dict[tuple[str, int], list[Any]] = {}
        self.rows: dict[tuple[str, str], list[list[Any]]] = {}  # of members or missing, by lease
        self.dead: set[str] = set()
        self.do, self.do_hello = "work", "work"
        self.status = 200  # another one is answered to everything
        self.hellos: list[Json] = []
        self.syncs: deque[Json] = deque(maxlen=1000)
        self.ended: list[Json] = []
        self.superseded = 0
        self.calls = 0
        self._last: dict[str, int] = {}
        self._count = 0
        self._context, self.fingerprint = _certificate(shared)
        self._server: http.server.ThreadingHTTPServer | None = None

    # what tests do

    def __enter__(self) -> FakeDaemon:
        token = self.shared / "tries" / TRY / "token"
        token.parent.mkdir(parents=True, exist_ok=True)
        token.write_text(JOIN + "\n")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, on a port of its own each time, and say so in contact.json."""
        handler = type("Handler", (_Handler,), {"daemon": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._server.context = self._context
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.write_contact([f"127.0.0.1:{self._server.server_port}"])

    def write_contact(self, addresses: list[str], fingerprint: str = "") -> None:
        """Write contact.json."""
        contact = {"home": HOME, "addresses": addresses, "fingerprint": fingerprint or self.fingerprint}
        temporary = self.shared / "contact.tmp"
        temporary.write_text(json.dumps(contact))
        temporary.rename(self.shared / "contact.json")

    def stop(self) -> None:
        """Be gone: the port closes, so do all connections."""
        if self._server is not None:
            server, self._server = self._server, None
            with self.changed:
                self.changed.notify_all()
            server.shutdown()
            server.server_close()
            server.close_connections()

    def sheet(self, module: int, **keys: Any) -> None:
        """Set the sheet of a module."""
        self.sheets[module] = {
            "module": module,
            "name": "work",
            "run": "test-0001",
            "digest": "d",
            "site": "local",
            "words": [[word] if isinstance(word, str) else word for word in keys.pop("words", ["/bin/true"])],
            "text": "",
            "values": [],
            "shell": [],
            "files": [],
            "bin": [],
            "env": {},
            "params": {},
            "container": None,
            "to": [],
            "modules": ["work", "next", "total"],
            "gathers": {},
            "is_gather": False,
            "forward": False,
            "output_limit": 65536,
            "message_limit": 1_000_000,
            "results": str(self.shared / "results"),
            "shared": str(self.shared / "run"),
            "pipeline": str(self.shared),
            **keys,
        }

    def add(self, body: str, module: int = 1, **keys: Any) -> str:
        """Add a task; returns its lease."""
        with self.changed:
            self._count += 1
            number = self._count
            offer = {
                "lease": f"{number}.0a0b0c0d.1",
                "module": module,
                "task": f"work.{number}",
                "attempt": 1,
                "body": body,
                "headers": {},
                "resources": {**NEED, **keys.pop("need", {})},
                "gather": None,
                **keys,
            }
            self.pending.append(offer)
            self.changed.notify_all()
        return str(offer["lease"])

    def wait_for(self, what: Any, timeout_s: float = 20.0) -> None:
        """Wait until `what()` is true; fails after the deadline."""
        with self.changed:
            assert self.changed.wait_for(what, timeout_s), f"not within {timeout_s} s"

    def wait_for_result(self, lease: str, timeout_s: float = 20.0) -> Json:
        """Return the result of a lease once it was reported."""
        self.wait_for(lambda: lease in self.results, timeout_s)
        return self.results[lease]

    # what it answers

    def answer(self, path: str, token: str, body: Json) -> tuple[int, Json]:
        """Answer one request."""
        with self.changed:
            self.calls += 1
            if self.status != 200:
                return self.status, {"retry_s": 0.05}
            wanted = JOIN if path in ("/v1/agent/hello", "/v1/agent/ended") else TOKEN
            if token != wanted:
                return 401, {}
            return getattr(self, "_" + path.rpartition("/")[2])(body)

    def _hello(self, body: Json) -> tuple[int, Json]:
        self.hellos.append(body)
        self.changed.notify_all()
        return 200, {"do": self.do_hello, "reason": "", "token": TOKEN, **self.terms}

    def _ended(self, body: Json) -> tuple[int, Json]:
        self.ended.append(body)
        return 200, {}

    def _sheet(self, body: Json) -> tuple[int, Json]:
        sheet = self.sheets.get(body["module"])
        return (200, sheet) if sheet else (404, {"error": "no such module"})

    def _chunk(self, body: Json) -> tuple[int, Json]:
        if body["lease"] in self.dead:
            return 200, {"staged": False, "reason": "void"}
        self.chunks[body["lease"], body["seq"]] = body["messages"]
        return 200, {"staged": True}

    def _members(self, body: Json) -> tuple[int, Json]:
        rows = self.rows.get((body["lease"], body["what"]), [])
        page = [row for row in rows if row[0] > body["after"]][:2]
        more = bool(page) and page[-1][0] != rows[-1][0]
        return 200, {"rows": page, "next": page[-1][0] if more else None}

    def _sync(self, body: Json) -> tuple[int, Json]:
        who, number = body["incarnation"], body["sync"]
        if number <= self._last.get(who, 0):
            return 200, {"sync": number, "superseded": True}
        self._last[who] = number
        self.syncs.append(body)
        self.changed.notify_all()
        recorded, refused = self._record(body["results"])
        listed = {lease for lease, _ in body["held"]}
        dead = sorted(listed & self.dead)
        self._confirm(listed, body["took"])

        def news() -> bool:
            overtaken = self._last[who] != number or self._server is None
            return overtaken or self.do != "work" or bool(listed & self.dead) or self._can_grant(body)

        if body["wait"] and not dead:
            self.changed.wait_for(news, self.terms["poll_s"])
        if self._last[who] != number:
            self.superseded += 1
            return 200, {"sync": number, "superseded": True}
        dead = sorted(listed & self.dead)
        offers = [] if body["leaving"] or self.do != "work" else self._grant(body, number)
        return 200, {
            "sync": number,
            "superseded": False,
            "offers": offers,
            "recorded": recorded,
            "refused": refused,
            "dead": dead,
            "do": self.do,
            "reason": "",
        }

    def _record(self, results: list[Json]) -> tuple[list[str], list[str]]:
        recorded, refused = [], []
        for result in results:
            lease = result["lease"]
            if lease in self.dead:
                refused.append(lease)
                continue
            self.results.setdefault(lease, result)
            self.held.pop(lease, None)
            self.offered.pop(lease, None)
            recorded.append(lease)
        return recorded, refused

    def _confirm(self, listed: set[str], took: int) -> None:
        for lease, (first, offer) in list(self.offered.items()):
            if lease in listed:
                self.held[lease] = self.offered.pop(lease)[1]
            elif took >= first:
                del self.offered[lease]
                self.pending.appendleft(offer)
        for lease in [lease for lease in self.held if lease not in listed]:
            offer = self.held.pop(lease)
            if lease not in self.dead:
                self.pending.append(offer)

    def _can_grant(self, body: Json) -> bool:
        return bool(self.offered) or (
            bool(self.pending) and (self._fits(self.pending[0], body["free"]) or bool(body["prefetch"]))
        )

    def _grant(self, body: Json, number: int) -> list[Json]:
        free, prefetch = dict(body["free"]), dict(body["prefetch"])
        for _, offer in self.offered.values():
            self._take(offer, free, prefetch)
        while self.pending and self._take(self.pending[0], free, prefetch):
            offer = self.pending.popleft()
            self.offered[offer["lease"]] = (number, offer)
        return [offer for _, offer in self.offered.values()]

    def _fits(self, offer: Json, free: Json) -> bool:
        return all(offer["resources"][name] <= free[name] for name in AMOUNTS)

    def _take(self, offer: Json, free: Json, prefetch: Json) -> bool:
        module = str(offer["module"])
        if self._fits(offer, free):
            for name in AMOUNTS:
                free[name] -= offer["resources"][name]
            return True
        prefetch[module] = prefetch.get(module, 0) - 1
        return bool(prefetch[module] >= 0)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    context: ssl.SSLContext

    def __init__(self, *args: Any) -> None:
        self.connections: set[Any] = set()
        super().__init__(*args)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Do the handshake in the connection's own thread."""
        try:
            request = self.context.wrap_socket(request, server_side=True)
        except OSError:
            return
        self.connections.add(request)
        try:
            super().finish_request(request, client_address)
        finally:
            self.connections.discard(request)
            request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks is no news here."""

    def close_connections(self) -> None:
        """Break all connections."""
        for connection in list(self.connections):
            try:
                connection.shutdown(2)
            except OSError:
                continue


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    daemon: FakeDaemon

    def do_POST(self) -> None:
        """Answer one request."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        token = self.headers["Authorization"].removeprefix("Bearer ")
        status, answer = self.daemon.answer(self.path, token, json.loads(body))
        text = json.dumps(answer).encode() if answer else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _certificate(directory: Path) -> tuple[ssl.SSLContext, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "scalebox")])
    day = datetime.timedelta(days=1)
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .sign(key, hashes.SHA256())
    )
    path = directory / "tls.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    der = certificate.public_bytes(serialization.Encoding.DER)
    return context, hashlib.sha256(der).hexdigest()
