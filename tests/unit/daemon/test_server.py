"""Strangers learn nothing, known clients are answered within bounds of time and size."""

from __future__ import annotations

import json
import queue
import socket
import threading
from typing import Any

import pytest

from scalebox_hpc.daemon import gate, server
from scalebox_hpc.daemon.events import Call, Reply
from scalebox_hpc.daemon.openapi import document
from scalebox_hpc.daemon.routes import ROUTES, USER_ROUTES
from scalebox_hpc.errors import EnvironmentProblem
from tests.raw import raw

INCARNATION = "ab" * 8


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/runs"),
        ("GET", "/"),
        ("GET", "/no/such/path"),
        ("DELETE", "/v1/runs"),
        ("PUT", "/v1/agent/sync"),
    ],
)
@pytest.mark.parametrize("token", [None, "", "nonsense", "user.user." + "0" * 64])
def test_a_stranger_gets_401_and_nothing_else(rig: Any, method: str, path: str, token: str | None) -> None:
    status, body, headers = rig.ask(method, path, token=token)
    assert (status, body) == (401, None)
    assert {name.lower() for name in headers} == {"content-length", "connection"}


def test_a_token_opens_only_the_doors_of_its_role(rig: Any) -> None:
    join, user = rig.keys.join_token("try.1"), rig.keys.user_token()
    agent = rig.keys.incarnation_token(INCARNATION)
    hello = {"try": "try.1"}
    assert rig.ask("POST", "/v1/agent/hello", hello, join)[0] == 200
    assert rig.ask("POST", "/v1/agent/hello", hello, agent)[0] == 401
    assert rig.ask("POST", "/v1/agent/hello", hello, user)[0] == 401
    assert rig.ask("POST", "/v1/agent/sync", {"incarnation": INCARNATION}, agent)[0] == 200
    assert rig.ask("POST", "/v1/agent/sync", {"incarnation": INCARNATION}, join)[0] == 401
    assert rig.ask("GET", "/v1/runs", token=user)[0] == 200
    assert rig.ask("GET", "/v1/runs", token=join)[0] == 401


def test_a_token_speaks_for_its_own_subject_only(rig: Any) -> None:
    join, agent = rig.keys.join_token("try.1"), rig.keys.incarnation_token(INCARNATION)
    assert rig.ask("POST", "/v1/agent/hello", {"try": "try.2"}, join)[:2] == (401, None)
    assert rig.ask("POST", "/v1/agent/ended", {}, join)[:2] == (401, None)
    assert rig.ask("POST", "/v1/agent/sync", {"incarnation": "cd" * 8}, agent)[:2] == (401, None)


def test_a_call_has_path_query_and_body(rig: Any) -> None:
    user = rig.keys.user_token()
    _, answer, _ = rig.ask("GET", "/v1/runs/primes-7f3a?version=4&wait_s=900&colour=blue", token=user)
    assert answer == {
        "verb": "run.status",
        "subject": "user",
        "args": {"version": 4, "wait_s": 60.0, "run": "primes-7f3a"},
    }
    _, answer, _ = rig.ask("POST", "/v1/runs/a-1/retry", {"tasks": ["count.1"], "run": "b-2"}, user)
    assert answer["verb"] == "run.retry"
    assert answer["args"] == {"tasks": ["count.1"], "run": "a-1"}
    _, answer, _ = rig.ask("GET", "/v1/runs/a-1/tasks/count.17/log?stream=stderr&offset=5", token=user)
    assert answer["args"] == {"run": "a-1", "task": "count.17", "stream": "stderr", "offset": 5}


def test_every_route_reaches_its_verb(rig: Any) -> None:
    for route in USER_ROUTES:
        if route.verb != "openapi":
            path = route.path.format(run="r-1", task="m.1")
            status, answer, _ = rig.ask(route.method, path, token=rig.keys.user_token())
            assert (status, answer["verb"]) == (200, route.verb)


