"""Kinds of keys in the files that people write, as JSON Schema. It reads nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Keys = Mapping[str, Mapping[str, Any]]

NAME: Final = "[a-z][a-z0-9-]*"
ENV_NAME: Final = "[A-Za-z_][A-Za-z0-9_]*"


def text(help_: str, **more: Any) -> dict[str, Any]:
    """A text."""
    return {"type": "string", "description": help_, **more}


def whole(help_: str, least: int) -> dict[str, Any]:
    """A whole number of at least `least`."""
    return {"type": "integer", "minimum": least, "description": help_}


def texts(help_: str) -> dict[str, Any]:
    """A list of texts."""
    return {"type": "array", "items": {"type": "string"}, "description": help_}


def named(help_: str) -> dict[str, Any]:
    """The name of a module, a pool or a machine."""
    return {"type": "string", "pattern": f"^{NAME}$", "description": help_}


def duration(help_: str) -> dict[str, Any]:
    """A duration such as `10m`."""
    return text(help_, pattern=r"^(\d+(\.\d+)?(ms|s|m|h|d))+$")


def size(help_: str) -> dict[str, Any]:
    """A size such as `16G`."""
    return text(help_, pattern=r"^\d+(\.\d+)?[KMGT](i?B)?$")


def environment(help_: str) -> dict[str, Any]:
    """A table of environment variables."""
    return {
        "type": "object",
        "propertyNames": {"pattern": f"^{ENV_NAME}$"},
        "additionalProperties": {"type": ["string", "integer", "number"]},
        "description": help_,
    }


def table(help_: str, keys: Keys, required: tuple[str, ...] = ()) -> dict[str, Any]:
    """A table with these keys and no other."""
    wanted = {"required": list(required)} if required else {}
    return {
        "type": "object",
        "properties": dict(keys),
        **wanted,
        "additionalProperties": False,
        "description": help_,
    }
