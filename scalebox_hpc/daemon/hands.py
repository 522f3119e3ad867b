"""The hands: threads that act on the world and report back as events.

Each site has its own. One more makes runs ready and does what else there is with files of this machine; runs
that use remote sites are made ready by another, one for all runs at the same of them: a site that hangs keeps
no run from others. They decide nothing. What goes wrong in a foreseen way is reported; anything else ends the
daemon.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scalebox_hpc.daemon import log as logs
from scalebox_hpc.daemon.allocating import machine_of_site, request_for
from scalebox_hpc.daemon.clearing import Folders, clear, gone, measured, sweep
from scalebox_hpc.daemon.desk import (
    AtSite,
    Clear,
    Command,
    Compare,
    Measure,
    Prepare,
    Publish,
    Remove,
    SiteFacts,
    Sweep,
    WithFiles,
)
from scalebox_hpc.daemon.events import Reply, Told
from scalebox_hpc.daemon.images import Fetching, Ways
from scalebox_hpc.daemon.meters import Acts
from scalebox_hpc.daemon.pace import Pace, user_state
from scalebox_hpc.daemon.premises import Premises
from scalebox_hpc.daemon.prepare import compare, prepare, read_sites, remote_sites
from scalebox_hpc.daemon.refusal import refusal
from scalebox_hpc.daemon.site_hand import Hand, Means, SiteHand, Tell
from scalebox_hpc.daemon.stations import Stations
from scalebox_hpc.disk import write_whole
from scalebox_hpc.domain.allocation import AllocationRequest
from scalebox_hpc.domain.pipeline import Pipeline, Pool
from scalebox_hpc.engine import pools
from scalebox_hpc.errors import EnvironmentProblem, SbxError, UsageError
from scalebox_hpc.relay.folder import remove
from scalebox_hpc.sites.depot import Depot


class Hands:
    """Carries out commands."""

    def __init__(self, premises: Premises, tell: Tell, acts: Acts) -> None:
        self._premises, self._tell = premises, tell
        self._files = Hand("files")
        self._stations = Stations(premises)
        store = premises.home.path / "shared" / "images"
        self._fetching = Fetching(ways=Ways(store, self._stations.depot))
        self._means = Means(self._stations, premises.keys, tell, acts, Pace(user_state()))
        self._lock = threading.Lock()  # of what follows
        self._sites: dict[str, SiteHand] = {}
        self._makers = {frozenset[str](): self._files}  # of runs, by the remote sites that these use

    def carry_out(self, command: Command, sites: Mapping[str, SiteFacts]) -> None:
        """Hand a command to whoever does it."""
        if isinstance(command, AtSite):
            self._site(command.site).carry_out(command, sites[command.site])
        elif isinstance(command, Remove) and command.site:
            self._remove(command, sites.get(command.site))
        else:
            remote = [each for each in sites.values() if each.is_remote]
            self._files.do(lambda: self._with_files(command, remote))

    def _remove(self, command: Remove, facts: SiteFacts | None) -> None:
        """Remove something at a site. One of the past is left alone: a path there means nothing here."""
        if facts is not None and facts.is_remote:
            self._site(command.site).carry_out(command, facts)
        elif facts is not None:
            self._files.do(lambda: remove(command.path))

    def _with_files(self, command: WithFiles, remote: list[SiteFacts]) -> None:
        match command:
            case Prepare() | Compare():
                self._reach(command)
            case Remove():
                remove(command.path)
            case Publish():
                self._publish(command)
            case Clear():
                self._clear(command, remote)
            case Measure():
                self._measure(command)
            case Sweep():
                self._sweep(command, remote)

    def look_for_leftovers(self) -> None:
        """See what a daemon that was killed did not come to remove."""
        self._files.do(self._tell_leftovers)

    def end(self, timeout_s: float) -> None:
        """Finish what was begun, in so long for all."""
        until_s = time.monotonic() + timeout_s
        with self._lock:
            hands = [hand for site in self._sites.values() for hand in site.hands()]
            hands += self._makers.values()
        for hand in hands:
            hand.let_go()
        for hand in hands:
            hand.join(max(0.0, until_s - time.monotonic()))
        self._stations.end()

    def _maker(self, sites: frozenset[str]) -> Hand:
        with self._lock:
            if sites not in self._makers:
                self._makers[sites] = Hand(f"runs-{'-'.join(sorted(sites))}")
            return self._makers[sites]

    def _site(self, name: str) -> SiteHand:
        with self._lock:
            if name not in self._sites:
                self._sites[name] = SiteHand(name, self._means)
            return self._sites[name]

    def _here(self) -> Folders:
        return Folders(self._premises.home.path, tuple(self._stations.here()))

    def _there(
        self, remote: list[SiteFacts], what: str, act: Callable[[Depot], object], then: Callable[[], None]
    ) -> None:
        """Do something in the shared folder of each remote site; where one cannot be reached it is left."""
        if not remote:
            then()
            return
        facts, *others = remote

        def do() -> None:
            try:
                act(self._stations.depot(facts))
            except (EnvironmentProblem, OSError) as error:
                logs.tell("site.failed", logging.WARNING, site=facts.site.name, what=what, why=error)
            self._there(others, what, act, then)

        self._site(facts.site.name).do(do)

    def _clear(self, command: Clear, remote: list[SiteFacts]) -> None:
        clear(self._here(), command)
        what = f"remove what is left of run {command.run or command.run_id}"
        used = [facts for facts in remote if facts.site.name in command.sites]
        told = Told("cleared", {"order": command})
        self._there(used, what, lambda depot: depot.clear(gone(command)), lambda: self._tell(told))

    def _measure(self, command: Measure) -> None:
        body = measured(self._here(), command)
        self._tell(Told("answer", {"call": command.call, "reply": Reply(200, body)}))

    def _sweep(self, command: Sweep, remote: list[SiteFacts]) -> None:
        count = sweep(self._here(), command.before_s, command.spare)
        if count:
            logs.tell("logs.swept", gone=count)

        def act(depot: Depot) -> None:
            depot.sweep(command.before_s, command.spare)

        self._there(remote, "sweep logs", act, lambda: None)

    def _publish(self, command: Publish) -> None:
        try:
            write_whole(Path(command.path), command.text, 0o644)
        except OSError as error:
            logs.tell("metrics.failed", logging.WARNING, path=command.path, why=error)
        self._tell(Told("published"))

    def _tell_leftovers(self) -> None:
        shared = list(self._stations.here())
        folders = [folder for depot in shared for folder in depot.run_folders()]
        endings = [ending for depot in shared for ending in depot.endings()]
        if folders or endings:
            self._tell(Told("leftovers", {"site": "", "folders": folders, "endings": endings}))

    def _reach(self, command: Prepare | Compare) -> None:
        """Go on with a run, by the hand of all that use the same remote sites: it may wait for these."""
        try:
            sites = frozenset(site.name for site in remote_sites(command))
        except SbxError:
            sites = frozenset()  # told by who reads it all
        self._maker(sites).do(lambda: self._go_on(command))

    def _go_on(self, command: Prepare | Compare) -> None:
        match command:
            case Prepare():
                self._prepare(command)
            case Compare():
                self._compare(command)

    def _prepare(self, command: Prepare) -> None:
        home, args = self._premises.home, command.call.args
        try:
            prepared = prepare(home, self._stations, args, self._verify, self._fetching, command.taken)
            sites = {name: self._with_limits(facts) for name, facts in prepared.sites.items()}
        except SbxError as error:
            self._answer_error(command.call, error)
        else:
            prepared = dataclasses.replace(prepared, sites=sites)
            self._tell(Told("prepared", {"call": command.call, "prepared": prepared}))

    def _with_limits(self, facts: SiteFacts) -> SiteFacts:
        """Add what the batch system says of itself."""
        limit = self._stations.batch(facts).array_limit
        return facts if limit is None else dataclasses.replace(facts, array_limit=limit)

    def _compare(self, command: Compare) -> None:
        args = {**command.call.args, **command.again}
        try:
            found = read_sites(self._premises.home, self._stations, command.pipeline, command.sites)
            compare(command, args, found, self._fetching)
            sites = {name: self._with_limits(facts) for name, facts in found.items()}
        except SbxError as error:
            self._answer_error(command.call, error)
        else:
            self._tell(Told("compared", {"call": command.call, "sites": sites}))

    def _answer_error(self, call: Any, error: SbxError) -> None:
        self._tell(Told("answer", {"call": call, "reply": refusal(error)}))

    def _verify(self, facts: SiteFacts, pipeline: Pipeline) -> None:
        """Try the first request of each pool at the batch system, asking for nothing."""
        batch = self._stations.batch(facts)
        for pool in pipeline.pools.values():
            if pool.site == facts.site.name:
                request = self._first_request(facts, pipeline, pool)
                batch.verify(request)

    def _first_request(self, facts: SiteFacts, pipeline: Pipeline, pool: Pool) -> AllocationRequest:
        """What a pool would ask for first. Raises UsageError where a task fits in no element."""
        machine = machine_of_site(facts.site, pool.machine)
        members = pipeline.members(pool.name)
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
