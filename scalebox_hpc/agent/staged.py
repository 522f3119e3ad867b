"""Files that go with messages: links to those that a task needs, and what becomes of those that it leaves.

What a task needs was brought into a folder of the run, or lies where its message says. What it leaves goes
straight into the results, or waits in a folder of the run for the transfer that takes it there.
"""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, Protocol

from scalebox_hpc.agent.messages import FILES, BadMessage, Headers, Message, Rules, check_headers
from scalebox_hpc.agent.publish import put
from scalebox_hpc.agent.walls import Walls
from scalebox_hpc.agent.workdir import Links

FOLDER = "sbx_staged"
"""The header that names the folder into which a transfer has brought the files; no program sees it.

Of a module with several sites, `SITE:` and the folder; nothing after it where they lay there already.
"""

WAITING = "sbx_stage"
"""The header that names the folder in which files and messages wait for their transfer."""

SENDER = "sbx_sender"
HOME_PATHS = "sbx_files"
"""The header that holds the paths of a task's files among the results, as a JSON list."""

WRITTEN_AT_ONCE = 1 << 20  # characters of messages
HOME_PATHS_MOST = 8 << 10  # bytes of that header; a longer one is left out
BROUGHT = re.compile(r"stage/[a-z][a-z0-9-]*\.[0-9]+-[0-9a-f]+")
RESERVED = frozenset((*FILES, "publish"))


class StageProblem(Exception):
    """Files cannot be staged; the text says which, why, and what to do."""


class Stage:
    """What one module stages: made once from its sheet."""

    def __init__(self, sheet: dict[str, Any]) -> None:
        stage = sheet["stage"]
        self.inputs: list[Any] = stage["in"]
        self.outputs: list[str] = stage["out"]
        self.to: str = stage["to"]  # the transfer that takes files home; "": they go straight there
        self.results: str = stage["results"]  # as they are called at home
        self.shared: str = sheet["shared"]
        self.pipeline: str = sheet["pipeline"]
        self._here = f"{sheet['site']}:"

    def _near(self, path: str) -> str:
        """What is said of this site, without its name."""
        return path[len(self._here) :] if path.startswith(self._here) else path

    def leaving(self, offer: dict[str, Any], links: Links) -> Leaving | None:
        """Return where the files of an attempt go; None where it leaves none."""
        if not self.outputs:
            return None
        given = frozenset([*offer["staged"], *(name for name, _ in links)])
        return Leaving(self, offer["task"], re.sub(r"[^A-Za-z0-9_-]", "-", offer["lease"]), given)

    def enter(self, work: str, references: list[str], offer: dict[str, Any]) -> None:
        """Link the files of a message into the work directory. Raises StageProblem, OSError.

        Notes their names, and the folder that they were brought into, in the offer.
        """
        brought = self._near((offer.get("headers") or {}).pop(FOLDER, ""))
        if brought and not BROUGHT.fullmatch(brought):
            raise StageProblem(f"{brought!r} is no folder of staged files; this header is not for programs")
        offer["brought"] = folder = os.path.join(self.shared, brought) if brought else ""
        offer["staged"] = names = []
        for path, name in named(references):
            target = os.path.join(folder, name) if folder else os.path.join(self.pipeline, self._near(path))
            if not os.path.exists(target):
                raise StageProblem(
                    f"{target} does not exist; look at `stage.in` and at who sends the message"
                )
            try:
                os.symlink(target, os.path.join(work, name))
            except FileExistsError:
                raise StageProblem(
                    f"{name} is a file that the module ships; call one of them otherwise"
                ) from None
            names.append(name)


def named(references: list[str]) -> list[tuple[str, str]]:
    """Return path and base name of each file referred to; a JSON list of texts is as many references.

    Raises StageProblem where a name is missing, reserved or there twice.
    """
    found: dict[str, str] = {}
    for path in expanded(references):
        name = os.path.basename(path.rstrip("/"))
        if name in ("", ".", "..") or "\n" in name:
            raise StageProblem(f"{path!r} names no file; look at `stage.in`")
        if name in RESERVED:
            raise StageProblem(f"{path}: a program leaves a file of this name; call yours otherwise")
        if found.setdefault(name, path) != path:
            raise StageProblem(
                f"{found[name]} and {path} would both be called {name}; call one of them otherwise"
            )
    return [(path, name) for name, path in found.items()]


def expanded(references: list[str]) -> list[str]:
    """Return each reference, and in place of a JSON list the references in it."""
    paths = []
    for text in references:
        inner = None
        if text.startswith("["):
            try:
                inner = json.loads(text)
            except ValueError:
                pass
        if isinstance(inner, list) and all(isinstance(each, str) for each in inner):
            paths += inner
        else:
            paths.append(text)
    return paths


# what a task leaves


