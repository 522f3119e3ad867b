"""The HTTP side of the door: who is let in, and how much of a request is read.

An ASGI application. A stranger gets 401 with an empty body, whatever he asks for. Everyone else's
request is read within bounds, made a Call for the engine, and its answer written. It knows no
handler and decides nothing about tasks.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl

import orjson
from starlette.routing import Match
from starlette.routing import Route as PathRoute

from scalebox_hpc.daemon.events import Call, Reply
from scalebox_hpc.daemon.fields import known_fields, text
from scalebox_hpc.daemon.keys import Bearer, Keys, Role
from scalebox_hpc.daemon.openapi import document
from scalebox_hpc.daemon.refusal import later, not_found, refusal
from scalebox_hpc.daemon.routes import ROUTES, SUBJECT_FIELD, Route
from scalebox_hpc.errors import BadMessage

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

BODY_LIMIT: Final = 8 << 20
BODY_READ_S: Final = 60.0  # a body must have arrived by then
WAIT_LIMIT_S: Final = 60.0  # the longest poll that may be asked for
ANSWER_S: Final = 75.0  # a request not answered by then is told to come again
WAITING_BYTES: Final = 64 << 20  # of bodies that the engine has not answered; more is told 429
WAITING_CALLS: Final = 20_000  # in the engine's inbox; more is told 429
RETRY_S: Final = 1.0

log = logging.getLogger(__name__)


class Inbox(Protocol):
    """Where calls go: a queue.SimpleQueue, or something that counts as well."""

    def put(self, item: Call, /) -> None: ...

    def qsize(self) -> int: ...


class Stranger(Exception):
    """The token is missing, not ours, or not for this; never answered with a reason."""


class TooLarge(Exception):
    """The body is larger than anyone may send."""


class Hung(Exception):
    """The client went away, or its body did not arrive in time."""


async def _nobody(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Stands for an endpoint: Starlette's routes are used to match paths only."""


