"""Files that are put at a site: they may take any time as long as something moves, and no longer."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from scalebox_hpc.errors import SiteTimeout, SiteUnreachable
from scalebox_hpc.relay.folder import Parcel
from scalebox_hpc.sites import depot as depots
from scalebox_hpc.sites.base import Finished
from scalebox_hpc.sites.depot import PIECE_BYTES, RemoteDepot
from scalebox_hpc.sites.local import LocalTransport
from scalebox_hpc.testing.transport import FakeTransport

LACKS = json.dumps({"answers": [{"value": [0]}]})
PUT = json.dumps({"answers": [{"value": None}]})
HANGS = """
import json, signal, sys
if json.loads(sys.stdin.buffer.readline())["asked"][0][0] == "lacks":
    print(sys.argv[1])
else:
    sys.stdin.buffer.read(int(sys.argv[2]))
    signal.pause()
"""


@pytest.fixture
def file(tmp_path: Path) -> tuple[Path, Parcel]:
    content = b"x" * (3 * PIECE_BYTES - 1)
    (tmp_path / "file").write_bytes(content)
    return tmp_path / "file", Parcel("files/x", hashlib.sha256(content).hexdigest(), len(content), 0o400)


@pytest.fixture
def transport(tmp_path: Path) -> Iterator[LocalTransport]:
    made = LocalTransport("b", tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("taken", [0, 3 * PIECE_BYTES - 1], ids=["takes nothing", "answers nothing"])
def test_a_site_that_hangs_while_files_are_put_is_given_up(
    file: tuple[Path, Parcel], transport: LocalTransport, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(depots, "STILL_S", 0.05)
    depot = RemoteDepot("b", transport, [sys.executable, "-c", HANGS, LACKS, str(taken)], "/r")
    with pytest.raises(SiteTimeout, match="nothing moved"):
        depot.put([file])


class Moves(SimpleQueue[bool]):
    """What moved, and how long each move was waited for at most."""

    def __init__(self) -> None:
        self.seen: list[tuple[bool, float]] = []
        self.over: SimpleQueue[bool] = SimpleQueue()

    def get(self, block: bool = True, timeout: float | None = None) -> bool:
        assert timeout is not None
        moved = super().get(timeout=15.0)
        self.seen.append((moved, timeout))
        if not moved:
            self.over.put(True)
        return moved


class Slow:
    """A transport to a site that takes what comes, and the stream there. See Transport, Stream."""

    def __init__(self) -> None:
        self.taken, self.said = 0, [PUT.encode() + b"\n"]

    def run(self, words: Sequence[str], *, stdin: bytes = b"", timeout_s: float) -> Finished:
        return Finished(0, LACKS.encode(), b"")

    def open(self, words: Sequence[str]) -> Slow:
        return self

    def write(self, data: bytes) -> None:
        self.taken += len(data)

    def read(self, most: int) -> bytes:
        return self.said.pop()

    def close(self) -> None:
        pass


def test_each_piece_that_is_taken_begins_the_patience_anew(
    file: tuple[Path, Parcel], monkeypatch: pytest.MonkeyPatch
) -> None:
    moves, slow = Moves(), Slow()
    fake: Any = lambda: moves  # noqa: E731
    monkeypatch.setattr(depots, "SimpleQueue", fake)
    RemoteDepot("b", slow, ["relay"], "/r").put([file])
    assert moves.over.get(timeout=15.0)
    still_s = depots.STILL_S
    assert moves.seen == [*[(True, still_s)] * (3 + 1), (False, still_s)], "three pieces, and the answer"
    assert slow.taken > file[1].size


def test_a_program_that_does_not_run_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    gone = FakeTransport(tmp_path, answer=lambda *_: Finished(2, b"", b"can't open file 'relay.pyz'"))
    depot = RemoteDepot("b", gone, ["python3", "relay.pyz", "depot"], "/r", lambda: told.append("failed"))
    with pytest.raises(SiteUnreachable, match="can't open file"):
        depot.endings()
    assert told == ["failed"]
