"""The client against an HTTPS server that answers as the daemon would."""

from __future__ import annotations

import datetime
import hashlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from scalebox_hpc.client import Daemon, find_home, home_of_pipeline
from scalebox_hpc.errors import (
    ConflictError,
    DaemonAbsent,
    EnvironmentProblem,
    NotFound,
    PipelineErrors,
    SbxError,
    UsageError,
)

Answer = tuple[int, Any]
Opener = Callable[[Path], Daemon]


@dataclass
class Server:
    """What was asked, in order, and how it is answered."""

    answer: Callable[[str, str, dict[str, str], Any], Answer] = lambda *_: (200, {})
    asked: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    connections: int = 0
    close_after_each: bool = False
    address: str = ""
    fingerprint: str = ""


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sbx")])
    begin = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=36500))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    return path, hashlib.sha256(made.public_bytes(serialization.Encoding.DER)).hexdigest()


@pytest.fixture
def server(certificate: tuple[Path, str]) -> Iterator[Server]:
    script = Server(fingerprint=certificate[1])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            script.connections += 1
            super().setup()

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            url = urlsplit(self.path)
            asked = (self.command, url.path, dict(parse_qsl(url.query)), json.loads(body) if body else None)
            script.asked.append(asked)
            script.tokens.append(self.headers["Authorization"])
            status, answer = script.answer(*asked)
            data = json.dumps(answer).encode() if answer is not None else b""
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            self.close_connection = self.close_connection or script.close_after_each

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate[0])
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    httpd.handle_error = lambda *_: None  # type: ignore[method-assign, assignment]
    httpd.socket = context.wrap_socket(httpd.socket, server_side=True, do_handshake_on_connect=False)
    script.address = f"127.0.0.1:{httpd.server_address[1]}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield script
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def home(tmp_path: Path, server: Server) -> Path:
    write_contact(tmp_path, server)
    return tmp_path


@pytest.fixture
def daemon_of() -> Iterator[Opener]:
    """Daemon.of_home, closed at the end."""
    with ExitStack() as stack:
        yield lambda home: stack.enter_context(Daemon.of_home(home))


def write_contact(home: Path, server: Server, **changes: str) -> None:
    facts = {"home": "0" * 16, "pid": 1, "host": socket.gethostname(), "address": server.address}
    known = {"fingerprint": server.fingerprint, "token": "T0", "version": "0.1.0", "started_us": 1}
    (home / "daemon.json").write_text(json.dumps({**facts, **known, **changes}))


def test_the_token_goes_with_each_request_on_one_connection(
    server: Server, home: Path, daemon_of: Opener
) -> None:
    daemon = daemon_of(home)
    server.answer = lambda *_: (200, {"runs": []})
    daemon.runs()
    daemon.runs()
    assert server.tokens == ["Bearer T0"] * 2
    assert server.connections == 1


def test_nothing_is_said_to_a_stranger(server: Server, home: Path, daemon_of: Opener) -> None:
    write_contact(home, server, fingerprint="ab" * 32)
    with pytest.raises(DaemonAbsent):
        daemon_of(home).runs()
    assert server.asked == []


def test_without_daemon_json_there_is_no_daemon(tmp_path: Path) -> None:
    with pytest.raises(DaemonAbsent, match="no daemon answers") as absent:
        Daemon.of_home(tmp_path)
    assert absent.value.hint == "start it: sbx daemon start"