def test_a_known_client_is_told_what_does_not_exist(rig: Any) -> None:
    status, answer, _ = rig.ask("GET", "/v1/nothing", token=rig.keys.user_token())
    assert (status, answer["error"]) == (404, "there is no GET /v1/nothing")
    assert rig.ask("DELETE", "/v1/runs/a-1", token=rig.keys.user_token())[0] == 404


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b'{"a": NaN}',
        b'{"a":' + b"[" * 100_000,
        b'{"a": 1' + b"0" * 5000 + b"}",
    ],
)
def test_what_is_no_json_object_is_refused(rig: Any, body: bytes) -> None:
    status, answer, _ = rig.ask("POST", "/v1/runs", body, rig.keys.user_token())
    assert status == 400
    assert answer["exit_code"] == 2


@pytest.mark.parametrize(
    "query", ["version=x", "version=" + "9" * 30, "wait_s=soon", "&".join("a=1" for _ in range(200))]
)
def test_a_bad_query_is_refused(rig: Any, query: str) -> None:
    assert rig.ask("GET", f"/v1/runs/a-1?{query}", token=rig.keys.user_token())[0] == 400


def test_a_body_beyond_the_limit_is_refused_before_it_is_read_and_the_server_goes_on(rig: Any) -> None:
    user = rig.keys.user_token()
    status, answer, _ = rig.ask("POST", "/v1/runs", b" " * (gate.BODY_LIMIT + 1), user)
    assert status == 413
    assert "larger" in answer["error"]
    assert rig.ask("POST", "/v1/runs", b" " * (gate.BODY_LIMIT - 2) + b"{}", user)[0] == 200


def test_a_body_must_say_how_long_it_is(rig: Any) -> None:
    head = f"POST /v1/runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {rig.keys.user_token()}\r\n"
    chunked = b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    answer = raw(rig.port, rig.context(), head.encode() + chunked)
    assert answer.startswith(b"HTTP/1.1 400")


def test_a_stranger_cannot_make_us_read(rig: Any) -> None:
    head = b"POST /v1/runs HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
    assert raw(rig.port, rig.context(), head).startswith(b"HTTP/1.1 401")
    endless = b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1000) for n in range(100))
    assert raw(rig.port, rig.context(), endless) == b""
    assert raw(rig.port, rig.context(), b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000) == b""
    assert raw(rig.port, rig.context(), b"not http at all\r\n\r\n") == b""


