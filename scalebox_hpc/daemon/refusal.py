"""How errors are told over HTTP: one mapping from our tree of errors to an answer."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from scalebox_hpc.daemon.events import Reply
from scalebox_hpc.errors import ImagesPending, NotFound, PipelineErrors, SbxError

_STATUS: Final = {2: 400, 3: 409, 4: 503}


def refusal(error: SbxError) -> Reply:
    """The answer to a request that ended in this error."""
    body: dict[str, Any] = {"error": error.fact, "hint": error.hint, "exit_code": error.exit_code}
    if isinstance(error, ImagesPending):
        body |= {"fetching": list(error.images), "retry_s": 1.0}
    if isinstance(error, PipelineErrors):
        body["problems"] = [asdict(problem) for problem in error.problems]
    return Reply(404 if isinstance(error, NotFound) else _STATUS.get(error.exit_code, 400), body)


def not_found(fact: str, hint: str = "") -> Reply:
    """The answer where a thing that the request names does not exist."""
    return Reply(404, {"error": fact, "hint": hint, "exit_code": 2})


def later(retry_s: float, status: int = 503) -> Reply:
    """The answer that asks to come again."""
    return Reply(status, {"retry_s": retry_s})
