"""Checks what a user's program sends against the table of routes: kinds and sizes of fields.

What is not in the table is passed over. It decides nothing about what the values mean; agents'
messages are read by `wire`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

from scalebox_hpc.daemon.routes import Route
from scalebox_hpc.errors import BadMessage

MOST_INTEGER: Final = (1 << 63) - 1  # that the ledger keeps
TEXT_LIMIT: Final = 1 << 20
ITEMS_MOST: Final = 100_000


def known_fields(route: Route, sent: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a body that the route knows, each null or of its kind. Raises BadMessage."""
    return {name: _READ[kind](name, sent[name]) for name, kind in route.body.items() if name in sent}


def text(field: str, value: object) -> str:
    """A text without NUL, which neither paths nor every ledger can hold. Raises BadMessage."""
    if type(value) is not str or "\0" in value or len(value) > TEXT_LIMIT:
        _bad(field, value, "text without NUL")
    return value


def _bad(field: str, value: object, wanted: str) -> NoReturn:
    raise BadMessage(f"{field}: {wanted} wanted, not {value!r:.60}")


def _integer(field: str, value: object) -> int:
    if type(value) is not int or abs(value) > MOST_INTEGER:
        _bad(field, value, "a whole number of at most 64 bits")
    return value


def _number(field: str, value: object) -> float:
    return value if type(value) is float else _integer(field, value)


def _flag(field: str, value: object) -> bool:
    return value if type(value) is bool else _bad(field, value, "true or false")


def _texts(field: str, value: object) -> list[str]:
    if type(value) is not list or len(value) > ITEMS_MOST:
        _bad(field, value, f"a list of at most {ITEMS_MOST} texts")
    return [text(f"{field}[{n}]", each) for n, each in enumerate(value)]


def _table(field: str, value: object) -> dict[str, str]:
    if type(value) is not dict or len(value) > ITEMS_MOST:
        _bad(field, value, "an object of texts")
    return {text(field, name): text(f"{field}.{name:.60}", each) for name, each in value.items()}


def _or_null(read: Callable[[str, object], Any]) -> Callable[[str, object], Any]:
    return lambda field, value: None if value is None else read(field, value)


_READ: Final[Mapping[str, Callable[[str, object], Any]]] = {
    "int": _or_null(_integer),
    "float": _or_null(_number),
    "text": _or_null(text),
    "flag": _or_null(_flag),
    "list": _or_null(_texts),
    "object": _or_null(_table),
}
