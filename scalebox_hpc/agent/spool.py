"""The spool: results in the shared folder, for the daemon to find when we could not tell it.

One file per incarnation, only ever appended to. Nothing is read back.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any


class Spool:
    """Appends lines, each safe on disk when `add` returns."""

    def __init__(self, directory: str, incarnation: str) -> None:
        self.path = os.path.join(directory, f"{incarnation}.jsonl")
        self._incarnation = incarnation

    def add(self, result: dict[str, Any], chunks: Iterable[tuple[int, bytes]] = ()) -> None:
        """Append a result, before it the chunks it needs (number, JSON list). Raises OSError."""
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        with open(self.path, "ab") as file:
            head = json.dumps({"incarnation": self._incarnation})[:-1].encode()
            for number, messages in chunks:
                key = json.dumps({"lease": result["lease"], "seq": number})[:-1].encode()
                file.write(head + b', "chunk": ' + key + b', "messages": ' + messages + b"}}\n")
            file.write(head + b', "result": ' + json.dumps(result).encode() + b"}\n")
            file.flush()
            os.fsync(file.fileno())
