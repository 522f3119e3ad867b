"""Transfers over every way there is: here, push, pull, within a site, and from site to site through us."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scalebox_hpc.domain.site import Site
from scalebox_hpc.testing.sshd import Sshd, program
from scalebox_hpc.transfer.copy import Move, Order, Outcome, copy
from scalebox_hpc.transfer.ends import reach
from scalebox_hpc.transfer.link import Link
from scalebox_hpc.transfer.place import Place
from scalebox_hpc.transfer.progress import Watch
from scalebox_hpc.transfer.streams import Streams

WAYS = {"here": ("", ""), "push": ("", "b"), "pull": ("b", ""), "through": ("b", "c"), "within": ("b", "b")}


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Sshd]]:
    """Two login nodes, both this machine."""
    if program() is None:
        pytest.skip("needs an sshd")
    directory = tmp_path_factory.mktemp("doors")
    opened = {name: Sshd(directory / name) for name in ("b", "c")}
    for door in opened.values():
        door.start()
    yield opened
    for door in opened.values():
        door.stop()


class Movers:
    """Moves data on one way."""

    def __init__(self, doors: dict[str, Sshd], way: str, locks: Path) -> None:
        self.way = way
        self.sites = WAYS[way]
        source, target = (reach(Site(name, ssh=doors[name].ssh) if name else None) for name in self.sites)
        self.link = Link(source, target)
        self._locks = locks

    def __call__(self, source: Path, target: Path, **more: object) -> Outcome:
        near, far = self.sites
        order = Order(Place(near, str(source)), Place(far, str(target)), **{"patience_s": 0.0, **more})  # type: ignore[arg-type]
        return copy(Move(order, self.link, Streams({"b": 4, "c": 4}, self._locks), Watch()))


@pytest.fixture(scope="module", params=WAYS)
def mover(
    request: pytest.FixtureRequest, doors: dict[str, Sshd], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Movers]:
    """Each way in turn."""
    found = Movers(doors, request.param, tmp_path_factory.mktemp("locks") / "streams")
    yield found
    found.link.source.close()
    found.link.target.close()


def test_a_file_arrives_with_content_mode_and_time(mover: Movers, tmp_path: Path) -> None:
    source = tmp_path / "a file"
    source.write_bytes(b"content" * 1000)
    source.chmod(0o640)
    outcome = mover(source, tmp_path / "out" / "b")
    there = tmp_path / "out" / "b"
    assert there.read_bytes() == source.read_bytes()
    assert there.stat().st_mode == source.stat().st_mode
    assert there.stat().st_mtime_ns == source.stat().st_mtime_ns
    assert [path.name for path in there.parent.iterdir()] == ["b"]
    assert outcome.files[0].checksum.startswith("xxh3:")
