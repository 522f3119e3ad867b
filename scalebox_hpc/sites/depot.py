"""The shared folder of a site, as the daemon uses it: the same on its own machine and at a remote site.

What is done in it `relay/folder.py` does, here or over there. It knows nothing of tasks.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, Protocol

from scalebox_hpc.errors import SiteTimeout, SiteUnreachable
from scalebox_hpc.relay import clearing, folder
from scalebox_hpc.relay.clearing import Gone
from scalebox_hpc.relay.folder import Changed, Frame, Parcel
from scalebox_hpc.sites.base import Stream, Transport
from scalebox_hpc.sites.opening import by_this_machine

ASK_S: Final = 120.0  # for what is asked to be done; a folder with many files takes a while to clear
STILL_S: Final = 300.0  # while files are put: for one more piece to be taken, or for the answer
PIECE_BYTES: Final = 1 << 18
ANSWER_BYTES: Final = 1 << 24  # no answer is longer


class Depot(Protocol):
    """A shared folder. Names are relative to it; all methods may be called by several threads.

    They raise OSError where its file system says no, and where it is remote what a Transport raises.
    """

    @property
    def path(self) -> str:
        """Where it is, absolute, on the machines of its site."""

    def make(self, names: Sequence[str]) -> None:
        """Make directories that only their owner may enter; "" is the folder itself."""

    def expand(self, text: str) -> str:
        """Fill `~` and variables of that machine into a path."""

    def write(self, name: str, text: str) -> None:
        """Replace a private file as a whole; its directory is made."""

    def put(self, files: Sequence[tuple[Path, Parcel]]) -> None:
        """Put files of this machine that are not there yet. Raises Changed for one of another digest.

        It may take any time as long as something moves; SiteTimeout is raised where nothing does.
        """

    def endings(self) -> list[tuple[str, Any]]:
        """Path and content of the last words that wrappers left as files."""

    def run_folders(self) -> list[str]:
        """The directories of runs; each has the name of its run."""

    def remove(self, paths: Sequence[str]) -> None:
        """Remove files and directories by their absolute paths; what is gone or resists is passed over."""

    def spool(self, incarnation: str) -> list[Any]:
        """What an agent left in its spool; empty where it has none."""

    def last_words(self, try_name: str, element: int) -> str:
        """The end of what an element's script printed; empty where there is nothing to be read."""

    def find_frame(self, frame: Frame) -> tuple[str, int] | None:
        """Where the output of an attempt under way begins: a segment and an offset."""

    def read_log(self, path: str, offset: int, length: int) -> bytes:
        """Read a piece of a segment; nothing where it is gone, or is none."""

    def clear(self, gone: Gone) -> None:
        """Delete what is left of runs, agents and tries."""

    def sizes(self, gone: Gone) -> list[int]:
        """The size of each file of it."""

    def sweep(self, before_s: float, spare: Collection[str]) -> int:
        """Delete logs and tries that nobody has written to since, but for these; return how many."""


class LocalDepot:
    """A Depot on this machine."""

    def __init__(self, root: str) -> None:
        self._root = root
        self.make: Callable[[Sequence[str]], None] = partial(folder.make, root)
        self.expand: Callable[[str], str] = partial(folder.expand, root)
        self.write: Callable[[str, str], None] = partial(folder.write, root)
        self.endings: Callable[[], list[tuple[str, Any]]] = partial(folder.endings, root)
        self.run_folders: Callable[[], list[str]] = partial(folder.run_folders, root)
        self.spool: Callable[[str], list[Any]] = partial(folder.spool, root)
        self.last_words: Callable[[str, int], str] = partial(folder.last_words, root)
        self.find_frame: Callable[[Frame], tuple[str, int] | None] = partial(folder.find_frame, root)
        self.clear: Callable[[Gone], None] = partial(clearing.clear, root)
        self.sizes: Callable[[Gone], list[int]] = partial(clearing.sizes, root)
        self.sweep: Callable[[float, Collection[str]], int] = partial(clearing.sweep, root)
        self.read_log: Callable[[str, int, int], bytes] = folder.read_log

    @property
    def path(self) -> str:
        """See Depot."""
        return self._root

    def put(self, files: Sequence[tuple[Path, Parcel]]) -> None:
        """See Depot."""
        for number in folder.lacks(self._root, [parcel for _, parcel in files]):
            source, parcel = files[number]
            with source.open("rb") as original:
                folder.put(self._root, parcel, original.read)

    def remove(self, paths: Sequence[str]) -> None:
        """See Depot."""
        for path in paths:
            folder.remove(path)


