"""Sends the messages of a big result ahead of it, chunk by chunk.

It makes no chunks: `contract` wrote them to files, which stay until the result is acknowledged.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

from scalebox_hpc.agent.disk import describe
from scalebox_hpc.agent.link import Link
from scalebox_hpc.agent.say import log


class Sender:
    """Sends all chunks of one result, one after the other."""

    def __init__(
        self,
        link: Link,
        incarnation: str,
        result: dict[str, Any],
        paths: list[str],
        done: Callable[[bool], None],
    ) -> None:
        """`done(staged)` is called once: with False as soon as the lease is void or a file cannot be read."""
        self.result = result
        self.spooled = False
        self._link, self._incarnation, self._paths, self._done = link, incarnation, paths, done

    def start(self) -> None:
        """Send the first one, and so on."""
        self._send(0)

    def read(self) -> Iterator[tuple[int, bytes]]:
        """Yield number and JSON list of each chunk."""
        for number, path in enumerate(self._paths):
            with open(path, "rb") as file:
                yield number, file.read()

    def discard(self) -> None:
        """Delete the files; where that cannot be, they go with all that is on scratch."""
        for path in self._paths:
            with contextlib.suppress(OSError):
                os.unlink(path)
        self._paths = []

    def _send(self, number: int) -> None:
        if number == len(self._paths):
            self._done(True)
            return
        try:
            with open(self._paths[number], "rb") as file:
                messages = file.read()
        except OSError as problem:
            log(f"messages of {self.result['lease']} are lost: {describe(problem, self._paths[number])}")
            self._done(False)
            return
        head = {"incarnation": self._incarnation, "lease": self.result["lease"], "seq": number}
        body = json.dumps(head)[:-1].encode() + b', "messages": ' + messages + b"}"

        def answered(status: int, answer: dict[str, Any]) -> None:
            if status == 200 and answer.get("staged"):
                if self._paths:
                    self._send(number + 1)
            else:
                self._done(False)

        self._link.ask("/v1/agent/chunk", body, answered)
