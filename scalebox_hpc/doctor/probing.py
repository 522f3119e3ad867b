"""Sends one element to a site to look around there, and reads what it found. Judges nothing.

It goes the way of a run: the agent's own file, `contact.json`, the batch system's own requests.
Where a daemon serves the site the element says hello to that; else to a listener that lives as
long as the probe, in a home of its own. Whatever happens, the element is cancelled and every
file removed.
"""

from __future__ import annotations

import datetime
import json
import secrets
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Final, Protocol

from scalebox_hpc.batch.base import BatchSystem
from scalebox_hpc.batch.local import LocalBatch
from scalebox_hpc.batch.slurm_api import slurm
from scalebox_hpc.client import Daemon as Client
from scalebox_hpc.daemon.contact import Contact
from scalebox_hpc.daemon.events import Call, Reply
from scalebox_hpc.daemon.home import Home, create, shared_path
from scalebox_hpc.daemon.keys import open_identity, open_keys
from scalebox_hpc.daemon.pace import Pace, user_state
from scalebox_hpc.daemon.server import Server, listen
from scalebox_hpc.disk import problem_with, write_whole
from scalebox_hpc.doctor.facts import HomeSeen, Probed, Probing
from scalebox_hpc.doctor.wishes import machine_of
from scalebox_hpc.domain.allocation import AllocationRequest, CancelTarget, ElementSeen, Launch, Phase
from scalebox_hpc.domain.site import Machine, Site
from scalebox_hpc.errors import SbxError, SubmitLimited

HERE, SEEN, FOUND = "here.json", "seen.json", "found.json"  # as the agent's `look` calls them
LOOK_S: Final = 0.25  # between two looks at the folder
LOOK_THERE_S: Final = 1.0  # where each is a command on a login node
FIRST_LOOK_S: Final = 3.0  # at the batch system
LOCAL_LOOK_S: Final = 1.0
ELEMENT_S: Final = 480.0  # below which Slurm is asked for no warning
ELEMENT_MIB: Final = 512
LAST_WORDS: Final = 3  # lines of the element's log


class Folder(Protocol):
    """The folder of a try, in which its element and the doctor leave each other files."""

    def read(self, name: str) -> dict[str, Any] | None:
        """A file of the element's; None until it is there."""

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """A file for the element."""

    def last_words(self) -> str:
        """The end of what its script printed."""


@dataclass(frozen=True, slots=True)
class Post:
    """Where an element finds its files, and whom it greets."""

    home: str  # the id that contact.json names
    shared: str  # the folder, as compute nodes see it
    name: str  # of the try
    daemon: bool  # the daemon that serves the home; else a listener of ours
    folder: Folder


class _FolderHere:
    """The folder of a try on this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, name: str) -> dict[str, Any] | None:
        """See Folder."""
        try:
            return dict(json.loads((self._path / name).read_text()))
        except FileNotFoundError:
            return None

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """See Folder."""
        write_whole(self._path / name, json.dumps(content), 0o600)

    def last_words(self) -> str:
        """See Folder."""
        try:
            return (self._path / "element-0.log").read_text(errors="replace")
        except OSError:
            return ""


class Answers:
    """The inbox of a listener: tells whoever says hello to leave, as a daemon tells a stray agent."""

    def put(self, item: Call, /) -> None:
        item.answer(Reply(200, {"do": "leave", "reason": "a probe"}))

    def qsize(self) -> int:
        return 0


def probe(site: Site, seen: HomeSeen, wanted: Probing) -> Probed:
    """Send the element and wait for its word. Raises SbxError where it could not be sent."""
    machine = machine_of(site, wanted.machine)
    take_a_turn(site)
    own = secrets.token_hex(8)  # not the home's: the daemon would cancel what it does not know
    with (
        terminations(),
        tempfile.TemporaryDirectory(prefix="sbx-doctor-") as files,
        _post(site, seen, name_of(own)) as post,
    ):
        batch = LocalBatch(Path(files), own) if site.batch == "local" else slurm(own, site.batch)
        return Wait(site, post, batch, wanted.wait_s).run(request_of(site, machine, post))


def name_of(own: str) -> str:
    """The name of the one try of a probe."""
    return f"sbx-doctor.{own}.0.1.1"


def take_a_turn(site: Site) -> None:
    """Count this submission among those of a minute. Raises SubmitLimited where there were too many."""
    most = site.limits.submissions_per_minute
    if site.batch != "local" and not Pace(user_state()).take(site.name, most, time.time_ns() / 1e9):
        raise SubmitLimited(
            f"you have submitted {most} times to {site.name} within a minute", "try again in a minute"
        )


def request_of(site: Site, machine: Machine, post: Post) -> AllocationRequest:
    """One small element; of a machine with GPUs it takes one, for their partitions may want that."""
    launch = Launch(post.home, post.shared, site.python, site.prologue, site.scratch, verb="probe")
    gpus = min(1, machine.gpus)
    return AllocationRequest(post.name, 1, 1, ELEMENT_MIB, gpus, ELEMENT_S, machine, launch)


@contextmanager
def terminations() -> Iterator[None]:
    """SIGTERM and SIGHUP end it as Ctrl-C does, so that nothing is left behind."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _post(site: Site, seen: HomeSeen, name: str) -> Iterator[Post]:
    """A place to be greeted at: the daemon's where one serves this site, else one of our own."""
    if seen.opened is not None and _serves(seen.opened, site):
        home = seen.opened
        shared = shared_path(home, site.shared)
        with _try_folder(shared, name, open_keys(home).join_token(name)) as folder:
            yield Post(home.id, str(shared), name, daemon=True, folder=folder)
        return
    with listener(site, Path(seen.path)) as (home, server):
        shared = Contact(home, server).open_shared(site)
        try:
            with _try_folder(shared, name, open_keys(home).join_token(name)) as folder:
                yield Post(home.id, str(shared), name, daemon=False, folder=folder)
        finally:
            shutil.rmtree(shared, ignore_errors=True)