def test_a_silent_connection_is_cut(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_S", 0.05)
    assert raw(rig.port, rig.context(), b"") == b""
    assert raw(rig.port, rig.context(), b"GET /v1/runs HTTP/1.1\r\n") == b""


def test_a_body_that_never_comes_is_not_waited_for(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "BODY_READ_S", 0.05)
    head = f"POST /v1/runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {rig.keys.user_token()}\r\n"
    answer = raw(rig.port, rig.context(), head.encode() + b"Content-Length: 10\r\n\r\n{")
    assert answer.startswith(b"HTTP/1.1 408")


def test_many_requests_go_over_one_connection(rig: Any) -> None:
    ports = set()
    with rig.client() as connection:
        for number in range(50):
            body = {"incarnation": INCARNATION, "sync": number}
            status, answer, headers = rig.send(
                connection, "POST", "/v1/agent/sync", body, rig.keys.incarnation_token(INCARNATION)
            )
            assert (status, answer["args"]["sync"]) == (200, number)
            assert {name.lower() for name in headers} == {"content-length", "content-type"}
            ports.add(connection.sock.getsockname()[1])
    assert len(ports) == 1


def test_an_answer_may_come_from_any_thread_and_only_the_first_counts(rig: Any) -> None:
    def later(call: Call) -> None:
        def work() -> None:
            call.answer(Reply(200, {"text": "é\ud800"}))
            call.answer(Reply(500, {}))

        threading.Thread(target=work).start()

    rig.handler = later
    assert rig.ask("GET", "/v1/runs", token=rig.keys.user_token())[:2] == (200, {"text": "é?"})


def test_a_request_that_nobody_answers_is_told_to_come_again(
    rig: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rig.server._gate, "_answer_s", 0.05)
    calls: queue.SimpleQueue[Call] = queue.SimpleQueue()
    rig.handler = calls.put
    assert rig.ask("GET", "/v1/runs", token=rig.keys.user_token())[:2] == (503, {"retry_s": 1.0})
    calls.get(timeout=20).answer(Reply(200, {}))  # too late, and harmless


def test_a_full_daemon_says_when_to_come_again(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "WAITING_BYTES", 10)
    user = rig.keys.user_token()
    assert rig.ask("POST", "/v1/runs", {"pipeline": "/long/enough"}, user)[:2] == (429, {"retry_s": 1.0})
    assert rig.ask("GET", "/v1/runs", token=user)[0] == 200


def test_who_waits_is_answered_when_the_server_stops(rig: Any) -> None:
    arrived = threading.Event()
    calls: list[Call] = []

    def park(call: Call) -> None:
        calls.append(call)
        arrived.set()

    rig.handler = park
    answers: list[Any] = []
    asking = threading.Thread(
        target=lambda: answers.append(rig.ask("GET", "/v1/runs", token=rig.keys.user_token()))
    )
    asking.start()
    assert arrived.wait(20)
    rig.server.stop()
    asking.join(20)
    assert answers[0][:2] == (503, {"retry_s": 1.0})
    calls[0].answer(Reply(200, {}))  # the loop is gone by now
    rig.server.stop()


def test_more_connections_than_there_is_room_for_are_turned_away(
    rig: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.BoundedProtocol, "connection_limit", 1)
    with rig.client() as first:
        first.connect()
        first.request("GET", "/v1/runs", headers={"Authorization": f"Bearer {rig.keys.user_token()}"})
        assert first.getresponse().read()
        assert raw(rig.port, rig.context(), b"GET / HTTP/1.1\r\n\r\n") == b""


def test_the_api_describes_itself(rig: Any) -> None:
    status, body, _ = rig.ask("GET", "/v1/openapi.json", token=rig.keys.user_token())
    assert status == 200
    assert body == json.loads(json.dumps(document(ROUTES, body["info"]["version"])))
    assert body["paths"]["/v1/runs/{run}/tasks"]["get"]["parameters"][0] == {
        "name": "run",
        "in": "path",
        "required": True,
        "schema": {"type": "string"},
    }
    operations = [one["operationId"] for path in body["paths"].values() for one in path.values()]
    assert len(operations) == len(set(operations)) == len(ROUTES)


def test_the_recorded_port_is_kept_where_it_is_free() -> None:
    first = server.listen(None, None, "127.0.0.1")
    port = first.getsockname()[1]
    second = server.listen(port, None, "127.0.0.1")
    assert second.getsockname()[1] != port
    first.close()
    again = server.listen(port, None, "127.0.0.1")
    assert again.getsockname()[1] == port
    again.close()
    second.close()


def test_a_range_of_ports_is_kept_to(rig: Any) -> None:
    sock = server.listen(None, None)
    port = sock.getsockname()[1]
    with pytest.raises(EnvironmentProblem, match=f"port taken.*{port} to {port}") as refused:
        server.listen(None, (port, port))
    assert "ports" in refused.value.hint
    with pytest.raises(EnvironmentProblem):
        rig.server.port_in((port, port), None)
    sock.close()
    assert rig.server.port_in((port, port), None) == port
    assert rig.server.port_in((port, port), None) == port
    assert rig.server.port_in(None, None) == rig.port
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
        rig.context().wrap_socket(plain) as tls,
    ):
        assert tls.version() == "TLSv1.3"
