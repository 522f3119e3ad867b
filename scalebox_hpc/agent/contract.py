"""Reads what an attempt left in its work directory: the files of the module contract.

It deletes nothing and starts nothing. `collect` is a generator: each `next` does a slice of a few
milliseconds, so that other tasks go on; the result is what it returns. No content of a file raises.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Generator, Iterator
from typing import BinaryIO, NamedTuple

from scalebox_hpc.agent import disk
from scalebox_hpc.agent.messages import (
    REFUSALS,
    BadMessage,
    Headers,
    Message,
    Rules,
    read_json,
    read_text,
)
from scalebox_hpc.agent.publish import PublishError, publish
from scalebox_hpc.agent.staged import Leaving, Left, Outlet, StageProblem, Waiting
from scalebox_hpc.agent.walls import Walls, has, has_open, resolved

INLINE_BYTES = 64 << 10  # messages sent with their report
CHUNK_BYTES = 1 << 20
LINE_BYTES = 1 << 20  # longer lines break the limits whatever they say
SLICE_LINES = 500
USER_TEXT_BYTES = 64 << 10
TIMES_MOST, LABEL_MOST = 1000, 200  # of what a program notes of its time
MOST_STATUS, MOST_INTEGER = (1 << 31) - 1, (1 << 63) - 1  # that a report can bear
TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d+)?)?\s?(Z|[+-]\d\d(:?\d\d)?)?")
ENCODE = json.JSONEncoder(separators=(",", ":")).encode

Slices = Generator[None, None, None]


class Place(NamedTuple):
    """Where an attempt worked and what of it matters here."""

    work: str
    left: dict[str, bool]  # what it left beside the links, name to "is a plain file"
    results: str
    body: str
    headers: Headers
    chunk_prefix: str  # where files of chunks may be written
    walls: Walls = ()  # beyond which nothing is read, published or removed for it
    leaving: Leaving | None = None  # how its files go to the results; None: it stages none
    brought: str = ""  # the folder of files that were brought for it


class Collected:
    """What was found."""

    def __init__(self) -> None:
        self.status = 0  # what the program says of itself beside exit code 0
        self.problem = ""  # why the outcome is `output`
        self.notes: list[str] = []
        self.messages: list[Message] = []
        self.chunks: list[str] = []  # files, each a JSON list of messages, instead of `messages`
        self.in_bytes = 0
        self.out_bytes = 0
        self.user_text = ""
        self.user_times: dict[str, str] = {}
        self.removed: list[str] = []  # to be deleted once the attempt is recorded
        self.folder = ""  # one of ours, to be removed then


def collect(place: Place, rules: Rules, succeeded: bool) -> Generator[None, None, Collected]:
    """Read everything. Messages, `publish/` and files to remove count only after a success."""
    found = Collected()
    try:
        yield from _read_user_files(place, found)
        if succeeded and found.status == 0:
            yield from _take(place, rules, found)
    except (BadMessage, PublishError, StageProblem) as problem:
        found.problem = str(problem)
    except OSError as problem:
        found.problem = f"what it left could not be taken in: {disk.describe(problem, place.work)}"
    found.in_bytes, found.out_bytes = min(found.in_bytes, MOST_INTEGER), min(found.out_bytes, MOST_INTEGER)
    if found.problem or found.status:
        leaving = place.leaving
        found.messages, found.removed = [], []
        found.folder = leaving.folder if leaving is not None and leaving.waits else ""
    return found


def _take(place: Place, rules: Rules, found: Collected) -> Slices:
    """Take what a success leaves. Raises what makes it none."""
    left = None if place.leaving is None else Left(place.leaving, place.work)
    yield from _read_messages(place, rules, found, left)
    found.removed = [path for _, path in _paths(place, "removed-files.txt", found)]
    found.folder = place.brought
    copies: list[Generator[int, None, None]] = []
    if "publish" in place.left:
        copies.append(publish(os.path.join(place.work, "publish"), place.results, place.walls))
    if left is not None:
        copies.append(left.move(place.walls))
    for copy in copies:
        for size in copy:
            found.out_bytes += size
            yield


# messages


class _Packer:
    """Keeps few messages in memory and writes many to files of chunks."""

    def __init__(self, prefix: str, found: Collected, via: dict[str, str]) -> None:
        self.prefix, self.found, self.via, self.count = prefix, found, via, 0
        self.texts: list[str] = []
        self.size = 0

    def add(self, message: Message) -> None:
        if self.via:
            message = (self.via[message[0]], *message[1:])
        text = ENCODE(message)
        if self.size + len(text) > CHUNK_BYTES:
            self.flush()
        self.count += 1
        self.texts.append(text)
        self.size += len(text) + 1
        if not self.found.chunks and self.size <= INLINE_BYTES:
            self.found.messages.append(message)

    def flush(self) -> None:
        path = f"{self.prefix}.{len(self.found.chunks)}"
        try:
            with open(path, "w", encoding="ascii") as file:
                file.write("[" + ",".join(self.texts) + "]")
        except OSError as problem:
            raise disk.at(problem, path) from None
        self.found.chunks.append(path)
        self.texts, self.size = [], 0

    def close(self) -> None:
        if self.found.chunks or self.size > INLINE_BYTES:
            if self.texts:
                self.flush()
            self.found.messages = []


def _read_messages(place: Place, rules: Rules, found: Collected, left: Left | None) -> Slices:
    packer: Outlet = _Packer(place.chunk_prefix, found, rules.via)
    if left is not None and left.leaving.waits:
        packer = Waiting(left, place.body, place.headers, found.messages)
    inherited = {name: value for name, value in place.headers.items() if name.startswith("_")}
    readers = (("messages.txt", read_text), ("messages.jsonl", read_json))
    present = [(name, read) for name, read in readers if name in place.left]
    if not present:
        to = rules.forwards_to()
        if to:
            message: Message = (to, place.body, place.headers or None)
            if left is not None:
                message = left.rewritten(message)
            rules.check(message, inherited)
            packer.add(message)
    for name, reader in present:
        read = reader if left is None else left.reader(reader)
        yield from _read_message_file(place, name, read, rules, inherited, packer)
    packer.close()


def _read_message_file(
    place: Place,
    name: str,
    read: Callable[[bytes, Rules], Message],
    rules: Rules,
    inherited: Headers,
    packer: Outlet,
) -> Slices:
    for number, line in _lines(place, name):
        try:
            if len(line) > LINE_BYTES:
                raise BadMessage("it is longer than any message may be; write it to a file and send the path")
            message = read(line, rules)
            rules.check(message, inherited)
        except BadMessage as problem:
            raise BadMessage(f"{name}, line {number}: {problem}") from None
        if packer.count >= rules.limit:
            raise BadMessage(
                f"{name}, line {number}: more than {rules.limit} messages; send fewer from one task"
            )
        packer.add(message)
        if packer.count % SLICE_LINES == 0:
            yield


# what programs say of themselves


def _read_user_files(place: Place, found: Collected) -> Slices:
    left = place.left
    if not left:
        return
    for number, text in _texts(place, "timestamps.txt"):
        label, _, time = text.partition(",")
        _add_time(found, label, time, f"timestamps.txt, line {number}")
    if "custom-out.txt" in left:
        with _open(place, "custom-out.txt") as file:
            found.user_text = file.read(USER_TEXT_BYTES).decode("utf-8", "replace")
    for size, _ in _paths(place, "input-files.txt", found):
        found.in_bytes += size
    for size, _ in _paths(place, "output-files.txt", found):
        found.out_bytes += size
    yield
    if "task-exec.json" in left:
        _read_task_exec(place, found)


def _read_task_exec(place: Place, found: Collected) -> None:
    with _open(place, "task-exec.json") as file:
        try:
            said = json.loads(file.read(LINE_BYTES))
            status, into, out = (said.get(key) for key in ("statusCode", "inputBytes", "outputBytes"))
            numbers = [0 if status is None else int(status)]
            numbers.append(found.in_bytes if into is None else int(into))
            numbers.append(found.out_bytes if out is None else int(out))
            if min(numbers[1:]) < 0 or max(numbers[1:]) > MOST_INTEGER or abs(numbers[0]) > MOST_STATUS:
                raise OverflowError("a number that no report can bear")
            found.status, found.in_bytes, found.out_bytes = numbers
            times, text = said.get("timestamps") or {}, said.get("userText")
            for label, time in times.items():
                _add_time(found, str(label), str(time), "task-exec.json")
        except (*REFUSALS, AttributeError, TypeError, OverflowError):
            raise BadMessage(
                "task-exec.json: it is not an object with numbers in statusCode, inputBytes and outputBytes"
                " and an object in timestamps; mend what writes it"
            ) from None
    if text is not None:
        found.user_text = as_text(str(text)[:USER_TEXT_BYTES])


def _add_time(found: Collected, label: str, time: str, where: str) -> None:
    label, time = as_text(label.strip()), time.strip()
    if not (0 < len(label) <= LABEL_MOST and TIME.fullmatch(time)):
        found.notes.append(f"{where}: not `label,time` with a time as 2030-01-31T12:00:00.5; passed over")
    elif label not in found.user_times and len(found.user_times) >= TIMES_MOST:
        found.notes.append(f"{where}: more than {TIMES_MOST} times; passed over")
    else:
        found.user_times[label] = time.replace(",", ".")


def as_text(text: str) -> str:
    """Return the text with `?` for each half of a surrogate pair, which no report can bear."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _paths(place: Place, name: str, found: Collected) -> Iterator[tuple[int, str]]:
    """Yield the size and absolute path of each file that a list names; absent ones make a note."""
    for number, text in _texts(place, name):
        try:
            path = resolved(os.path.normpath(os.path.join(place.work, text)))
            if not (has(place.walls, path) and has(place.walls, os.path.realpath(path))):
                found.notes.append(f"{name}, line {number}: {text} is in no directory that its container has")
                continue
            state = os.stat(path)
        except (OSError, ValueError):
            found.notes.append(f"{name}, line {number}: there is no file {text}")
            continue
        if stat.S_ISREG(state.st_mode):
            yield state.st_size, path
        else:
            found.notes.append(f"{name}, line {number}: {text} is not a file")


