"""The hands: threads that act on the world and report back as events.

One hand per site speaks to its batch system; one reads and ships the files of new runs. They
decide nothing. What goes wrong in a foreseen way is reported; anything else ends the daemon.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from scalebox_hpc.batch.base import BatchSystem
from scalebox_hpc.batch.local import LocalBatch
from scalebox_hpc.batch.slurm_api import slurm
from scalebox_hpc.daemon import log as logs
from scalebox_hpc.daemon.allocating import machine_of_site, request_for
from scalebox_hpc.daemon.clearing import Folders, clear, measured, sweep
from scalebox_hpc.daemon.desk import (
    Cancel,
    Clear,
    Command,
    Compare,
    Measure,
    Observe,
    Prepare,
    Publish,
    Remove,
    SiteFacts,
    Submit,
    Sweep,
)
from scalebox_hpc.daemon.events import Reply, Told
from scalebox_hpc.daemon.images import Fetching
from scalebox_hpc.daemon.leftovers import read_endings, remove, run_folders
from scalebox_hpc.daemon.meters import Acts
from scalebox_hpc.daemon.pace import Pace, user_state
from scalebox_hpc.daemon.premises import Premises
from scalebox_hpc.daemon.prepare import compare, prepare, read_sites
from scalebox_hpc.daemon.refusal import refusal
from scalebox_hpc.disk import problem_with, write_whole
from scalebox_hpc.domain.allocation import AllocationRequest
from scalebox_hpc.domain.pipeline import Pipeline, Pool
from scalebox_hpc.engine import pools
from scalebox_hpc.errors import (
    SbxError,
    SubmitLimited,
    SubmitRefused,
    SubmitUnconfirmed,
    UsageError,
)

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

    def end(self, timeout_s: float) -> None:
        """Let the hand finish what it was given, for so long at most."""
        self._jobs.put(None)
        self._thread.join(timeout_s)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


class Hands:
    """Carries out commands."""

    def __init__(self, premises: Premises, tell: Tell, acts: Acts) -> None:
        self._premises, self._tell = premises, tell
        self._files = Hand("files")
        self._fetching = Fetching()
        self._sites: dict[str, Hand] = {}
        self._batches: dict[str, BatchSystem] = {}
        self._pace = Pace(user_state())
        self._acts = acts

    def carry_out(self, command: Command, sites: dict[str, SiteFacts]) -> None:
        """Hand a command to whoever does it."""
        match command:
            case Submit():
                batch = self._batch(sites[command.site])
                self._site(command.site).do(lambda: self._submit(batch, command))
            case Observe():
                batch = self._batch(sites[command.site])
                shared = sites[command.site].launch.shared
                self._site(command.site).do(lambda: self._observe(batch, command, shared))
            case Cancel():
                batch = self._batch(sites[command.site])
                self._site(command.site).do(lambda: self._cancel(batch, command))
            case _:
                self._files.do(lambda: self._with_files(command))

    def _with_files(self, command: Prepare | Compare | Remove | Publish | Clear | Measure | Sweep) -> None:
        match command:
            case Prepare():
                self._prepare(command)
            case Compare():
                self._compare(command)
            case Remove():
                remove(command.path)
            case Publish():
                self._publish(command)
            case Clear():
                self._clear(command)
            case Measure():
                self._measure(command)
            case Sweep():
                self._sweep(command)

    def look_for_leftovers(self) -> None:
        """See what a daemon that was killed did not come to remove."""
        self._files.do(self._tell_leftovers)

    def end(self, timeout_s: float) -> None:
        """Finish what was begun."""
        for hand in (*self._sites.values(), self._files):
            hand.end(timeout_s)

    def _site(self, name: str) -> Hand:
        if name not in self._sites:
            self._sites[name] = Hand(f"site-{name}")
        return self._sites[name]

    def _batch(self, facts: SiteFacts) -> BatchSystem:
        kind = facts.site.batch
        if kind not in self._batches:
            home = self._premises.home
            self._batches[kind] = LocalBatch(home.path, home.id) if kind == "local" else slurm(home.id, kind)
        return self._batches[kind]

    def _submit(self, batch: BatchSystem, command: Submit) -> None:
        name, site = command.request.name, command.site
        if not self._may_submit(command):
            why = f"your daemons together have submitted {command.most} times to {site} within a minute"
            self._tell(Told("failed", {"name": name, "site": site, "why": why}))
            return
        try:
            self._write_token(command)
            with self._timed(site, "submit"):
                job_id = batch.submit(command.request)
        except SbxError as error:
            kind = next((word for kind, word in KINDS if isinstance(error, kind)), "failed")
            why = f"{error.fact}. {error.hint}" if error.hint else error.fact
            self._tell(Told(kind, {"name": name, "site": site, "why": why}))
        else:
            self._tell(Told("submitted", {"name": name, "site": site, "job_id": job_id}))

    @contextmanager
    def _timed(self, site: str, kind: str) -> Iterator[None]:
        """Count a call of the batch system."""
        began_s, well = time.monotonic(), False
        try:
            yield
            well = True
        finally:
            self._acts.note(site, kind, time.monotonic() - began_s, well=well)

    def _may_submit(self, command: Submit) -> bool:
        """Whether the site bears one more submission of this user's; nobody minds them on this machine."""
        return command.most is None or self._pace.take(command.site, command.most, time.time_ns() / 1e9)

    def _write_token(self, command: Submit) -> None:
        folder = Path(command.request.launch.shared) / "tries" / command.request.name
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(folder / "token", self._premises.keys.join_token(command.request.name) + "\n", 0o600)
        except OSError as error:
            raise problem_with(
                folder, error, "write", "check `paths.shared` of the site and its quota"
            ) from error

    def _observe(self, batch: BatchSystem, command: Observe, shared: str) -> None:
        listing = batch.observe(command.expected)
        self._acts.note(command.site, "observe", listing.duration_s, well=listing.complete)
        data = {"site": command.site, "listing": listing, "endings": read_endings(shared)}
        self._tell(Told("listing", data))

    def _folders(self) -> Folders:
        return Folders(self._premises.home.path, tuple(self._premises.contact.shared_folders()))

    def _clear(self, command: Clear) -> None:
        clear(self._folders(), command)
        self._tell(Told("cleared", {"order": command}))

    def _measure(self, command: Measure) -> None:
        self._tell(
            Told("answer", {"call": command.call, "reply": Reply(200, measured(self._folders(), command))})
        )

    def _publish(self, command: Publish) -> None:
        try:
            write_whole(Path(command.path), command.text, 0o644)
        except OSError as error:
            logs.tell("metrics.failed", logging.WARNING, path=command.path, why=error)
        self._tell(Told("published"))

    def _sweep(self, command: Sweep) -> None:
        if gone := sweep(self._folders(), command.before_s, command.spare):
            logs.tell("logs.swept", gone=gone)

    def _tell_leftovers(self) -> None:
        shared = [str(path) for path in self._premises.contact.shared_folders()]
        folders = [folder for each in shared for folder in run_folders(each)]
        endings = [ending for each in shared for ending in read_endings(each)]
        if folders or endings:
            self._tell(Told("leftovers", {"folders": folders, "endings": endings}))

    def _cancel(self, batch: BatchSystem, command: Cancel) -> None:
        try:
            with self._timed(command.site, "cancel"):
                batch.cancel(command.targets)
        except SbxError as error:
            names = tuple(target.name for target in command.targets)
            self._tell(Told("cancel failed", {"names": names, "why": error.fact}))

    def _prepare(self, command: Prepare) -> None:
        home, contact = self._premises.home, self._premises.contact
        try:
            prepared = prepare(home, contact, command.call.args, self._verify, self._fetching, command.taken)
        except SbxError as error:
            self._answer_error(command.call, error)
        else:
            sites = {name: self._with_limits(facts) for name, facts in prepared.sites.items()}
            prepared = dataclasses.replace(prepared, sites=sites)
            self._tell(Told("prepared", {"call": command.call, "prepared": prepared}))

    def _with_limits(self, facts: SiteFacts) -> SiteFacts:
        """Add what the batch system says of itself."""
        limit = self._batch(facts).array_limit
        return facts if limit is None else dataclasses.replace(facts, array_limit=limit)

    def _compare(self, command: Compare) -> None:
        args = {**command.call.args, **command.again}
        try:
            found = read_sites(self._premises.home, self._premises.contact, command.pipeline, command.sites)
            compare(command, args, found, self._fetching)
        except SbxError as error:
            self._answer_error(command.call, error)
        else:
            sites = {name: self._with_limits(facts) for name, facts in found.items()}
            self._tell(Told("compared", {"call": command.call, "sites": sites}))

    def _answer_error(self, call: Any, error: SbxError) -> None:
        self._tell(Told("answer", {"call": call, "reply": refusal(error)}))

    def _verify(self, facts: SiteFacts, pipeline: Pipeline) -> None:
        """Try the first request of each pool at the batch system, asking for nothing."""
        batch = self._batch(facts)
        for pool in pipeline.pools.values():
            if pool.site == facts.site.name:
                request = self._first_request(facts, pipeline, pool)
                batch.verify(request)

    def _first_request(self, facts: SiteFacts, pipeline: Pipeline, pool: Pool) -> AllocationRequest:
        """What a pool would ask for first. Raises UsageError where a task fits in no element."""
        machine = machine_of_site(facts.site, pool.machine)
        members = [module for module in pipeline.modules.values() if module.pool == pool.name]
        works = tuple(pools.ModuleWork(module.name, module.taken, 1) for module in members)
        ranks = members[0].ranks if members else None
        asked = pools.PoolFacts(pool.name, pool.slots, pool.walltime_s, machine, works, ranks=ranks)
        local = None if facts.cpus is None else pools.LocalMachine(facts.cpus, facts.memory_mib or 0)
        shape = pools.element_shape(asked, local)
        if shape.slots == 0:
            where = "this machine" if local is not None else f"an element at site {facts.site.name}"
            raise UsageError(
                f"pool {pool.name}: a task needs more than {where} has",
                "lower `resources` of its modules, or choose another `machine`",
            )
        name = f"sbx-{pipeline.name}-{pool.name}.{self._premises.home.id}.check"
        sizes = (shape.cpus, shape.memory_mib, shape.gpus)
        return request_for(name, 1, sizes, pool.walltime_s, (machine, facts.launch), ranks)
