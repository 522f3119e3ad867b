"""The API as an OpenAPI 3.1 document, made from the table of routes. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from scalebox_hpc.daemon.routes import Route

_KINDS: Final[Mapping[str, dict[str, Any]]] = {
    "int": {"type": ["integer", "null"]},
    "float": {"type": ["number", "null"]},
    "text": {"type": ["string", "null"]},
    "flag": {"type": ["boolean", "null"]},
    "object": {"type": ["object", "null"]},
    "list": {"type": ["array", "null"]},
}
_ERROR: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {"type": "string", "description": "the fact"},
        "hint": {"type": "string", "description": "what to do next"},
        "exit_code": {"type": "integer", "description": "of the command that asked"},
        "problems": {"type": "array", "items": {"type": "object"}},
    },
}
_LATER: Final = {"type": "object", "required": ["retry_s"], "properties": {"retry_s": {"type": "number"}}}
_ANSWERS: Final = {
    "400": ("the request is wrong", _ERROR),
    "401": ("no token, or not the right one; empty body", None),
    "404": ("there is no such thing", _ERROR),
    "409": ("the world is not as the request supposes", _ERROR),
    "413": ("the body is too large", _ERROR),
    "429": ("the daemon is full; try again after `retry_s`", _LATER),
    "503": ("not now; try again after `retry_s`", {"anyOf": [_LATER, _ERROR]}),
}


def _content(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _parameters(route: Route) -> list[dict[str, Any]]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]
    in_query = [
        {"name": name, "in": "query", "required": False, "schema": {"type": _KINDS[kind]["type"][0]}}
        for name, kind in route.query.items()
    ]
    return in_path + in_query


def _operation(route: Route) -> dict[str, Any]:
    done = {"schema": {"type": "object" if route.kind == "application/json" else "string"}}
    answers: dict[str, Any] = {"200": {"description": "done", "content": {route.kind: done}}}
    for status, (description, schema) in _ANSWERS.items():
        answers[status] = {"description": description} | ({"content": _content(schema)} if schema else {})
    operation = {
        "operationId": route.verb.replace(".", "_"),
        "summary": route.summary,
        "security": [{str(role): []} for role in (route.role, route.also) if role is not None],
        "parameters": _parameters(route),
        "responses": answers,
    }
    if route.method == "POST":
        schema = {"type": "object", "properties": {name: _KINDS[kind] for name, kind in route.body.items()}}
        operation["requestBody"] = {"content": _content(schema)}
    return operation


def document(routes: Iterable[Route], version: str) -> dict[str, Any]:
    """The document for these routes, ready for JSON; `version` is the package's."""
    paths: dict[str, dict[str, Any]] = {}
    roles = set()
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
        roles |= {str(role) for role in (route.role, route.also) if role is not None}
    schemes = {role: {"type": "http", "scheme": "bearer"} for role in sorted(roles)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Scalebox HPC", "version": version},
        "paths": paths,
        "components": {"securitySchemes": schemes},
    }