def _serves(home: Home, site: Site) -> bool:
    """Whether a daemon answers for the home, and has told the agents of this site where it is."""
    if not (shared_path(home, site.shared) / "contact.json").exists():
        return False
    try:
        with Client.of_home(home.path) as client:
            client.daemon_status()
    except SbxError:
        return False
    return True


@contextmanager
def _try_folder(shared: Path, name: str, token: str) -> Iterator[Folder]:
    """The folder of the try, with its join token; removed in the end."""
    folder = shared / "tries" / name
    try:
        try:
            folder.mkdir(mode=0o700, parents=True)
            write_whole(folder / "token", token + "\n", 0o600)
        except OSError as error:
            remedy = "check `paths.shared` of the site and its quota"
            raise problem_with(folder, error, "write", remedy) from error
        yield _FolderHere(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def listener(site: Site, home_path: Path) -> Iterator[tuple[Home, Server]]:
    """A server as the daemon's, in a home of its own beside the real one.

    Agents of the real home never meet it: it has another certificate, and another port.
    """
    there = next(each for each in home_path.parents if each.exists())
    try:
        made = Path(tempfile.mkdtemp(prefix=".sbx-doctor-", dir=there))
    except OSError as error:
        raise problem_with(there, error, "make a directory in", "run sbx where you may write") from error
    try:
        home = create(made)
        identity = open_identity(home, datetime.datetime.now(datetime.UTC))
        server = Server(open_keys(home), identity, Answers(), lambda error: None)
        server.start(listen(None, site.ports if site.ssh is None else None))
        try:
            yield home, server
        finally:
            server.stop()
    finally:
        shutil.rmtree(made, ignore_errors=True)


class Wait:
    """Submits the element, and watches the folder and, seldom, the batch system."""

    def __init__(self, site: Site, post: Post, batch: BatchSystem, wait_s: float) -> None:
        self._folder, self._batch, self._wait_s = post.folder, batch, wait_s
        self._look_s = LOOK_S if site.ssh is None else LOOK_THERE_S
        self._interval_s = LOCAL_LOOK_S if site.batch == "local" else site.interval_s
        self._probed = Probed(via_daemon=post.daemon, shared=post.shared)
        self._element: ElementSeen | None = None
        self._never = threading.Event()  # never set: a way to let time pass

    def run(self, request: AllocationRequest) -> Probed:
        """Submit, wait, cancel. Raises SbxError where the batch system takes nothing."""
        target = CancelTarget(request.name, "")
        try:
            job_id = self._batch.submit(request)
            target = replace(target, job_id=job_id)
            self._probed = replace(self._probed, job_id=job_id)
            return self._watch(request.name)
        finally:
            with suppress(SbxError):
                self._batch.cancel([target])

    def _watch(self, name: str) -> Probed:
        began_s = time.monotonic()
        look_at_s, ended = began_s + FIRST_LOOK_S, False
        while (now_s := time.monotonic()) < began_s + self._wait_s:
            if self._probed.node == "" and (here := self._folder.read(HERE)) is not None:
                self._probed = replace(self._probed, node=here["node"], after_s=now_s - began_s)
                self._folder.write(SEEN, {"clock_s": time.time_ns() / 1e9})
            if (found := self._folder.read(FOUND)) is not None:
                return replace(self._probed, found=found)
            if ended:
                break
            if now_s >= look_at_s:
                ended, took_s = self._look(name)
                look_at_s = time.monotonic() + max(self._interval_s, 5 * took_s)
            self._never.wait(self._look_s)
        if self._element is None:
            self._look(name)
        return self._without_word(time.monotonic() - began_s)

    def _look(self, name: str) -> tuple[bool, float]:
        """Ask the batch system; whether the element has ended, and how long the answer took."""
        listing = self._batch.observe([name])
        seen = listing.tries.get(name)
        if seen is not None and seen.elements:
            self._element = next(iter(seen.elements.values()))
        return self._element is not None and self._element.phase is Phase.ENDED, listing.duration_s

    def _without_word(self, waited_s: float) -> Probed:
        """What is known of an element that told nothing."""
        element = self._element
        return replace(
            self._probed,
            waited_s=waited_s,
            state=element.native_state if element else "",
            reason=element.reason if element else "",
            ended=element is not None and element.phase is Phase.ENDED,
            last_words=self._last_words(),
        )

    def _last_words(self) -> str:
        lines = self._folder.last_words().splitlines()[-LAST_WORDS:]
        return "; ".join(line.strip() for line in lines if line.strip())
