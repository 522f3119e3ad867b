"""Fetches the members of a gather task and writes the files that its program reads, in order.

It does not know how members were grouped; the daemon sends those of one part, a page at a time.
Nothing of it is in memory but a page and what `ordering` holds.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import IO, Any, NamedTuple, Union

from scalebox_hpc.agent.command import gather_path
from scalebox_hpc.agent.disk import at
from scalebox_hpc.agent.link import Link
from scalebox_hpc.agent.loop import Loop
from scalebox_hpc.agent.ordering import Member, Row, Sorter, joined

PAGE = 10_000  # rows at most; the daemon sends fewer where they are long
SLICE_S = 0.005  # of writing, before other things get their turn
LINES = 500  # members written at once
MEMBERS, MISSING = "members", "missing"

Problem = Union[str, OSError]
"""What the daemon answered, or why the files could not be written; "" for none."""

escaped = json.encoder.encode_basestring
"""A text as JSON has it, in quotes."""


class Wanted(NamedTuple):
    """Whose members are fetched, and where to."""

    incarnation: str
    lease: str
    directory: str
    has_missing: bool  # tasks upstream failed: there is something to be told of them


class Fetch:
    """Gets all pages of one lease, then writes the files and says so."""

    def __init__(self, loop: Loop, link: Link, wanted: Wanted, done: Callable[[Problem], None]) -> None:
        """`done(problem)` is called once, after `start`; the problem is "" when the files are there."""
        self._loop, self._link, self._wanted, self._done = loop, link, wanted, done
        self._sorter = Sorter(wanted.directory)
        self._lines: Iterator[int] = iter(())  # writes some more members with each step
        self._is_over = False
        self._has_begun = False
        self._is_taking = False
        self._came: deque[tuple[str, int, dict[str, Any]]] = deque()  # answers: what was asked, status, body

    def start(self) -> None:
        """Ask for the first page. It may all be over when this returns: the daemon may be that fast."""
        self._ask(MEMBERS, 0)

    def stop(self) -> None:
        """Do no more, and say nothing: the lease is not ours any longer."""
        self._is_over = True
        self._lines = iter(())  # closes what is being written
        self._sorter.close()

    def _ask(self, what: str, after: int) -> None:
        names = {"incarnation": self._wanted.incarnation, "lease": self._wanted.lease}
        body = {**names, "after": after, "what": what, "limit": PAGE}

        def answered(status: int, answer: dict[str, Any]) -> None:
            self._came.append((what, status, answer))
            if not self._is_taking:  # else it came while we asked, and is taken in turn
                self._take_all()

        self._link.ask("/v1/agent/members", json.dumps(body).encode(), answered)

    def _take_all(self) -> None:
        self._is_taking = True
        while self._came and not self._is_over:
            self._answered(*self._came.popleft())
        self._is_taking = False

    def _answered(self, what: str, status: int, answer: dict[str, Any]) -> None:
        if status != 200:
            self._end(str(answer.get("error", f"the daemon answered {status}")))
            return
        following = answer.get("next")
        if following is not None:
            self._ask(what, following)  # first, so that the daemon reads it while we take this one in
        elif what == MEMBERS and self._wanted.has_missing:
            self._ask(MISSING, 0)
        self._try(lambda: self._take(what, answer["rows"]))
        if following is None and (what == MISSING or not self._wanted.has_missing):
            self._finish()

    def _take(self, what: str, rows: list[Row]) -> None:
        if not self._has_begun:
            self._has_begun = True
            os.makedirs(self._wanted.directory, mode=0o700, exist_ok=True)
            with open(gather_path(self._wanted.directory, MISSING), "wb"):
                pass
        if what == MEMBERS:
            self._sorter.add(rows)
        else:
            with open(gather_path(self._wanted.directory, MISSING), "ab") as file:
                file.write("".join([missing_line(row) for row in rows]).encode())

    def _finish(self) -> None:
        if not self._is_over:
            self._lines = write_members(self._wanted.directory, self._sorter.members())
            self._go_on()

    def _write_some(self) -> None:
        until = time.monotonic() + SLICE_S
        for _ in self._lines:
            now = time.monotonic()
            if now > until:
                self._loop.at(now, self._go_on)
                return
        self._end("")

    def _go_on(self) -> None:
        if not self._is_over:
            self._try(self._write_some)

    def _try(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as problem:
            self._end(problem if problem.filename else at(problem, self._wanted.directory))

    def _end(self, problem: Problem) -> None:
        self.stop()
        self._done(problem)


def write_members(directory: str, members: Iterable[Member]) -> Iterator[int]:
    """Write members.jsonl and bodies.txt, and yield after some how many there were. Raises OSError."""
    left = iter(members)
    with _open(directory, "members") as file, _open(directory, "bodies") as bodies:
        while some := list(islice(left, LINES)):
            file.write("".join([member_line(one) for one in some]).encode())
            bodies.write("".join([f"{one[3]}\n" for one in some]).encode())
            yield len(some)


def _open(directory: str, kind: str) -> IO[bytes]:
    return open(gather_path(directory, kind), "wb")


def member_line(one: Member) -> str:
    """Return the line of a member."""
    task = f"{one[4]}.{one[5]}" if one[4] else ""
    return f'{{"body": {escaped(one[3])}, "headers": {one[8]}, "task": "{task}"}}\n'


def missing_line(row: Row) -> str:
    """Return the line of [id, n, task, body, headers written, headers inherited, cause]."""
    _, _, task, body, written, inherited, cause = row
    module, headers = task.rpartition(".")[0], joined(written, inherited)
    told = f'"body": {escaped(body)}, "headers": {headers}, "cause": {escaped(cause)}'
    return f'{{"module": "{module}", "task": "{task}", {told}}}\n'