def _texts(place: Place, name: str) -> Iterator[tuple[int, str]]:
    if name in place.left:
        for number, line in _lines(place, name):
            yield number, os.fsdecode(line).rstrip("\r\n")


def _lines(place: Place, name: str) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of each line that is not blank."""
    with _open(place, name) as file:
        number = 0
        while True:
            line = file.readline(LINE_BYTES + 1)
            if not line:
                return
            number += 1
            if not line.isspace():
                yield number, line


def _open(place: Place, name: str) -> BinaryIO:
    """Open a plain file for reading; anything else (a pipe would block) is a BadMessage."""
    fd = os.open(os.path.join(place.work, name), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    problem = ""
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        problem = f"{name} is not a plain file; write it as one"
    elif not has_open(place.walls, fd):
        problem = f"{name} is a link to what its container does not have; write a file"
    if problem:
        os.close(fd)
        raise BadMessage(problem)
    return open(fd, "rb")


def delete_removed(paths: list[str], work_root: str) -> list[str]:
    """Delete files of a recorded attempt; return what could not be deleted and why.

    What lies in our scratch directory is gone or someone else's by now, and is passed over; so is
    what another directory stands before by now.
    """
    problems = []
    for path in paths:
        if path.startswith((work_root + os.sep, os.path.realpath(work_root) + os.sep)):
            continue
        try:
            if resolved(path) == path:
                os.unlink(path)
        except FileNotFoundError:
            continue
        except OSError as problem:
            problems.append(f"{path}: {problem.strerror}")
    return problems
