"""Read one line of a seed: `body` or `body,{headers}`.

The same rules as for `messages.txt`, without the module in front. It does not know of modules.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from scalebox_hpc.config.keys import HEADER_NAME

BODY_BYTES: Final = 64 << 10
HEADERS_BYTES: Final = 16 << 10
KEY_BYTES: Final = 4 << 10
OUR_HEADERS: Final = ("sbx_key", "sbx_order")


def _refuse_constant(name: str) -> str:
    raise ValueError(f"{name} is not JSON")


_JSON: Final = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse_constant)


@dataclass(frozen=True, slots=True)
class SeedMessage:
    """A message that a seed sends to its own module."""

    body: str
    headers: Mapping[str, str]


class BadLine(Exception):
    """A line that is no message: what is wrong with it, and what to do."""

    def __init__(self, fact: str, remedy: str = "") -> None:
        super().__init__(fact)
        self.fact, self.remedy = fact, remedy


def parse_line(line: str) -> SeedMessage:
    """Read a line. Headers are the longest suffix from `,{` that is a JSON object.

    Raises BadLine for a line that looks as if it had headers but has none, and beyond limits.

    >>> parse_line('ch1,{"size": 24, "raw": true}')
    SeedMessage(body='ch1', headers={'size': '24', 'raw': 'true'})
    >>> parse_line('a,b').headers
    {}
    """
    headers: dict[str, str] = {}
    body = line
    at = line.find(",{") if line.endswith("}") else -1
    while at >= 0:
        found = _object_at(line, at + 1)
        if found is not None:
            body, headers = line[:at], read_headers(found)
            break
        at = line.find(",{", at + 1)
    if body is line and line.endswith("}") and ",{" in line and not _is_json(line):
        remedy = 'write headers as a JSON object, as in body,{"name": "value"}'
        raise BadLine("ends in } as if it had headers, but what follows `,{` is not JSON", remedy)
    return checked(body, headers)


def checked(body: str, headers: Mapping[str, str]) -> SeedMessage:
    """Return the message if it is within the limits; raises BadLine."""
    if "\n" in body or "\0" in body:
        raise BadLine("the body holds a line end or NUL", "a body is one line of text")
    if len(body) > BODY_BYTES // 4 and _bytes(body) > BODY_BYTES:
        raise BadLine("the body is longer than 64 KiB", "put the data in a file and send its path")
    _bytes(body)
    for name, value in headers.items():
        _check_header(name, value)
    if headers and _bytes(json.dumps(headers, ensure_ascii=False)) > HEADERS_BYTES:
        raise BadLine("the headers are longer than 16 KiB", "put the data in a file and send its path")
    if _bytes(headers.get("sbx_key", "")) > KEY_BYTES:
        raise BadLine("the key (header sbx_key) is longer than 4 KiB", "use a digest of it")
    return SeedMessage(body, headers)


def read_headers(data: Mapping[str, Any]) -> dict[str, str]:
    """Turn the values of a JSON object into texts; numbers and booleans as their JSON text."""
    headers: dict[str, str] = {}
    for name, value in data.items():
        if isinstance(value, bool):
            headers[name] = "true" if value else "false"
        elif isinstance(value, str):
            headers[name] = value
        else:
            raise BadLine(f"header {name!r} is not a text, number, true or false", "write its JSON as a text")
    return headers


def _check_header(name: str, value: str) -> None:
    if not re.fullmatch(HEADER_NAME, name):
        raise BadLine(f"{name!r} cannot name a header", "use letters, digits, _, . and -")
    if name.startswith("sbx_") and name not in OUR_HEADERS:
        raise BadLine(
            f"header {name!r} is not in this version", f"of sbx_ headers there are {', '.join(OUR_HEADERS)}"
        )
    if "\0" in value:
        raise BadLine(f"header {name!r} holds a NUL character", "take it out")


def _object_at(line: str, start: int) -> dict[str, Any] | None:
    try:
        value, end = _JSON.raw_decode(line, start)
    except (ValueError, RecursionError):
        return None
    return value if end == len(line) and isinstance(value, dict) else None


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _bytes(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise BadLine("holds half a character (a lone surrogate)", "write it as UTF-8") from None
