"""What reaches the engine thread: calls from the server, word from the hands.

Everything that the daemon learns arrives as one of these, in one queue, and is handled in the
order of arrival. A call is answered once, after the turn that handled it was committed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a call: an HTTP status and a JSON body, or plain text in its place."""

    status: int
    body: Mapping[str, Any]
    text: str | None = None
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated request. `answer` may be called from any thread, once."""

    verb: str  # "agent.sync", "run.status", ...: names the handler
    args: Mapping[str, Any]  # path and query values, and the decoded body
    answer: Callable[[Reply], None]
    subject: str = ""  # whom the token speaks for: a try's name, an incarnation, or "user"
    body_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """Word from a hand: what came of something we asked for."""

    kind: str  # "submitted", "refused", "unconfirmed", "listing", "cancelled", "seeds", ...
    data: Mapping[str, Any] = field(default_factory=dict)

    def once_more(self) -> Told:
        """The same word for a turn after one of which we do not know whether it was written."""
        return Told(self.kind, {**self.data, "again": True})
