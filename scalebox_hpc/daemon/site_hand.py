"""The hands at one site: one speaks to its batch system, one reads and removes files that are remote.

They decide nothing. What goes wrong in a foreseen way is reported; anything else ends the daemon.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from scalebox_hpc.daemon import log as logs
from scalebox_hpc.daemon.desk import (
    AskWords,
    AtSite,
    Cancel,
    Connect,
    Disconnect,
    Fetch,
    Observe,
    ReadLog,
    Remove,
    SiteFacts,
    Submit,
)
from scalebox_hpc.daemon.events import Reply, Told
from scalebox_hpc.daemon.keys import Keys
from scalebox_hpc.daemon.meters import Acts
from scalebox_hpc.daemon.pace import Pace
from scalebox_hpc.daemon.reading import read_piece
from scalebox_hpc.daemon.refusal import refusal
from scalebox_hpc.daemon.stations import Stations
from scalebox_hpc.disk import problem_with
from scalebox_hpc.domain.allocation import Listing
from scalebox_hpc.errors import (
    EnvironmentProblem,
    Retry,
    SbxError,
    SubmitLimited,
    SubmitRefused,
    SubmitUnconfirmed,
)
from scalebox_hpc.sites.relay import LinkDown, LinkUp

Tell = Callable[[Told], None]
KINDS = ((SubmitRefused, "refused"), (SubmitLimited, "limited"), (SubmitUnconfirmed, "unconfirmed"))


class Hand:
    """A thread with a queue of jobs, done one after the other."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def do(self, job: Callable[[], None]) -> None:
        self._jobs.put(job)

    def let_go(self) -> None:
        """Let the hand end once it has finished what it was given."""
        self._jobs.put(None)

    def join(self, timeout_s: float) -> None:
        """Wait for that, for so long at most."""
        self._thread.join(timeout_s)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


@dataclass(frozen=True, slots=True)
class Means:
    """What all hands share."""

    stations: Stations
    keys: Keys
    tell: Tell
    acts: Acts
    pace: Pace


