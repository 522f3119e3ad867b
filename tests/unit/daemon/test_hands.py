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
from scalebox_hpc.daemon.desk import Clear, Compare, Prepare, Publish
from scalebox_hpc.daemon.events import Call, Told
from scalebox_hpc.daemon.hands import Hands
from scalebox_hpc.daemon.home import Home
from scalebox_hpc.daemon.keys import open_keys
from scalebox_hpc.daemon.premises import Premises
from scalebox_hpc.daemon.runs import Prepared
from scalebox_hpc.daemon.site_hand import Hand
from scalebox_hpc.daemon.stations import Stations
from scalebox_hpc.domain.site import Site
from scalebox_hpc.errors import SiteUnreachable

WAIT_S = 15.0


class Scene:
    """Hands whose site b hangs until `freed`, whatever is done there, and then does what `problem` says."""

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

    def call(self, site: str, name: str = "") -> Call:
        file = self.directory / f"{name or site}.toml"
        head = f'sbx = 1\n[pipeline]\nname = "{site}"\nsite = "{site}"\n'
        file.write_text(head + '[modules.x]\nrun = ["true"]\nseed = ["1"]\n')
        return Call("run.submit", {"pipeline": str(file)}, lambda reply: None)

    def prepare(self, site: str, name: str = "") -> None:
        self.hands.carry_out(Prepare(self.call(site, name), frozenset()), {})

    def next(self) -> Told:
        return self.told.get(timeout=WAIT_S)


@pytest.fixture
def scene(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    made = Scene(home, tmp_path)

    def prepare(home: Home, stations: Stations, args: Any, *_: object) -> Prepared:
        pipeline: Any = None
        name = Path(args["pipeline"]).stem
        if name.startswith("b"):
            made.hang(Site("b"))
        return Prepared(name, pipeline, {}, {}, "", "", ())

    monkeypatch.setattr(hands_module, "prepare", prepare)
    yield made
    made.freed.set()
    made.hands.end(WAIT_S)


def test_a_run_elsewhere_is_prepared_meanwhile(scene: Scene) -> None:
    scene.prepare("b")
    assert scene.asked.wait(WAIT_S)
    scene.prepare("local")
    assert scene.next().data["prepared"].name == "local"
    scene.hands.carry_out(Publish(str(scene.directory / "metrics"), "text"), {})
    assert scene.next().kind == "published"
    scene.freed.set()
    assert scene.next().data["prepared"].name == "b"


def test_runs_at_the_same_site_are_prepared_in_their_order(scene: Scene) -> None:
    for name in ("b2", "b1", "b3"):
        scene.prepare("b", name)
    scene.freed.set()
    assert [scene.next().data["prepared"].name for _ in range(3)] == ["b2", "b1", "b3"]


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


def test_a_resumed_run_waits_for_its_site_too(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stations, "open", lambda _, site: scene.hang(site))
    scene.problem = SiteUnreachable("b: no way there")
    command = Compare(scene.call("b"), "b-0001", str(scene.directory), {}, ("b",), {}, {})
    scene.hands.carry_out(command, {})
    assert scene.asked.wait(WAIT_S)
    scene.prepare("local")
    assert scene.next().kind == "prepared"
    scene.freed.set()
    assert scene.next().kind == "answer"


def test_at_the_end_no_hand_waits_for_another_to_be_let_go(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is asked to end is asked at once; all are waited for until one point in time."""
    steps: list[object] = []
    clock = iter((100.0, 100.0, 107.0, 131.0))
    scene.prepare("b")
    assert scene.asked.wait(WAIT_S)
    facts: Any = SimpleNamespace(site=Site("b"), is_remote=True)
    scene.hands.carry_out(Clear(1, "x-0001"), {"b": facts})
    assert scene.next().kind == "cleared"
    with monkeypatch.context() as patched:
        patched.setattr(hands_module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
        patched.setattr(Hand, "let_go", lambda self: steps.append("let go"))
        patched.setattr(Hand, "join", lambda self, timeout_s: steps.append(timeout_s))
        scene.hands.end(30.0)
    assert steps == ["let go"] * 2 + [30.0, 23.0]
