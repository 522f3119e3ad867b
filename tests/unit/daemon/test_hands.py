"""A site that hangs holds up what is for it, and no run at another."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scalebox_hpc.daemon import hands as hands_module
from scalebox_hpc.daemon.desk import Clear, Compare, Prepare
from scalebox_hpc.daemon.events import Call, Told
from scalebox_hpc.daemon.hands import Hands
from scalebox_hpc.daemon.home import Home
from scalebox_hpc.daemon.keys import open_keys
from scalebox_hpc.daemon.premises import Premises
from scalebox_hpc.daemon.runs import Prepared
from scalebox_hpc.daemon.stations import Stations
from scalebox_hpc.domain.site import Site
from scalebox_hpc.errors import SiteUnreachable

WAIT_S = 15.0


class Scene:
    """Hands whose site b hangs until `freed`, and then does what `problem` says."""

    def __init__(self, home: Home, directory: Path) -> None:
        self.told: queue.Queue[Told] = queue.Queue()
        self.asked, self.freed = threading.Event(), threading.Event()
        self.problem: SiteUnreachable | None = None
        self.directory = directory
        contact: Any = SimpleNamespace(shared_folders=lambda: [])
        lock: Any = None
        premises = Premises(home, lock, open_keys(home), contact, queue.SimpleQueue(), "127.0.0.1:1", 0)
        acts: Any = None
        self.hands = Hands(premises, self.told.put, acts)
        (directory / "site-configs").mkdir()
        (directory / "site-configs" / "b.toml").write_text('batch = "slurm"\n[ssh]\nhost = "b"\n')

    def hang(self, site: Site) -> None:
        assert site.name == "b"
        self.asked.set()
        assert self.freed.wait(WAIT_S)
        if self.problem is not None:
            raise self.problem

    def call(self, site: str) -> Call:
        file = self.directory / f"{site}.toml"
        head = f'sbx = 1\n[pipeline]\nname = "{site}"\nsite = "{site}"\n'
        file.write_text(head + '[modules.x]\nrun = ["true"]\nseed = ["1"]\n')
        return Call("run.submit", {"pipeline": str(file)}, lambda reply: None)

    def prepare(self, site: str) -> None:
        self.hands.carry_out(Prepare(self.call(site), frozenset()), {})

    def next(self) -> Told:
        return self.told.get(timeout=WAIT_S)


@pytest.fixture
def scene(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    made = Scene(home, tmp_path)

    def prepare(home: Home, stations: Stations, args: Any, *_: object) -> Prepared:
        pipeline: Any = None
        return Prepared(Path(args["pipeline"]).stem, pipeline, {}, {}, "", "", ())

    monkeypatch.setattr(hands_module, "prepare", prepare)
    monkeypatch.setattr(Stations, "open", lambda _, site: made.hang(site))
    yield made
    made.freed.set()
    made.hands.end(WAIT_S)


def test_a_run_elsewhere_is_prepared_meanwhile(scene: Scene) -> None:
    scene.prepare("b")
    assert scene.asked.wait(WAIT_S)
    scene.prepare("local")
    assert scene.next().data["prepared"].name == "local"
    scene.freed.set()
    assert scene.next().data["prepared"].name == "b"


def test_a_site_that_is_not_reached_is_the_answer(scene: Scene) -> None:
    scene.problem = SiteUnreachable("b: no way there")
    scene.freed.set()
    scene.prepare("b")
    told = scene.next()
    assert told.kind == "answer"
    assert "no way there" in str(told.data["reply"].body)


def test_a_run_is_cleared_here_while_its_site_hangs(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stations, "depot", lambda _, facts: scene.hang(facts.site))
    facts: Any = SimpleNamespace(site=Site("b"), is_remote=True)
    scene.hands.carry_out(Clear(1, "x-0001", sites=("b",)), {"b": facts})
    assert scene.asked.wait(WAIT_S)
    scene.prepare("local")
    assert scene.next().data["prepared"].name == "local"
    scene.problem = SiteUnreachable("b: no way there")
    scene.freed.set()
    assert scene.next().kind == "cleared", "what is left there is found later"


def test_a_resumed_run_waits_for_its_site_too(scene: Scene) -> None:
    scene.problem = SiteUnreachable("b: no way there")
    command = Compare(scene.call("b"), "b-0001", str(scene.directory), {}, ("b",), {}, {})
    scene.hands.carry_out(command, {})
    assert scene.asked.wait(WAIT_S)
    scene.prepare("local")
    assert scene.next().kind == "prepared"
    scene.freed.set()
    assert scene.next().kind == "answer"
