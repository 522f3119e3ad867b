"""Sends the messages of a big result ahead of it, chunk by chunk.

It makes no chunks: `contract` wrote them to files, which stay until the result is acknowledged.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

from scalebox_hpc.agent.link import Link


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
        """`done(staged)` is called once: with False as soon as the daemon says that the lease is void."""
        self.result = result
        self.spooled = False
        self._link, self._incarnation, self._paths, self._done = link, incarnation, paths, done
        self._send(0)

    def read(self) -> Iterator[tuple[int, bytes]]:
        """Yield number and JSON list of each chunk."""
        for number, path in enumerate(self._paths):
            with open(path, "rb") as file:
                yield number, file.read()

    def discard(self) -> None:
        """Delete the files."""
        for path in self._paths:
            os.unlink(path)
        self._paths = []

    def _send(self, number: int) -> None:
        if number == len(self._paths):
            self._done(True)
            return
        with open(self._paths[number], "rb") as file:
            messages = file.read()
        head = {"incarnation": self._incarnation, "lease": self.result["lease"], "seq": number}
        body = json.dumps(head)[:-1].encode() + b', "messages": ' + messages + b"}"

        def answered(status: int, answer: dict[str, Any]) -> None:
            if status == 200 and answer.get("staged"):
                if self._paths:
                    self._send(number + 1)
            else:
                self._done(False)

        self._link.ask("/v1/agent/chunk", body, answered)
