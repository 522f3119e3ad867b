"""Makes sure of the images of a run before it is accepted, in threads of its own.

A request waits for them a moment only: fetching may take minutes, and whoever asks is told to come
again. What was begun goes on meanwhile. How an image is fetched is the store's affair.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from scalebox_hpc.config.notes import read_toml
from scalebox_hpc.containers.images import ImageStore
from scalebox_hpc.containers.runtime import SpythonRuntime
from scalebox_hpc.containers.store import REMEDY, directory_for
from scalebox_hpc.daemon.desk import SiteFacts
from scalebox_hpc.disk import problem_with
from scalebox_hpc.domain.image import Image
from scalebox_hpc.domain.pipeline import Module, Pipeline, with_image
from scalebox_hpc.errors import EnvironmentProblem, ImageMissing, ImageProblem, ImagesPending, SbxError
from scalebox_hpc.relay.folder import Parcel
from scalebox_hpc.sites.depot import Depot

WAIT_S: Final = 2.0  # for which a request waits before it is told to come again
FRESH_S: Final = 30.0  # for which a result is kept for whoever comes again
AT_ONCE: Final = 2  # images fetched at once, or put at one site: registries count, and login nodes are shared


@dataclass(frozen=True, slots=True)
class There:
    """The image store of a remote site."""

    site: str
    depot: Depot
    folder: str  # absolute


@dataclass(frozen=True, slots=True)
class Wanted:
    """An image that a module of a run needs."""

    directory: Path  # of the store
    text: str
    base: Path  # where relative paths start
    runtime: str = ""  # what the site names, for making it
    there: There | None = None  # where it goes, of a remote site


Fetch = Callable[[Wanted], Image]
Put = Callable[[Image, There], Image]


def fetch(wanted: Wanted) -> Image:
    """Make sure of one image on this machine. Raises errors of ours."""
    return ImageStore(wanted.directory, SpythonRuntime(wanted.runtime)).ensure(wanted.text, wanted.base)


def put(image: Image, there: There) -> Image:
    """Put an image into the store of a remote site, once by digest; return it as it is there."""
    source = Path(image.path)
    if image.kind == "sandbox":
        raise ImageProblem(
            f"{image.path} is a directory, and site {there.site} is remote",
            "make a file of it: `sbx image build`",
        )
    target = f"{there.folder}/{source.name}"
    digest = image.digest.removeprefix("sha256:")
    try:
        there.depot.put([(source, Parcel(target, digest, source.stat().st_size, 0o444))])
    except OSError as error:
        raise problem_with(Path(target), error, f"write at site {there.site}", REMEDY) from error
    return replace(image, path=target)


@dataclass(slots=True)
class _Flight:
    result: Future[Image] = field(default_factory=Future)
    ended_s: float | None = None

    def is_of_use(self, now_s: float) -> bool:
        """Under way, or over since a moment."""
        return self.ended_s is None or now_s - self.ended_s < FRESH_S


@dataclass(frozen=True, slots=True)
class Ways:
    """How images get to remote sites."""

    store: Path  # where they are made, on this machine
    depot: Callable[[SiteFacts], Depot]  # where they go


class Fetching:
    """All images that are being fetched for this daemon. May be used by several hands at once."""

    def __init__(
        self, fetch: Fetch = fetch, wait_s: float = WAIT_S, ways: Ways | None = None, put: Put = put
    ) -> None:
        self._fetch, self._put, self._wait_s, self.ways = fetch, put, wait_s, ways
        self._lock = threading.Lock()  # of what follows
        self._flights: dict[Wanted, _Flight] = {}
        self._rooms: dict[str, threading.BoundedSemaphore] = {}  # by site; "": on this machine

    def all_of(self, wanted: Iterable[Wanted]) -> dict[Wanted, Image | SbxError]:
        """The images, or what is wrong with each. Raises ImagesPending while one is being fetched."""
        now_s = time.monotonic()
        with self._lock:
            self._flights = {key: each for key, each in self._flights.items() if each.is_of_use(now_s)}
            flights = {each: self._flight(each) for each in wanted}
        missing = wait([flight.result for flight in flights.values()], self._wait_s).not_done
        if missing:
            raise ImagesPending([key.text for key, each in flights.items() if each.result in missing])
        with self._lock:
            for key, flight in flights.items():
                if self._flights.get(key) is flight:  # else somebody had this one, and begins another
                    del self._flights[key]
        return {key: _outcome(flight.result) for key, flight in flights.items()}

    def _room(self, site: str) -> threading.BoundedSemaphore:
        with self._lock:
            return self._rooms.setdefault(site, threading.BoundedSemaphore(AT_ONCE))

    def _flight(self, wanted: Wanted) -> _Flight:
        if wanted not in self._flights:
            self._flights[wanted] = flight = _Flight()
            work = threading.Thread(target=self._fly, args=(wanted, flight), name="image", daemon=True)
            work.start()
        return self._flights[wanted]

    def _fly(self, wanted: Wanted, flight: _Flight) -> None:
        try:
            with self._room(""):
                image = self._fetch(wanted)
            if (there := wanted.there) is not None:
                with self._room(there.site):
                    image = self._put(image, there)
        except BaseException as error:  # noqa: BLE001 (raised again by whoever asks for the result)
            flight.ended_s = time.monotonic()
            flight.result.set_exception(error)
        else:
            flight.ended_s = time.monotonic()
            flight.result.set_result(image)


def _outcome(result: Future[Image]) -> Image | SbxError:
    try:
        return result.result()
    except SbxError as error:
        return error


def with_images(pipeline: Pipeline, sites: Mapping[str, SiteFacts], fetching: Fetching) -> Pipeline:
    """The pipeline with every image made sure of.

    Raises PipelineErrors that tells of every image that cannot be used, EnvironmentProblem where only the
    surroundings are to blame, ImagesPending.
    """
    wanted = _wanted(pipeline, sites, fetching.ways)
    found = fetching.all_of(wanted.values())
    outcomes = {key: found[each] for key, each in wanted.items()}
    wrong = {name: outcome for (name, _), outcome in outcomes.items() if isinstance(outcome, SbxError)}
    if wrong:
        _raise_all(Path(pipeline.file), wrong)
    images: dict[str, dict[str, Image]] = {}
    for (name, site), outcome in outcomes.items():
        if isinstance(outcome, Image):
            images.setdefault(name, {})[site] = outcome
    modules = {name: _with(module, images.get(name, {})) for name, module in pipeline.modules.items()}
    return replace(pipeline, modules=modules)


def _with(module: Module, images: Mapping[str, Image]) -> Module:
    """The module with its image at each of its sites; what it is, that of the first says."""
    if not images:
        return module
    (_, first), *others = images.items()
    return replace(with_image(module, first), stored_at={site: image.path for site, image in others})


def _wanted(
    pipeline: Pipeline, sites: Mapping[str, SiteFacts], ways: Ways | None
) -> dict[tuple[str, str], Wanted]:
    """By module and site, of modules that have an image, in the order of their sites."""
    wanted = {}
    for module in pipeline.modules.values():
        at = [sites[site] for site in pipeline.sites_of(module) if site in sites]
        here = next((facts for facts in at if not facts.is_remote), None)
        for facts in at if module.image is not None else ():
            of = _wanted_at(facts, here, f"{module.image}", Path(pipeline.directory), ways)
            wanted[module.name, facts.site.name] = of
    return wanted


def _wanted_at(facts: SiteFacts, here: SiteFacts | None, text: str, base: Path, ways: Ways | None) -> Wanted:
    """What a site needs. What goes to a remote one is that of a site `here`, so that both have the same."""
    if not facts.is_remote:
        directory = directory_for(facts.site.images, Path(facts.launch.shared))
        return Wanted(directory, text, base, facts.site.containers.runtime)
    assert ways is not None, "who asks for a remote site knows a way to it"
    there = There(facts.site.name, ways.depot(facts), f"{facts.site.images}")
    made = Wanted(ways.store, text, base) if here is None else _wanted_at(here, here, text, base, ways)
    return replace(made, there=there)


def _raise_all(file: Path, wrong: Mapping[str, SbxError]) -> None:
    data, notes = read_toml(file)
    for name, error in wrong.items():
        own = data.get("modules", {}).get(name, {})
        path = ("modules", name) if "image" in own or "use" in own else ("defaults",)
        notes.problem((*path, "image"), error.fact, error.hint)
    if all(isinstance(error, EnvironmentProblem) for error in wrong.values()):
        raise EnvironmentProblem("\n".join(str(problem) for problem in notes.problems))
    notes.raise_problems()


def changed_images(
    now: Pipeline, recorded: Mapping[str, Image], sites: Mapping[str, SiteFacts], fetching: Fetching
) -> dict[str, tuple[Module, str]]:
    """Modules of `now` with their images as they are now, and what became of an image; "" for nothing.

    A run older than the store has no images on record: there its modules count as they are written.
    Raises ImagesPending.
    """
    wanted = _wanted(now, sites, fetching.ways)
    found = fetching.all_of(wanted.values())
    result: dict[str, tuple[Module, str]] = {}
    for name, module in now.modules.items():
        key = (name, now.sites_of(module)[0])
        outcome = found[wanted[key]] if key in wanted else None
        if isinstance(outcome, SbxError):
            result[name] = module, f"its image cannot be used: {outcome.fact}"
        elif outcome is not None and (before := recorded.get(name)) is not None:
            other = before.digest != outcome.digest
            result[name] = (
                with_image(module, outcome),
                f"its image changed ({outcome.source})" if other else "",
            )
        else:
            result[name] = module, ""
    return result


def must_be_there(recorded: Mapping[str, Image]) -> None:
    """Raise ImageMissing where an image that a run began with is gone."""
    for name, image in recorded.items():
        if not Path(image.path).exists():
            raise ImageMissing(
                f"the image {image.path} of module {name} is gone",
                f"put it back ({image.digest} of {image.source}), or start a new run",
            )