def test_a_daemon_that_left_its_daemon_json_behind_is_absent(
    server: Server, home: Path, daemon_of: Opener
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        write_contact(home, server, address=f"127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(DaemonAbsent):
            daemon_of(home).runs()


def test_a_daemon_elsewhere_is_named(server: Server, home: Path, daemon_of: Opener) -> None:
    write_contact(home, server, host="login2", address="127.0.0.1:1")
    with pytest.raises(DaemonAbsent, match="runs on login2") as absent:
        daemon_of(home).runs()
    assert "sbx daemon takeover" in absent.value.hint


def test_a_closed_connection_is_opened_again(server: Server, home: Path, daemon_of: Opener) -> None:
    server.answer = lambda *_: (200, {"runs": []})
    server.close_after_each = True
    daemon = daemon_of(home)
    for _ in range(3):
        daemon.runs()
    assert len(server.asked) == 3


def test_a_daemon_started_anew_is_found(server: Server, home: Path, daemon_of: Opener) -> None:
    daemon = daemon_of(home)
    server.answer = lambda *_: (401, None) if server.tokens[-1] == "Bearer T0" else (200, {"runs": []})
    write_contact(home, server, token="T1")
    assert daemon.runs() == []


@pytest.mark.parametrize(
    ("status", "answer", "kind", "exit_code"),
    [
        (400, {"error": "no such key", "hint": "look", "exit_code": 2}, UsageError, 2),
        (404, {"error": "there is no run x", "hint": "", "exit_code": 2}, NotFound, 2),
        (409, {"error": "is running", "hint": "", "exit_code": 3}, ConflictError, 3),
        (503, {"error": "slurmctld is away", "hint": "", "exit_code": 4}, EnvironmentProblem, 4),
        (500, None, EnvironmentProblem, 4),
        (418, {"error": "odd", "exit_code": 1}, SbxError, 1),
    ],
)
def test_errors_come_back_as_ours(
    server: Server,
    home: Path,
    daemon_of: Opener,
    status: int,
    answer: Any,
    kind: type[SbxError],
    exit_code: int,
) -> None:
    server.answer = lambda *_: (status, answer)
    with pytest.raises(kind) as error:
        daemon_of(home).cancel("r")
    assert error.value.exit_code == exit_code
    if answer:
        assert (error.value.fact, error.value.hint) == (answer["error"], answer.get("hint", ""))


def test_problems_of_a_pipeline_are_rebuilt(
    server: Server, home: Path, daemon_of: Opener, tmp_path: Path
) -> None:
    problem = {
        "file": "p.toml",
        "key": "modules.a.run",
        "line": 3,
        "problem": "is empty",
        "remedy": "fill it",
    }
    server.answer = lambda *_: (400, {"error": "x", "hint": "", "exit_code": 2, "problems": [problem]})
    with pytest.raises(PipelineErrors) as error:
        daemon_of(home).submit(tmp_path / "p.toml", {"a": "1"}, directory=tmp_path)
    assert str(error.value) == "p.toml:3: modules.a.run: is empty\n    fill it"


def test_what_may_be_asked_again_is(server: Server, home: Path, daemon_of: Opener) -> None:
    server.answer = lambda *_: (503, {"retry_s": 0.1}) if len(server.asked) < 3 else (200, {"runs": []})
    daemon = daemon_of(home)
    assert daemon.runs() == []
    assert len(server.asked) == 3


PAUSED = {"error": "db: the server was lost", "hint": "wait", "exit_code": 4, "retry_s": 0.1, "paused": True}


def test_who_looks_is_told_at_once_what_the_daemon_waits_for(
    server: Server, home: Path, daemon_of: Opener
) -> None:
    server.answer = lambda *_: (503, PAUSED)
    with pytest.raises(EnvironmentProblem, match="the server was lost"):
        daemon_of(home).runs()
    assert len(server.asked) == 1


def test_who_follows_waits_along_with_the_daemon(
    server: Server, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as it takes, and is told once what for."""
    monkeypatch.setattr("scalebox_hpc.client.daemon.PATIENCE_S", 0.15)
    server.answer = lambda *_: (503, PAUSED) if len(server.asked) < 5 else (200, {"run": "primes-1"})
    said: list[str] = []
    with Daemon.of_home(home, say=said.append) as daemon:
        assert daemon.status("primes-1", version=3, wait_s=20.0)["run"] == "primes-1"
    assert said == ["the daemon waits for its ledger: db: the server was lost"]


def test_a_submission_says_what_the_daemon_needs(server: Server, home: Path, daemon_of: Opener) -> None:
    server.answer = lambda *_: (200, {"run": "primes-1"})
    run = daemon_of(home).submit(
        Path("/p/pipeline.toml"), {"limit": "3"}, site="hpc1", stdin=Path("/s"), directory=Path("/cwd")
    )
    assert run == "primes-1"
    assert server.asked == [
        (
            "POST",
            "/v1/runs",
            {},
            {
                "pipeline": "/p/pipeline.toml",
                "params": {"limit": "3"},
                "site": "hpc1",
                "stdin": "/s",
                "client_dir": "/cwd",
            },
        )
    ]


def test_attempts_are_read_page_by_page_up_to_one_point(
    server: Server, home: Path, daemon_of: Opener
) -> None:
    pages = {None: ([1, 2], 2), "2": ([3, 4], 4), "4": ([5], None)}

    def answer(_: str, __: str, query: dict[str, str], ___: Any) -> Answer:
        found, after = pages[query.get("after")]
        return 200, {"attempts": [{"attempt_id": n} for n in found], "next": after, "until": 5}

    server.answer = answer
    daemon = daemon_of(home)
    assert [attempt["attempt_id"] for attempt in daemon.attempts("r")] == [1, 2, 3, 4, 5]
    assert [asked[2].get("until") for asked in server.asked] == [None, "5", "5"]


def test_tasks_are_filtered_by_the_daemon(server: Server, home: Path, daemon_of: Opener) -> None:
    server.answer = lambda *_: (200, {"tasks": [{"task": "count.1"}], "next": None})
    daemon = daemon_of(home)
    assert [task["task"] for task in daemon.tasks("r", state="FAILED", cause="oom")] == ["count.1"]
    assert server.asked[0][1:3] == ("/v1/runs/r/tasks", {"state": "FAILED", "cause": "oom", "limit": "1000"})


def test_a_long_poll_names_version_and_patience(server: Server, home: Path, daemon_of: Opener) -> None:
    server.answer = lambda *_: (200, {"version": 8})
    daemon = daemon_of(home)
    daemon.status("r", version=7, wait_s=20.0)
    assert server.asked[0][2] == {"version": "7", "wait_s": "20.0"}


def test_the_home_is_named_or_beside_the_pipeline_or_above(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    home = tmp_path.resolve() / ".sbx"
    assert home_of_pipeline(tmp_path / "pipeline.toml", {}) == home
    assert home_of_pipeline(tmp_path / "pipeline.toml", {"SBX_HOME": str(inner)}) == inner.resolve()
    with pytest.raises(DaemonAbsent, match=r"there is no \.sbx/"):
        find_home(inner, {})
    home.mkdir()
    assert find_home(inner, {}) == home
    assert find_home(inner, {"SBX_HOME": str(inner)}) == inner.resolve()