class Leaving(NamedTuple):
    """Where the files of one attempt go, and its messages with them."""

    stage: Stage
    task: str
    lease: str
    given: frozenset[str]  # names in the work directory that are not the program's

    @property
    def waits(self) -> bool:
        """Whether they wait for a transfer; else they go straight into the results."""
        return bool(self.stage.to)

    @property
    def results(self) -> str:
        """The task's own directory among the results, as it is called at home."""
        return os.path.join(self.stage.results, self.task)

    @property
    def place(self) -> str:
        """The folder in which they wait, as it is called within the run's shared directory."""
        return f"stage-out/{self.task}/{self.lease}"

    @property
    def folder(self) -> str:
        """The same, as a path."""
        return os.path.join(self.stage.shared, self.place)


class Outlet(Protocol):
    """Where messages go that were read and found right."""

    count: int

    def add(self, message: Message) -> None:
        """Take one more. Raises OSError."""

    def close(self) -> None:
        """Say that there are no more. Raises OSError."""


class Left:
    """The files that an attempt leaves, and how its messages name them."""

    def __init__(self, leaving: Leaving, work: str) -> None:
        """Find them. Raises StageProblem where a pattern matches none."""
        self.leaving = leaving
        self.work = work
        self.names = sorted(self._matches())
        self._homes = {name: os.path.join(leaving.results, name) for name in self.names}
        text = json.dumps(list(self._homes.values()), ensure_ascii=False, separators=(",", ":"))
        self._header = {HOME_PATHS: text} if len(text.encode("utf-8", "replace")) <= HOME_PATHS_MOST else {}

    def _matches(self) -> set[str]:
        found: set[str] = set()
        for pattern in self.leaving.stage.outputs:
            names = _files(self.work, pattern, self.leaving.given)
            if not names:
                remedy = "write one, or mend the pattern; all of a directory is `name/**`"
                raise StageProblem(f"no file matches {pattern!r} of `stage.out`; {remedy}")
            found |= names
        return found

    def rewritten(self, message: Message) -> Message:
        """Return a message with files called as they are at home."""
        to, body, headers = message
        headers = {name: self._homes.get(value, value) for name, value in (headers or {}).items()}
        headers.pop(HOME_PATHS, None)  # of a module before, where this one passes its own on
        headers.update(self._header)
        return to, self._homes.get(body, body), headers or None

    def reader(self, read: Callable[[bytes, Rules], Message]) -> Callable[[bytes, Rules], Message]:
        """Return what reads a line as `read` does, and rewrites the message."""
        return lambda line, rules: self.rewritten(read(line, rules))

    def move(self, walls: Walls) -> Generator[int, None, None]:
        """Copy the files to where they go, or wait; yields bytes. Raises PublishError."""
        leaving = self.leaving
        target = os.path.join(leaving.folder, "files") if leaving.waits else leaving.results
        yield from put(self.work, self.names, target, walls, "stage.out: ")


class Waiting:
    """Writes messages to a file beside the files that they travel with, and sends one to the transfer."""

    def __init__(self, left: Left, body: str, headers: Headers, messages: list[Message]) -> None:
        """`body` and `headers` are those of the task; `messages` gets the one. Raises OSError."""
        leaving = left.leaving
        self.count = 0
        self._path = os.path.join(leaving.folder, "messages.jsonl")
        self._lines: list[str] = []
        self._size = 0
        self._one: Message = (leaving.stage.to, body, _of_transfer(leaving, headers))
        self._messages = messages
        os.makedirs(leaving.folder, exist_ok=True)

    def add(self, message: Message) -> None:
        """Write one more, or keep it for later."""
        self.count += 1
        to, body, headers = message
        self._lines.append(json.dumps({"to": to, "body": body, "headers": headers or {}}) + "\n")
        self._size += len(self._lines[-1])
        if self._size > WRITTEN_AT_ONCE:
            self._write()

    def _write(self) -> None:
        with open(self._path + ".part", "a", encoding="ascii") as file:
            file.write("".join(self._lines))
            file.flush()
            os.fsync(file.fileno())
        self._lines, self._size = [], 0

    def close(self) -> None:
        """Let the file be seen, whole."""
        self._write()
        os.rename(self._path + ".part", self._path)
        self._messages.append(self._one)


def _of_transfer(leaving: Leaving, headers: Headers) -> Headers:
    """Return the headers of the message to a transfer; with room, those that name the group of its task too.

    Those that begin with `_` go on without being written.
    """
    own = {"sbx_key": leaving.task, SENDER: leaving.task, WAITING: leaving.place}
    every = {**{name: value for name, value in headers.items() if not name.startswith("_")}, **own}
    try:
        check_headers(every, tuple(every))
    except BadMessage:
        return own
    return every


def _files(work: str, pattern: str, given: frozenset[str]) -> set[str]:
    """Return the files that match, as they are called in the work directory."""
    found = set()
    for path in glob.glob(os.path.join(glob.escape(work), pattern), recursive=True):
        name = os.path.relpath(path, work)
        is_given = name in given or name.partition("/")[0] in given
        if not is_given and name not in RESERVED and os.path.isfile(path):
            found.add(name)
    return found
