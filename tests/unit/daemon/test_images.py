"""Images of a run: all of them at once, each problem at its place, and nobody kept waiting for long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scalebox_hpc.config.pipeline import load
from scalebox_hpc.daemon import images
from scalebox_hpc.daemon.desk import SiteFacts
from scalebox_hpc.daemon.images import (
    AT_ONCE,
    Fetching,
    There,
    Wanted,
    Ways,
    changed_images,
    fetch,
    must_be_there,
    with_images,
)
from scalebox_hpc.daemon.sheets import sheet_of
from scalebox_hpc.domain.allocation import Launch
from scalebox_hpc.domain.image import Image
from scalebox_hpc.domain.pipeline import Pipeline, from_json, to_json
from scalebox_hpc.domain.site import Machine, Site, Ssh
from scalebox_hpc.errors import (
    EnvironmentProblem,
    ImageCorrupt,
    ImageMissing,
    ImagesPending,
    PipelineErrors,
    RegistryUnreachable,
    SbxError,
)
from scalebox_hpc.sites.depot import LocalDepot
from tests.unit.containers import made

SITE = Site("local", "local", machines={"cpu": Machine("cpu", cpus=2, memory_mib=4096)})
TOML = """sbx = 1
[pipeline]
name = "demo"

[defaults]
image = "docker://r/base:1"

[modules.first]
run = ["echo", "{body}"]
seed = ["1"]
to = ["second"]