@dataclass(slots=True)
class SiteHand:
    """Carries out commands at one site."""

    name: str
    means: Means
    _batch: Hand = field(init=False)
    _files: Hand = field(init=False)

    def __post_init__(self) -> None:
        self._batch, self._files = Hand(f"site-{self.name}"), Hand(f"files-{self.name}")

    def carry_out(self, command: AtSite | Remove, facts: SiteFacts) -> None:
        """Hand a command to the thread that does it."""
        match command:
            case Submit():
                self._batch.do(lambda: self._submit(command, facts))
            case Observe():
                self._batch.do(lambda: self._observe(command, facts))
            case Cancel():
                self._batch.do(lambda: self._cancel(command, facts))
            case _:
                self._files.do(lambda: self._with_files(command, facts))

    def do(self, job: Callable[[], None]) -> None:
        """Do something with files there, in its turn."""
        self._files.do(job)

    def hands(self) -> tuple[Hand, Hand]:
        """Its threads."""
        return self._batch, self._files

    def _submit(self, command: Submit, facts: SiteFacts) -> None:
        name, site, means = command.request.name, command.site, self.means
        if not self._may_submit(command):
            why = f"your daemons together have submitted {command.most} times to {site} within a minute"
            means.tell(Told("failed", {"name": name, "site": site, "why": why}))
            return
        try:
            batch = means.stations.batch(facts)
            self._write_token(name, facts)
            with self._timed(site, "submit"):
                job_id = batch.submit(command.request)
        except SbxError as error:
            kind = next((word for kind, word in KINDS if isinstance(error, kind)), "failed")
            why = f"{error.fact}. {error.hint}" if error.hint else error.fact
            means.tell(Told(kind, {"name": name, "site": site, "why": why}))
        else:
            means.tell(Told("submitted", {"name": name, "site": site, "job_id": job_id}))

    @contextmanager
    def _timed(self, site: str, kind: str) -> Iterator[None]:
        """Count a call of the batch system."""
        began_s, well = time.monotonic(), False
        try:
            yield
            well = True
        finally:
            self.means.acts.note(site, kind, time.monotonic() - began_s, well=well)

    def _may_submit(self, command: Submit) -> bool:
        """Whether the site bears one more submission of this user's; nobody minds them on this machine."""
        return command.most is None or self.means.pace.take(command.site, command.most, time.time_ns() / 1e9)

    def _write_token(self, name: str, facts: SiteFacts) -> None:
        """Leave the try's own token where its agents find it, and no other."""
        depot, token = self.means.stations.depot(facts), self.means.keys.join_token(name)
        try:
            depot.write(f"tries/{name}/token", token + "\n")
        except OSError as error:
            path = Path(facts.launch.shared, "tries", name)
            raise problem_with(
                path, error, "write", "check `paths.shared` of the site and its quota"
            ) from error

    def _observe(self, command: Observe, facts: SiteFacts) -> None:
        stations = self.means.stations
        try:
            listing = stations.batch(facts).observe(command.expected)
            endings = stations.depot(facts).endings() if listing.complete or not facts.is_remote else []
        except EnvironmentProblem as error:
            listing, endings = Listing(complete=False, tries={}, duration_s=0.0, problem=error.fact), []
        self.means.acts.note(command.site, "observe", listing.duration_s, well=listing.complete)
        self.means.tell(Told("listing", {"site": command.site, "listing": listing, "endings": endings}))

    def _cancel(self, command: Cancel, facts: SiteFacts) -> None:
        try:
            batch = self.means.stations.batch(facts)
            with self._timed(command.site, "cancel"):
                batch.cancel(command.targets)
        except SbxError as error:
            names = tuple(target.name for target in command.targets)
            self.means.tell(Told("cancel failed", {"names": names, "why": error.fact}))

    def _with_files(self, command: Any, facts: SiteFacts) -> None:
        match command:
            case Connect():
                self._connect(facts)
            case Disconnect():
                self.means.stations.remote(facts.site).disconnect(stop=True)
            case Fetch():
                self._fetch(command, facts)
            case AskWords():
                self._ask_words(command, facts)
            case ReadLog():
                self._read_log(command, facts)
            case Remove():
                self._remove(command, facts)

    def _connect(self, facts: SiteFacts) -> None:
        """Have the link kept up; where it cannot even be begun, say when to try again."""
        try:
            self.means.stations.connect(facts.site, self._tell_link)
        except EnvironmentProblem as error:
            data = {"site": self.name, "up": False, "why": error.fact, "todo": error.hint, "begun": False}
            self.means.tell(Told("link", {**data, "hopeless": error.retry is Retry.NEVER}))
            return
        self._tell_leftovers(facts)

    def _tell_link(self, news: LinkUp | LinkDown) -> None:
        match news:
            case LinkUp():
                data = {"up": True, "why": "", "todo": "", "host": news.host}
            case LinkDown():
                data = {"up": False, "why": news.why, "todo": news.todo}
        self.means.tell(Told("link", {"site": self.name, "begun": True, **data}))

    def _tell_leftovers(self, facts: SiteFacts) -> None:
        """See what was not removed there because the site could not be reached."""
        try:
            depot = self.means.stations.depot(facts)
            data = {"site": self.name, "folders": depot.run_folders(), "endings": depot.endings()}
        except (EnvironmentProblem, OSError) as error:
            self._tell_failed("look for leftovers", error)
        else:
            self.means.tell(Told("leftovers", data))

    def _fetch(self, command: Fetch, facts: SiteFacts) -> None:
        lines = None
        try:
            lines = self.means.stations.depot(facts).spool(command.incarnation)
        except (EnvironmentProblem, OSError) as error:
            self._tell_failed("read a spool", error)
        self.means.tell(Told("fetched", {"incarnation": command.incarnation, "lines": lines}))

    def _ask_words(self, command: AskWords, facts: SiteFacts) -> None:
        try:
            words = self.means.stations.depot(facts).last_words(command.try_name, command.element)
        except (EnvironmentProblem, OSError) as error:
            self._tell_failed("read what an element printed", error)
        else:
            self.means.tell(Told("words", {"pool_id": command.pool_id, "words": words}))

    def _read_log(self, command: ReadLog, facts: SiteFacts) -> None:
        try:
            reply = Reply(200, read_piece(self.means.stations.depot(facts), command.asked))
        except SbxError as error:
            reply = refusal(error)
        except OSError as error:
            reply = refusal(problem_with(Path(facts.launch.shared), error, "read a log in", "try again"))
        self.means.tell(Told("answer", {"call": command.call, "reply": reply}))

    def _remove(self, command: Remove, facts: SiteFacts) -> None:
        try:
            self.means.stations.depot(facts).remove([command.path])
        except (EnvironmentProblem, OSError) as error:  # looked for again when the link is up
            self._tell_failed(f"remove {command.path}", error)

    def _tell_failed(self, what: str, error: Exception) -> None:
        logs.tell("site.failed", logging.WARNING, site=self.name, what=what, why=error)
