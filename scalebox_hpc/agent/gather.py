"""Fetches the members of a gather task, orders them, and writes the files that its program reads.

It does not know how members were grouped; the daemon sends those of one part.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from typing import Any

from scalebox_hpc.agent.command import gather_path
from scalebox_hpc.agent.link import Link

PAGE = 1000
ENCODE = json.JSONEncoder(ensure_ascii=False).encode

Row = dict[str, Any]


class Fetch:
    """Gets all pages of one lease, then writes the files and says so."""

    def __init__(
        self, link: Link, incarnation: str, lease: str, directory: str, done: Callable[[str], None]
    ) -> None:
        """`done(problem)` is called at the end; the problem is "" when the files are there."""
        self._link, self._done = link, done
        self._incarnation, self._lease, self._directory = incarnation, lease, directory
        self._rows: dict[str, list[Row]] = {"members": [], "missing": []}
        self._ask("members", 0)

    def _ask(self, what: str, after: int) -> None:
        body = {
            "incarnation": self._incarnation,
            "lease": self._lease,
            "after": after,
            "what": what,
            "limit": PAGE,
        }

        def answered(status: int, answer: dict[str, Any]) -> None:
            if status != 200:
                self._done(str(answer.get("error", f"the daemon answered {status}")))
                return
            self._rows[what] += answer.get("rows", ())
            if answer.get("next") is not None:
                self._ask(what, answer["next"])
            elif what == "members":
                self._ask("missing", 0)
            else:
                self._done(self._write())

        self._link.ask("/v1/agent/members", json.dumps(body).encode(), answered)

    def _write(self) -> str:
        try:
            write_files(self._directory, self._rows["members"], self._rows["missing"])
        except OSError as problem:
            return f"{self._directory}: {problem.strerror}"
        return ""


def write_files(directory: str, members: list[Row], missing: list[Row]) -> None:
    """Write members.jsonl, bodies.txt and missing.jsonl. Raises OSError."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    members.sort(key=order)
    with open(gather_path(directory, "members"), "w", encoding="utf-8") as file:
        file.writelines(_line(row, ("body", "headers", "task")) for row in members)
    with open(gather_path(directory, "bodies"), "w", encoding="utf-8") as file:
        file.writelines(row["body"] + "\n" for row in members)
    with open(gather_path(directory, "missing"), "w", encoding="utf-8") as file:
        file.writelines(_line(row, ("module", "task", "body", "headers", "cause")) for row in missing)


def order(member: Row) -> tuple[Any, ...]:
    """Return the sort key: `sbx_order` (numbers by value, then text, then none), body, sender, position."""
    text = (member.get("headers") or {}).get("sbx_order")
    module, _, number = (member.get("task") or "").rpartition(".")
    sender = (module, int(number) if number.isdigit() else 0)
    return (*_rank(text), member["body"], sender, member.get("position", 0))


def _rank(text: str | None) -> tuple[int, float, str]:
    if text is None:
        return (2, 0, "")
    try:
        return (0, int(text), "")
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        return (1, 0, text)
    return (0, value, "") if math.isfinite(value) else (1, 0, text)


def _line(row: Row, keys: tuple[str, ...]) -> str:
    return ENCODE({key: row.get(key) for key in keys}) + "\n"
