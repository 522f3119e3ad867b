"""Who may do what: roles of tokens, bounds of requests, and nobody speaks to a stranger."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from scalebox_hpc.agent.link import Link as AgentLink
from scalebox_hpc.agent.loop import Loop
from scalebox_hpc.client.link import Contact, Link
from scalebox_hpc.daemon.ask import ask
from scalebox_hpc.daemon.home import create
from scalebox_hpc.daemon.keys import Identity, open_identity
from scalebox_hpc.daemon.routes import AGENT_ROUTES, USER_ROUTES, Role, Route
from scalebox_hpc.errors import DaemonAbsent
from tests.raw import raw
from tests.security.pretender import Pretender, pretending
from tests.security.scene import Scene

HEX = "0123456789abcdef"


def token_of(scene: Scene, role: Role) -> str:
    match role:
        case Role.USER:
            return scene.keys.user_token()
        case Role.JOIN:
            return scene.keys.join_token(scene.tries[0])
        case Role.INCARNATION:
            return scene.keys.incarnation_token(scene.incarnations[0])
        case Role.METRICS:
            return scene.keys.metrics_token()


def subject_of(scene: Scene) -> dict[str, Any]:
    return {"try": scene.tries[0], "incarnation": scene.incarnations[0]}


def path_of(route: Route) -> str:
    return route.path.format(run="newest", task="work.1")


# ---- tokens


@pytest.mark.parametrize("route", [*AGENT_ROUTES, *USER_ROUTES], ids=lambda route: route.verb)
def test_a_token_of_another_role_opens_no_door(scene: Scene, route: Route) -> None:
    for role in set(Role) - {route.role, route.also}:
        answer = scene.ask(route.method, path_of(route), subject_of(scene), token_of(scene, role))
        assert answer == (401, b""), role


@pytest.mark.parametrize("token", [None, "", "user.user." + "0" * 64, "user.user.", "join..", "é"])
@pytest.mark.parametrize("path", ["/v1/runs", "/v1/agent/sync", "/v1/openapi.json", "/", "/no/such"])
def test_whoever_has_no_token_gets_an_empty_401(scene: Scene, path: str, token: str | None) -> None:
    sent = None if token is None else token.encode().decode("latin-1")
    assert scene.ask("GET", path, token=sent) == (401, b"")


def test_a_token_with_one_digit_changed_is_a_strangers(scene: Scene) -> None:
    token = scene.keys.user_token()
    changed = token[:-1] + HEX[HEX.index(token[-1]) - 1]
    assert scene.ask("GET", "/v1/runs", token=token)[0] == 200
    assert scene.ask("GET", "/v1/runs", token=changed) == (401, b"")


def test_the_token_of_one_subject_is_not_anothers(scene: Scene) -> None:
    mac = scene.keys.join_token("one").rpartition(".")[2]
    for token in (f"join.two.{mac}", f"incarnation.one.{mac}", f"user.user.{mac}"):
        assert scene.ask("GET", "/v1/runs", token=token) == (401, b"")


def test_a_join_token_says_nothing_for_another_try(scene: Scene) -> None:
    own = scene.keys.join_token("sbx-other.1")
    said = {**subject_of(scene), "element": 0, "restart": 9}
    for path in ("/v1/agent/hello", "/v1/agent/ended"):
        assert scene.ask("POST", path, said, own) == (401, b"")


def test_an_incarnation_token_says_nothing_for_another_agent(scene: Scene) -> None:
    own = scene.keys.incarnation_token("ab" * 8)
    assert scene.ask("POST", "/v1/agent/sync", {**subject_of(scene), "sync": 1}, own) == (401, b"")


# ---- bounds


def test_a_body_beyond_8_mib_is_refused_with_413(scene: Scene) -> None:
    assert scene.as_user("POST", "/v1/runs", b" " * ((8 << 20) + 1))[0] == 413
    assert scene.as_user("GET", "/v1/daemon")[0] == 200


def test_endless_headers_are_cut_off(scene: Scene) -> None:
    many = b"GET /v1/runs HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1000) for n in range(100))
    assert raw(scene.port, scene.context(), many) == b""
    assert raw(scene.port, scene.context(), b"GET /v1/runs HTTP/1.1\r\nX: " + b"y" * 1_000_000) == b""
    assert raw(scene.port, scene.context(), b"GET /" + b"y" * 1_000_000) == b""


def test_a_stranger_cannot_make_the_daemon_read_a_body(scene: Scene) -> None:
    head = b"POST /v1/runs HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
    assert raw(scene.port, scene.context(), head).startswith(b"HTTP/1.1 401")


def test_silent_strangers_do_not_keep_others_out(scene: Scene) -> None:
    silent = [socket.create_connection(("127.0.0.1", scene.port), timeout=20) for _ in range(200)]
    try:
        assert scene.as_user("GET", "/v1/daemon")[0] == 200
    finally:
        for one in silent:
            one.close()


# ---- TLS


@pytest.fixture
def others(tmp_path: Path) -> Identity:
    """The certificate of another home."""
    return open_identity(create(tmp_path / "other"), datetime.now(UTC))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_the_daemon_speaks_no_tls_below_1_2(scene: Scene, others: Identity, version: ssl.TLSVersion) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version

    def connect(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
            context.wrap_socket(plain).close()

    with pretending(others, ssl.TLSVersion.TLSv1_1) as pretender:
        connect(int(pretender.address.rpartition(":")[2]))  # so it is not we who cannot
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connect(scene.port)


def test_it_does_not_speak_without_tls(scene: Scene) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", scene.port, timeout=20)
    connection.request("GET", "/v1/runs")
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        connection.getresponse()
    connection.close()


def by_client(scene: Scene, pretender: Pretender, fingerprint: str) -> None:
    link = Link(Contact(scene.home, "", (pretender.address,), fingerprint, scene.keys.user_token()))
    with pytest.raises(DaemonAbsent):
        link.ask("GET", "/v1/runs")


def by_the_small_client(scene: Scene, pretender: Pretender, fingerprint: str) -> None:
    entries = {**scene.contact, "address": pretender.address, "addresses": [pretender.address]}
    with pytest.raises(DaemonAbsent):
        ask({**entries, "fingerprint": fingerprint}, "GET", "/v1/daemon")


def by_agent(scene: Scene, pretender: Pretender, fingerprint: str) -> None:
    contact = scene.lab.directory / "pretended.json"
    home = scene.contact["home"]
    contact.write_text(
        json.dumps({"home": home, "addresses": [pretender.address], "fingerprint": fingerprint})
    )
    loop, told = Loop(), []
    link = AgentLink(loop, str(contact), home)
    link.token = token_of(scene, Role.INCARNATION)
    link.sync(b"{}", 5.0, lambda status, answer: told.append((status, answer)))
    until = time.monotonic() + 20
    while not told:
        assert time.monotonic() < until, "not in time"
        loop.turn(loop.now + 0.1)
    link.close()
    assert told[0][0] == 0


Caller = Callable[[Scene, Pretender, str], None]
CALLERS = pytest.mark.parametrize("call", [by_client, by_the_small_client, by_agent])


@CALLERS
def test_nobody_shows_a_token_to_another_certificate(scene: Scene, others: Identity, call: Caller) -> None:
    with pretending(others) as pretender:
        call(scene, pretender, scene.contact["fingerprint"])
    assert pretender.met > 0
    assert pretender.heard == b""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@CALLERS
def test_nobody_speaks_tls_below_1_2(scene: Scene, others: Identity, call: Caller) -> None:
    with pretending(others, ssl.TLSVersion.TLSv1_1) as pretender:
        call(scene, pretender, others.fingerprint)
    assert pretender.met > 0
    assert pretender.heard == b""