class RemoteDepot:
    """A Depot at the other end of a transport, by the relay's program there."""

    def __init__(
        self,
        site: str,
        transport: Transport,
        command: Sequence[str],
        root: str,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        """`command`: the words that start the program's verb `depot` there; `root`: the folder.

        `failed` is called where that does not run: the program may be gone.
        """
        self._site, self._transport, self._command, self._root = site, transport, list(command), root
        self._failed = failed

    @property
    def path(self) -> str:
        """See Depot."""
        return self._root

    def make(self, names: Sequence[str]) -> None:
        """See Depot."""
        self._ask("make", list(names))

    def expand(self, text: str) -> str:
        """See Depot."""
        return str(self._ask("expand", text))

    def write(self, name: str, text: str) -> None:
        """See Depot."""
        self._ask("write", name, text)

    def put(self, files: Sequence[tuple[Path, Parcel]]) -> None:
        """See Depot."""
        lacking = self._ask("lacks", [list(parcel) for _, parcel in files]) if files else []
        if not lacking:
            return
        chosen = [files[number] for number in lacking]
        with _watched(self._site, self._transport.open(self._command)) as (stream, moved):
            stream.write(self._request([["put", *parcel] for _, parcel in chosen]))
            for source, parcel in chosen:
                for piece in _pieces(source, parcel):
                    moved()
                    stream.write(piece)
            moved()
            answers = self._answers(_line(stream))
        for each in answers:
            _value(each)

    def endings(self) -> list[tuple[str, Any]]:
        """See Depot."""
        return [(path, content) for path, content in self._ask("endings")]

    def run_folders(self) -> list[str]:
        """See Depot."""
        return list(self._ask("run_folders"))

    def remove(self, paths: Sequence[str]) -> None:
        """See Depot."""
        self._ask("remove", list(paths))

    def spool(self, incarnation: str) -> list[Any]:
        """See Depot."""
        return list(self._ask("spool", incarnation))

    def last_words(self, try_name: str, element: int) -> str:
        """See Depot."""
        return str(self._ask("last_words", try_name, element))

    def find_frame(self, frame: Frame) -> tuple[str, int] | None:
        """See Depot."""
        found = self._ask("find_frame", *frame)
        return None if found is None else (found[0], found[1])

    def read_log(self, path: str, offset: int, length: int) -> bytes:
        """See Depot."""
        return base64.b64decode(self._ask("read_log", path, offset, length))

    def clear(self, gone: Gone) -> None:
        """See Depot."""
        self._ask("clear", *gone)

    def sizes(self, gone: Gone) -> list[int]:
        """See Depot."""
        return list(self._ask("sizes", *gone))

    def sweep(self, before_s: float, spare: Collection[str]) -> int:
        """See Depot."""
        return int(self._ask("sweep", before_s, list(spare)))

    def _ask(self, verb: str, *arguments: Any) -> Any:
        """Have one thing done; return its value."""
        request = self._request([[verb, *arguments]])
        done = self._transport.run(self._command, stdin=request, timeout_s=ASK_S)
        if done.exit_code != 0:
            self._failed()
            words = done.stderr.decode("utf-8", "replace").strip()[-500:]
            raise SiteUnreachable(f"{self._site}: `{' '.join(self._command)}` failed: {words}")
        return _value(self._answers(done.stdout)[0])

    def _request(self, asked: list[list[Any]]) -> bytes:
        return json.dumps({"root": self._root, "asked": asked}).encode() + b"\n"

    def _answers(self, said: bytes) -> list[dict[str, Any]]:
        try:
            return list(json.loads(said.splitlines()[-1])["answers"])
        except (ValueError, LookupError, TypeError) as error:
            words = said.decode("utf-8", "replace").strip()[-200:]
            raise SiteUnreachable(f"{self._site}: no answer of ours from there, but {words!r}") from error


def _value(answer: dict[str, Any]) -> Any:
    if "changed" in answer:
        raise Changed(answer["changed"])
    if "errno" in answer:
        raise OSError(answer["errno"], answer["strerror"], answer["path"])
    return answer["value"]


@contextmanager
def _watched(site: str, stream: Stream) -> Iterator[tuple[Stream, Callable[[], None]]]:
    """Give a stream, and what is to be called whenever something moves; close it in the end.

    It is closed too where nothing has moved for STILL_S, which wakes who waits for it: raises SiteTimeout.
    """
    moves: SimpleQueue[bool] = SimpleQueue()
    late = threading.Event()

    def watch() -> None:
        try:
            while moves.get(timeout=STILL_S):
                pass
        except Empty:
            late.set()
            stream.close()

    try:
        with by_this_machine(site):
            threading.Thread(target=watch, name=f"files to {site}", daemon=True).start()
        yield stream, lambda: moves.put(True)
    finally:
        moves.put(False)
        stream.close()
        if late.is_set():
            raise SiteTimeout(f"{site}: files are on their way there, and nothing moved for {STILL_S:g} s")


def _pieces(source: Path, parcel: Parcel) -> Iterator[bytes]:
    """So many bytes of a file as were told; where it has become shorter, others in their place."""
    left = parcel.size
    with source.open("rb") as file:
        while left > 0:
            piece = file.read(min(left, PIECE_BYTES)) or b"\0" * min(left, PIECE_BYTES)
            yield piece
            left -= len(piece)


def _line(stream: Stream) -> bytes:
    said = b""
    while not said.endswith(b"\n") and len(said) < ANSWER_BYTES:
        piece = stream.read(PIECE_BYTES)
        if not piece:
            break
        said += piece
    return said