class Gate:
    """The ASGI application."""

    def __init__(self, keys: Keys, inbox: Inbox, version: str, answer_s: float = ANSWER_S) -> None:
        self._keys, self._inbox, self._answer_s = keys, inbox, answer_s
        self._document = Reply(200, document(ROUTES, version))
        self._plain = {(route.method, route.path): route for route in ROUTES if "{" not in route.path}
        self._patterns = [
            (PathRoute(route.path, _nobody, methods=[route.method]), route)
            for route in ROUTES
            if "{" in route.path
        ]
        self._waiting_bytes = 0
        self._waiting: set[asyncio.Future[Reply]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            bearer, length = self._look(scope)
            reply = await self._serve(scope, receive, bearer, length)
        except Stranger:
            await _write(send, 401, b"", close=True)
        except Hung:
            await _write(send, 408, b"", close=True)
        except TooLarge:
            await _discard(receive)
            refused = {"error": f"the body is larger than {BODY_LIMIT} bytes", "hint": "", "exit_code": 2}
            await _write(send, 413, json.dumps(refused).encode(), close=True)
        else:
            said = _text(reply.body) if reply.text is None else reply.text.encode()
            await _write(send, reply.status, said, close=False, kind=reply.content_type)

    def turn_away(self) -> None:
        """Answer everyone who waits; called in the server's loop when it stops."""
        for waiting in self._waiting:
            _settle(waiting, later(RETRY_S))

    def _look(self, scope: Scope) -> tuple[Bearer, int | None]:
        """Whom the request is from, and how long its body is, before anything of it is read."""
        token, length, chunked = "", None, False
        for name, value in scope["headers"]:
            if name == b"authorization":
                token = value.decode("latin-1")
            elif name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding":
                chunked = True
        scheme, _, token = token.partition(" ")
        bearer = self._keys.bearer(token) if scheme.lower() == "bearer" else None
        if bearer is None:
            raise Stranger
        return bearer, None if chunked else length or 0

    async def _serve(self, scope: Scope, receive: Receive, bearer: Bearer, length: int | None) -> Reply:
        route, in_path = self._route(scope)
        if route is None:
            return not_found(f"there is no {scope['method']} {scope['path']}")
        if bearer.role not in (route.role, route.also):
            raise Stranger
        if length is None:
            return refusal(BadMessage("a body must come with Content-Length"))
        if length > BODY_LIMIT:
            raise TooLarge
        if self._waiting_bytes + length > WAITING_BYTES or self._inbox.qsize() > WAITING_CALLS:
            await _discard(receive)
            return later(RETRY_S, status=429)
        self._waiting_bytes += length
        try:
            return await self._ask(scope, receive, bearer, route, in_path)
        finally:
            self._waiting_bytes -= length

    def _route(self, scope: Scope) -> tuple[Route | None, dict[str, str]]:
        plain = self._plain.get((scope["method"], scope["path"]))
        if plain is not None:
            return plain, {}
        for pattern, route in self._patterns:
            match, found = pattern.matches(scope)
            if match is Match.FULL:
                return route, found["path_params"]
        return None, {}

    async def _ask(
        self, scope: Scope, receive: Receive, bearer: Bearer, route: Route, in_path: dict[str, str]
    ) -> Reply:
        body = await _read(receive)
        try:
            args = _object(body)
            if route.role is Role.USER:
                args = known_fields(route, args)
            if route.query:
                args |= _query(route, scope["query_string"])
            args |= {name: text(name, value) for name, value in in_path.items()}
        except BadMessage as error:
            return refusal(error)
        if route.role is not Role.USER and args.get(SUBJECT_FIELD[route.role]) != bearer.subject:
            raise Stranger
        if route.verb == "openapi":
            return self._document
        return await self._answer_of(route.verb, args, bearer.subject, len(body))

    async def _answer_of(self, verb: str, args: dict[str, Any], subject: str, body_bytes: int) -> Reply:
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[Reply] = loop.create_future()

        def answer(reply: Reply) -> None:
            try:
                loop.call_soon_threadsafe(_settle, waiting, reply)
            except RuntimeError:
                log.debug("an answer to %s came after the server had stopped", verb)

        self._waiting.add(waiting)
        self._inbox.put(Call(verb, args, answer, subject, body_bytes))
        timer = loop.call_later(self._answer_s, _settle, waiting, later(RETRY_S))
        try:
            return await waiting
        finally:
            timer.cancel()
            self._waiting.discard(waiting)


def _settle(waiting: asyncio.Future[Reply], reply: Reply) -> None:
    if not waiting.done():
        waiting.set_result(reply)


async def _read(receive: Receive) -> bytes:
    """The whole body; its declared length was checked, and the parser holds the client to it."""
    pieces = []
    try:
        async with asyncio.timeout(BODY_READ_S):
            while True:
                event = await receive()
                if event["type"] == "http.disconnect":
                    raise Hung
                pieces.append(event.get("body", b""))
                if not event.get("more_body", False):
                    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
    except TimeoutError:
        raise Hung from None


async def _discard(receive: Receive) -> None:
    """Let a client that we know finish sending, within bounds, so that it reads our answer."""
    left_bytes = 4 * BODY_LIMIT
    try:
        async with asyncio.timeout(BODY_READ_S):
            while left_bytes > 0:
                event = await receive()
                left_bytes -= len(event.get("body", b""))
                if not event.get("more_body", False):
                    return
    except TimeoutError:
        return


def _text(body: Mapping[str, Any]) -> bytes:
    """A reply as JSON. What orjson will not write, such as half a surrogate pair, goes the slow way."""
    try:
        return orjson.dumps(body)
    except TypeError:
        return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")


def _object(body: bytes) -> dict[str, Any]:
    """The JSON object of a body; an empty body is an empty object. Raises BadMessage."""
    if not body:
        return {}
    try:
        decoded = orjson.loads(body)
    except ValueError as error:
        raise BadMessage(f"the body is not JSON: {error}") from None
    if type(decoded) is not dict:
        raise BadMessage("the body is not a JSON object")
    return decoded


def _query(route: Route, raw: bytes) -> dict[str, Any]:
    """The values of the query that the route knows, by their kinds. Raises BadMessage."""
    try:
        given = dict(parse_qsl(raw.decode("latin-1"), max_num_fields=100))
    except ValueError:
        raise BadMessage("the query has too many fields") from None
    values: dict[str, Any] = {
        name: _value(name, given[name], kind) for name, kind in route.query.items() if name in given
    }
    if "wait_s" in values:
        values["wait_s"] = min(max(0.0, values["wait_s"]), WAIT_LIMIT_S)
    return values


def _value(name: str, given: str, kind: str) -> Any:
    if kind == "text":
        return text(name, given)
    try:
        value = int(given) if kind == "int" else float(given)
    except ValueError:
        raise BadMessage(f"{name}: a number wanted, not {given!r:.60}") from None
    if not abs(value) < 1 << 63:
        raise BadMessage(f"{name}: {given:.60} is too large")
    return value


async def _write(send: Send, status: int, body: bytes, close: bool, kind: str = "application/json") -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    if body:
        headers.append((b"content-type", kind.encode()))
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
