"""The ways to remote sites: their links, and what was removed there meanwhile."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scalebox_hpc.daemon import stations as stations_module
from scalebox_hpc.daemon.desk import SiteFacts
from scalebox_hpc.daemon.home import Home
from scalebox_hpc.daemon.keys import open_keys
from scalebox_hpc.daemon.premises import Premises
from scalebox_hpc.daemon.stations import Stations
from scalebox_hpc.domain.allocation import Launch
from scalebox_hpc.domain.site import Site, Ssh
from scalebox_hpc.errors import SiteUnreachable
from scalebox_hpc.sites.depot import RemoteDepot
from scalebox_hpc.sites.relay import RelayPlace
from scalebox_hpc.testing.transport import FakeTransport

WAIT_S = 15.0


@dataclass
class FakeLink:
    """A RelayLink that carries nothing."""

    transport: FakeTransport
    place: RelayPlace
    dial: object
    told: object
    mend: Any
    ended: list[bool] = field(default_factory=list)  # how it was told to end

    def end(self, stop: bool) -> None:
        self.ended.append(stop)


class Closable(FakeTransport):
    """Tells whether it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True
        super().close()


@dataclass
class Scene:
    """Stations of sites that are directories here, with all their transports and links."""

    home: Home
    folder: Path
    transports: list[Closable] = field(default_factory=list)
    links: list[FakeLink] = field(default_factory=list)

    def __post_init__(self) -> None:
        front = SimpleNamespace(fingerprint="00")
        contact: Any = SimpleNamespace(shared_folders=lambda: [], front=front)
        lock: Any = None
        keys, inbox = open_keys(self.home), queue.SimpleQueue[Any]()
        premises = Premises(self.home, lock, keys, contact, inbox, "127.0.0.1:1", 0)
        self.stations = Stations(premises, self.transport)

    def transport(self, site: Site) -> Closable:
        self.transports.append(Closable(self.folder, site=site.name))
        return self.transports[-1]

    def link(self, *args: Any) -> FakeLink:
        self.links.append(FakeLink(*args))
        return self.links[-1]

    def site(self, name: str = "b") -> Site:
        return Site(name, ssh=Ssh(name), shared=str(self.folder / name))

    def programs(self) -> list[Path]:
        return list((self.folder / "b").glob("*/relay-*.pyz"))


def ignore(news: object) -> None:
    """What is told of a link."""


def facts_of(site: Site) -> SiteFacts:
    return SiteFacts(site, Launch("0" * 16, f"{site.shared}", "python3"))


@pytest.fixture
def scene(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    made = Scene(home, tmp_path)
    monkeypatch.setattr(stations_module, "RelayLink", made.link)
    yield made
    made.stations.end()


def test_a_site_file_that_is_read_anew_takes_no_link_from_who_is_at_work(scene: Scene) -> None:
    """A run that is prepared may be refused yet; what is asked of the others may be late."""
    old = scene.site()
    new = replace(old, advertise=("ib0",))
    scene.stations.connect(old, ignore)
    scene.stations.open(new)
    assert scene.links[0].ended == []
    scene.stations.connect(new, ignore)  # it was accepted
    assert scene.links[0].ended == [False], "agents at work go on"
    assert scene.links[1].place.advertise == ("ib0",)
    assert [each.closed for each in scene.transports] == [True, False]
    scene.stations.depot(facts_of(old)).endings()  # a look that was asked for before
    assert scene.links[1].ended == []
    scene.stations.connect(old, ignore)
    assert [link.ended for link in scene.links] == [[False], [False], []]


def test_a_link_that_is_asked_for_twice_is_one(scene: Scene) -> None:
    for _ in range(2):
        scene.stations.connect(scene.site(), ignore)
    assert len(scene.links) == 1


def test_a_program_that_was_removed_is_put_there_again_by_who_misses_it(scene: Scene) -> None:
    facts = facts_of(scene.site())
    scene.stations.connect(facts.site, ignore)
    (program,) = scene.programs()
    program.unlink()
    with pytest.raises(SiteUnreachable):
        scene.stations.depot(facts).endings()
    assert scene.stations.depot(facts).endings() == []
    program.unlink()
    scene.links[0].mend()
    assert program.exists()


def test_the_end_waits_for_nobody_who_opens_a_site_that_hangs(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, freed = threading.Event(), threading.Event()

    def hang(self: RemoteDepot, files: object) -> None:
        asked.set()
        assert freed.wait(WAIT_S)

    monkeypatch.setattr(RemoteDepot, "put", hang)
    hand = threading.Thread(target=scene.stations.remote(scene.site()).batch)
    end = threading.Thread(target=scene.stations.end)
    hand.start()
    assert asked.wait(WAIT_S)
    end.start()
    end.join(WAIT_S / 2)
    waits = end.is_alive()
    freed.set()
    for each in (hand, end):
        each.join(WAIT_S)
    assert not waits


def test_links_end_at_once_so_that_one_that_hangs_holds_up_no_other(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2)
    monkeypatch.setattr(FakeLink, "end", lambda self, stop: both.wait(WAIT_S))
    for name in ("b", "c"):
        scene.stations.connect(scene.site(name), ignore)
    scene.stations.end()
    assert not both.broken
