"""Headers as the ledger keeps them: what a sender wrote, and what was inherited, each as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping

from scalebox_hpc.domain.stage import STAGED


def inherited_by(headers: Mapping[str, str] | None, inherited: Mapping[str, str]) -> dict[str, str]:
    """The `_` headers that go on from a task to what it sends."""
    passed = {name: value for name, value in inherited.items() if name.startswith("_")}
    for name, value in (headers or {}).items():
        if name.startswith("_"):
            passed[name] = value
    return passed


def headers_text(headers: Mapping[str, str] | None) -> str | None:
    """Headers as they are kept: JSON with sorted names, so that equal content is equal text."""
    return json.dumps(headers, ensure_ascii=False, sort_keys=True) if headers else None


def read_headers(*texts: str | None) -> dict[str, str]:
    """Join kept headers, the later over the earlier."""
    joined: dict[str, str] = {}
    for text in texts:
        if text:
            joined.update(json.loads(text))
    return joined


def staged_at(headers: Mapping[str, str] | None) -> str:
    """To which one of several sites a transfer has brought the files of a message; "": it had no choice."""
    return (headers or {}).get(STAGED, "").rpartition(":")[0]


def same_content(known: str | None, written: str | None) -> bool:
    """Tell whether headers say the same; where a transfer has put the files of a message says nothing."""
    if known == written:
        return True
    if STAGED not in (known or "") + (written or ""):
        return False
    known_headers, headers = read_headers(known), read_headers(written)
    known_headers.pop(STAGED, None)
    headers.pop(STAGED, None)
    return known_headers == headers
