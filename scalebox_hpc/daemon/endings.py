"""The last words of wrappers that could not reach us: files in the shared folder, each taken once.

It reads no file. A hand does, with each look at the queue, and removes what was taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from scalebox_hpc.daemon import talking
from scalebox_hpc.daemon.desk import Desk, Remove
from scalebox_hpc.errors import BadMessage
from scalebox_hpc.wire import codec
from scalebox_hpc.wire.messages import Ended

Word = tuple[str, Ended]
"""Path of the file, and what it says."""


def read(found: Iterable[tuple[str, Any]]) -> list[Word]:
    """Make words of (path, content) of files; what is not of our protocol is left alone."""
    words = []
    for path, content in found:
        try:
            words.append((path, codec.ended(content)))
        except BadMessage:
            continue
    return words


def take_in(desk: Desk, site: str, words: Iterable[Word]) -> None:
    """Let each incarnation be over, and its file be removed; `site` is where the files are, "" for here.

    A file stays while the spool of its agent cannot be read: the agent is not over before.
    """
    for path, said in words:
        talking.incarnation_over(desk, said)
        if said.incarnation not in desk.world.agents:
            desk.commands.append(Remove(site, path))
