"""Build dataclasses from plain data that was kept, perhaps by an earlier or later release.

It looks one level deep: what is inside a value its own reader builds first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

Made = TypeVar("Made")


def build(cls: type[Made], data: Mapping[str, Any]) -> Made:
    """Build a dataclass; unknown keys are passed over, absent ones have their defaults."""
    known = {item.name for item in fields(cls)}  # type: ignore[arg-type]
    return cls(**{key: value for key, value in data.items() if key in known})
