"""How the messages to a gather module form groups and parts. Pure.

A group is what the messages have in common; members of a group fill parts, in order; a part
makes one gather task. A part with a size fires when it is full, all others at closing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from scalebox_hpc.domain.pipeline import Gather, Template

ALL: Final = "all"
MOST_MEMBERS: Final = 1_000_000_000  # of one part


@lru_cache(maxsize=256)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


def group_of(gather: Gather, body: str, headers: Mapping[str, str]) -> str | None:
    """Name the group of a message; None where it has none. `headers`: written and inherited."""
    if gather.by == "all":
        return ALL
    if gather.by == "header":
        return headers.get(gather.pattern)
    match = _pattern(gather.pattern).search(body)
    return match[1] if match is not None else None


def size_of(template: Template, body: str, headers: Mapping[str, str]) -> int:
    """Evaluate a part's size for one member. Raises ValueError that says what is wrong."""
    pieces = []
    for part in template:
        if isinstance(part, str):
            pieces.append(part)
        elif part[0] == "body":
            pieces.append(body)
        elif part[0] == "headers" and part[1] in headers:
            pieces.append(headers[part[1]])
        else:
            raise ValueError(f"the gather's size needs header {part[-1]!r}, which the message lacks")
    text = "".join(pieces)
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:20]) <= MOST_MEMBERS:
        raise ValueError(
            f"the gather's size must be a whole number from 1 to {MOST_MEMBERS}, not {text!r:.60}"
        )
    return int(text)


def digest(text: str) -> bytes:
    """Return what stands for a key or a group in unique indexes: 16 bytes of BLAKE2b."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def agree(agreed: Mapping[str, str] | None, headers: Mapping[str, str]) -> dict[str, str]:
    """Narrow the `_` headers that all members share by one more member; None: it is the first."""
    shared = {name: value for name, value in headers.items() if name.startswith("_")}
    if agreed is None:
        return shared
    return {name: value for name, value in agreed.items() if shared.get(name) == value}


def fired_headers(gather: Gather, group: str, agreed: Mapping[str, str]) -> dict[str, str]:
    """The headers of a fired part's task: the group's own, and those all members agree on."""
    own = {gather.pattern: group} if gather.by == "header" else {}
    return {**agreed, **own}


def concerns(gather: Gather, group: str, body: str, headers: Mapping[str, str]) -> bool:
    """Tell whether a task that failed upstream may be missing in this group."""
    return group_of(gather, body, headers) in (group, None)
