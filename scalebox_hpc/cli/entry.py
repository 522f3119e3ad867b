"""The program `sbx`, and the one place where an error becomes an exit status.

`get` and `put` begin at once: Typer takes longer to start than they do for a directory that is unchanged.
It does all else, their help and complaints about their words with it.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from scalebox_hpc.cli import moving, say
from scalebox_hpc.errors import PipelineErrors, SbxError

FLAGS: Final[dict[str, dict[str, Any]]] = {
    "--keep": {"keep": True},
    "--move": {"keep": False},
    "--verify-all": {"verify_all": True},
    "--json": {"as_json": True},
}
VALUES: Final = {"--limit": "limit", "--streams": "streams"}


def main() -> None:
    """Run the command of this process; exit with its status."""
    try:
        given = read(sys.argv[1:])
        if given is None:
            from scalebox_hpc.cli.app import app

            app()
        else:
            moving.move(*given)
    except SbxError as error:
        say.remark(as_text(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def read(words: Sequence[str]) -> tuple[str, str, moving.Choices] | None:
    """Source, target and options of a plain `get` or `put`; None for any other words.

    >>> read(["put", "--streams", "2", "raw", "b:/data"])[2].streams
    2
    >>> read(["put", "--no-such-option", "raw", "b:/data"]), read(["status"])
    (None, None)
    """
    if not words or words[0] not in ("get", "put"):
        return None
    rest, places, choices = iter(words[1:]), [], moving.Choices()
    for word in rest:
        if word in FLAGS:
            choices = replace(choices, **FLAGS[word])
        elif word in VALUES:
            value = next(rest, "-")
            if value.startswith("-") or (word == "--streams" and not (value.isdecimal() and int(value))):
                return None
            told: dict[str, Any] = {VALUES[word]: int(value) if word == "--streams" else value}
            choices = replace(choices, **told)
        elif word.startswith("-"):
            return None
        else:
            places.append(word)
    if words[0] == "get" and len(places) == 1:
        places.append(".")
    return (places[0], places[1], choices) if len(places) == 2 else None


def as_text(error: SbxError) -> str:
    """An error as people read it: the fact, and indented below it what to do next."""
    if isinstance(error, PipelineErrors):
        return "\n".join(f"sbx: {problem}" for problem in error.problems)
    lines = [f"sbx: {error.fact}", *(f"     {line}" for line in error.hint.splitlines())]
    return "\n".join(lines)