[modules.second]
image = "docker://r/other:1"
run = ["echo", "{body}"]
"""


def fetched(wanted: Wanted, content: str = "a") -> Image:
    return Image(f"/store/{content}", f"sha256:{content * 64}", "sif", "amd64", wanted.text)


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    (tmp_path / "pipeline.toml").write_text(TOML)
    return load(tmp_path / "pipeline.toml", sites={"local": SITE}).pipeline


def sites(tmp_path: Path) -> dict[str, SiteFacts]:
    return {"local": SiteFacts(SITE, Launch("0" * 16, str(tmp_path / "shared"), "python3", (), None))}


def test_a_module_keeps_what_its_image_was(pipeline: Pipeline, tmp_path: Path) -> None:
    made = with_images(pipeline, sites(tmp_path), Fetching(fetched))
    first = made.modules["first"]
    assert first.stored == Image("/store/a", "sha256:" + "a" * 64, "sif", "amd64", "docker://r/base:1")
    assert first.digest != pipeline.modules["first"].digest
    assert from_json(to_json(made)) == made
    other = with_images(pipeline, sites(tmp_path), Fetching(lambda wanted: fetched(wanted, "b")))
    assert other.modules["first"].digest != first.digest


def test_images_are_kept_beside_what_is_shared(pipeline: Pipeline, tmp_path: Path) -> None:
    asked: set[Wanted] = set()
    with_images(pipeline, sites(tmp_path), Fetching(lambda wanted: (asked.add(wanted), fetched(wanted))[1]))
    base = Path(pipeline.directory)
    store = tmp_path / "shared" / "images"
    assert asked == {Wanted(store, "docker://r/base:1", base), Wanted(store, "docker://r/other:1", base)}


def test_every_problem_is_told_at_once_and_at_its_place(pipeline: Pipeline, tmp_path: Path) -> None:
    def refuse(wanted: Wanted) -> Image:
        if "base" in wanted.text:
            raise RegistryUnreachable(f"the registry of {wanted.text} is away", "wait")
        raise ImageCorrupt(f"{wanted.text} is damaged", "pull it again")

    with pytest.raises(PipelineErrors) as refused:
        with_images(pipeline, sites(tmp_path), Fetching(refuse))
    told = [(each.key, each.line, each.problem, each.remedy) for each in refused.value.problems]
    assert told == [
        ("defaults.image", 6, "the registry of docker://r/base:1 is away", "wait"),
        ("modules.second.image", 14, "docker://r/other:1 is damaged", "pull it again"),
    ]


def test_where_only_the_surroundings_are_to_blame_the_error_says_so(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    def refuse(wanted: Wanted) -> Image:
        raise RegistryUnreachable(f"the registry of {wanted.text} is away", "wait")

    with pytest.raises(EnvironmentProblem, match=r"pipeline\.toml:14: modules\.second\.image: the registry"):
        with_images(pipeline, sites(tmp_path), Fetching(refuse))


def test_who_asks_is_told_to_come_again_while_it_is_fetched() -> None:
    go, calls = threading.Event(), []

    def slow(wanted: Wanted) -> Image:
        calls.append(wanted)
        assert go.wait(30)
        return fetched(wanted)

    fetching = Fetching(slow, wait_s=0.01)
    wanted = Wanted(Path("/store"), "docker://r/base:1", Path("/"))
    for _ in range(3):
        with pytest.raises(ImagesPending, match=r"docker://r/base:1") as told:
            fetching.all_of([wanted])
        assert told.value.images == ("docker://r/base:1",)
    go.set()
    patient = Fetching(slow)
    assert patient.all_of([wanted])[wanted] == fetched(wanted)
    assert len(calls) == 2, "one flight for each daemon, however often it was asked"


def test_an_error_is_told_once_and_then_tried_again() -> None:
    wrong: list[SbxError] = [ImageCorrupt("it is damaged")]

    def mended(wanted: Wanted) -> Image:
        if wrong:
            raise wrong.pop()
        return fetched(wanted)

    fetching = Fetching(mended)
    wanted = Wanted(Path("/store"), "x.sif", Path("/"))
    assert isinstance(fetching.all_of([wanted])[wanted], ImageCorrupt)
    assert isinstance(fetching.all_of([wanted])[wanted], Image)


def test_a_bug_in_fetching_is_not_softened() -> None:
    def broken(_: Wanted) -> Image:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Fetching(broken).all_of([Wanted(Path("/store"), "x.sif", Path("/"))])


def test_a_changed_image_is_a_changed_module(pipeline: Pipeline, tmp_path: Path) -> None:
    before = with_images(pipeline, sites(tmp_path), Fetching(fetched))
    recorded = {name: module.stored for name, module in before.modules.items() if module.stored is not None}

    def now(wanted: Wanted) -> Image:
        return fetched(wanted, "b" if "other" in wanted.text else "a")

    found = changed_images(pipeline, recorded, sites(tmp_path), Fetching(now))
    assert found["first"] == (before.modules["first"], "")
    assert found["second"][0].digest != before.modules["second"].digest
    assert found["second"][1] == "its image changed (docker://r/other:1)"


def test_an_image_that_is_gone_is_named(tmp_path: Path) -> None:
    there = tmp_path / "there.sif"
    there.touch()
    must_be_there({"count": Image(str(there), "", "sif")})
    gone = Image(str(tmp_path / "gone.sif"), "sha256:1", "sif", source="tools.sif")
    with pytest.raises(ImageMissing, match=r"gone\.sif of module count is gone") as refused:
        must_be_there({"count": gone})
    assert "tools.sif" in refused.value.hint


def test_an_image_for_a_remote_site_is_made_here_and_put_there_once(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(made.fake_runtime(tmp_path / "bin", made.sif())), prepend=":")
    there = LocalDepot(str(tmp_path / "b"))
    site = Site("local", images=str(tmp_path / "b" / "images"), machines=SITE.machines, ssh=Ssh("b"))
    facts = {"local": SiteFacts(site, Launch("0" * 16, there.path, "python3"))}
    ways = Ways(tmp_path / "store", lambda _: there)
    for _ in range(2):
        image = with_images(pipeline, facts, Fetching(fetch, ways=ways)).modules["first"].stored
    assert image is not None
    assert Path(image.path).parent == tmp_path / "b" / "images"
    assert Path(image.path).read_bytes() == made.sif()
    assert image.digest.removeprefix("sha256:") in image.path
    assert [path.name for path in (tmp_path / "b" / "images").iterdir()] == [Path(image.path).name]


def test_a_directory_is_no_image_for_a_remote_site(pipeline: Pipeline, tmp_path: Path) -> None:
    site = Site("local", images="/images", machines=SITE.machines, ssh=Ssh("b"))
    facts = {"local": SiteFacts(site, Launch("0" * 16, "/shared", "python3"))}
    (tmp_path / "tree" / "bin").mkdir(parents=True)
    (tmp_path / "tree" / "bin" / "sh").write_bytes(made.elf())
    (tmp_path / "pipeline.toml").write_text(
        TOML.replace("docker://r/base:1", "tree").replace("docker://r/other:1", "tree")
    )
    local = load(tmp_path / "pipeline.toml", sites={"local": site}).pipeline
    ways = Ways(tmp_path / "store", lambda _: LocalDepot(str(tmp_path / "b")))
    with pytest.raises(PipelineErrors, match="is a directory, and site local is remote") as refused:
        with_images(local, facts, Fetching(fetch, ways=ways))
    assert "sbx image build" in refused.value.problems[0].remedy


def test_a_module_with_several_sites_has_the_same_image_at_each(pipeline: Pipeline, tmp_path: Path) -> None:
    toml = TOML.replace("[modules.first]\n", '[modules.first]\nsite = ["local", "far"]\n')
    (tmp_path / "pipeline.toml").write_text(toml)
    far = Site("far", images="/far/images", ssh=Ssh("far"))
    several = load(tmp_path / "pipeline.toml", sites={"local": SITE, "far": far}).pipeline
    facts = {**sites(tmp_path), "far": SiteFacts(far, Launch("0" * 16, "/far/shared", "python3"))}
    asked: list[Wanted] = []

    def note(wanted: Wanted) -> Image:
        asked.append(wanted)
        return fetched(wanted)

    def put(image: Image, there: There) -> Image:
        return replace(image, path=f"{there.folder}/a")

    ways = Ways(tmp_path / "store", lambda _: LocalDepot(str(tmp_path / "b")))
    first = with_images(several, facts, Fetching(note, ways=ways, put=put)).modules["first"]
    assert first.stored == fetched(asked[0])
    assert first.stored_at == {"far": "/far/images/a"}
    assert {each.directory for each in asked} == {tmp_path / "shared" / "images"}, "one image, made once"
    told = {
        name: sheet_of(several, first, each, "/home")["container"]["image"] for name, each in facts.items()
    }
    assert told == {"local": "/store/a", "far": "/far/images/a"}


def test_images_on_their_way_to_a_site_that_hangs_keep_no_other_from_being_fetched(tmp_path: Path) -> None:
    go, begun = threading.Event(), threading.Semaphore(0)
    depot = LocalDepot(str(tmp_path))

    def put(image: Image, there: There) -> Image:
        if there.site == "b":
            begun.release()
            assert go.wait(15.0)
        return image

    def wanted(name: str, site: str) -> Wanted:
        return Wanted(tmp_path, name, tmp_path, there=There(site, depot, "/i"))

    fetching = Fetching(fetched, wait_s=0.01, put=put)
    with pytest.raises(ImagesPending):
        fetching.all_of([wanted(f"{number}.sif", "b") for number in range(AT_ONCE + 1)])
    for _ in range(AT_ONCE):
        assert begun.acquire(timeout=15.0)
    fetching._wait_s = 15.0
    others = [Wanted(tmp_path, "here.sif", tmp_path), wanted("there.sif", "c")]
    assert set(fetching.all_of(others).values()) == {fetched(each) for each in others}
    assert not begun.acquire(blocking=False), "no more than some at one site"
    go.set()


def test_two_hands_that_wait_for_one_image_both_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, both, real = threading.Event(), threading.Barrier(2, action=lambda: go.set()), images.wait
    calls = []

    def slow(wanted: Wanted) -> Image:
        calls.append(wanted)
        assert go.wait(15.0)
        return fetched(wanted)

    def wait(*args: Any) -> Any:
        both.wait(15.0)
        return real(*args)

    monkeypatch.setattr(images, "wait", wait)
    fetching, wanted = Fetching(slow, wait_s=15.0), Wanted(tmp_path, "x.sif", tmp_path)
    ask: Callable[[object], object] = lambda _: fetching.all_of([wanted])  # noqa: E731
    with ThreadPoolExecutor(2) as hands:
        found = list(hands.map(ask, range(2)))
    assert found == [{wanted: fetched(wanted)}] * 2
    assert len(calls) == 1
