"""The ways to all sites: their shared folders and batch systems, and where a site is remote the link to it.

Everything here may be called by several threads, and may wait for a site. It decides nothing.
"""

from __future__ import annotations

import hashlib
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from scalebox_hpc.batch.base import BatchSystem
from scalebox_hpc.batch.local import LocalBatch
from scalebox_hpc.batch.runner import RemoteRunner
from scalebox_hpc.batch.slurm_api import slurm
from scalebox_hpc.batch.slurm_cli import SlurmCli
from scalebox_hpc.bundle import build_agent, build_relay
from scalebox_hpc.daemon.desk import SiteFacts
from scalebox_hpc.daemon.home import SHARED_PARTS, remote_shared
from scalebox_hpc.daemon.premises import Premises
from scalebox_hpc.disk import problem_with
from scalebox_hpc.domain.site import Site, Way
from scalebox_hpc.errors import SiteUnreachable
from scalebox_hpc.relay.folder import Parcel
from scalebox_hpc.sites.base import Transport
from scalebox_hpc.sites.depot import Depot, LocalDepot, RemoteDepot
from scalebox_hpc.sites.install import install
from scalebox_hpc.sites.opening import by_this_machine
from scalebox_hpc.sites.registry import transport_of
from scalebox_hpc.sites.relay import LinkDown, LinkUp, RelayLink, RelayPlace

DIAL_S: Final = 10.0
REMEDY: Final = (
    "set `paths.shared` in the site file to a directory that you may write and compute nodes reach"
)

News = Callable[[LinkUp | LinkDown], None]
TransportOf = Callable[[Site], Transport]


class RemoteStation:
    """A remote site. Nothing is opened before it is used."""

    def __init__(self, site: Site, premises: Premises, transport: Transport) -> None:
        assert site.ssh is not None
        self._site, self._ssh, self._premises, self._transport = site, site.ssh, premises, transport
        self._lock = threading.Lock()  # of what follows
        self._depot: RemoteDepot | None = None
        self._batch: SlurmCli | None = None
        self._place: RelayPlace | None = None
        self._failed = threading.Event()  # our program did not run there: it may have been removed
        self._linking = threading.Lock()  # of the link; never held while the site is waited for
        self._link: RelayLink | None = None

    def depot(self) -> RemoteDepot:
        """Its shared folder; made, with our programs in it, at the first use. Raises EnvironmentProblem.

        Made anew where they did not run there the last time.
        """
        with self._lock:
            return self._open() if self._depot is None or self._failed.is_set() else self._depot

    def again(self) -> RemoteDepot:
        """The same, made anew where it was removed meanwhile. Raises EnvironmentProblem."""
        depot = self.depot()
        try:
            depot.make([""])
        except (SiteUnreachable, OSError):
            return self._anew()
        return depot

    def _anew(self) -> RemoteDepot:
        with self._lock:
            return self._open()

    def batch(self) -> SlurmCli:
        """Its Slurm. Raises EnvironmentProblem."""
        with self._lock:
            if self._batch is None:
                self._open()
            assert self._batch is not None
            return self._batch

    def _open(self) -> RemoteDepot:
        site, home = self._site, self._premises.home
        with by_this_machine(site.name), tempfile.TemporaryDirectory() as folder:
            relay, agent = Path(folder, "relay.pyz"), Path(folder, "agent.pyz")
            build_relay(relay)
            build_agent(agent)
            shared = remote_shared(home, site.shared)
            there = install(site.name, self._transport, self._ssh.python, shared, relay.read_bytes())
            command = [self._ssh.python, there.program, "depot"]
            depot = RemoteDepot(site.name, self._transport, command, there.root, self._failed.set)
            try:
                depot.make(["", *SHARED_PARTS, "results"])
                content = agent.read_bytes()
                digest = hashlib.sha256(content).hexdigest()
                depot.put([(agent, Parcel("agent.pyz", digest, len(content), 0o500))])
            except OSError as error:
                raise problem_with(
                    Path(there.root), error, f"write at site {site.name} to", REMEDY
                ) from error
        self._batch = SlurmCli(home.id, runner=RemoteRunner(site.name, self._transport, there.uid))
        fingerprint = self._premises.contact.front.fingerprint
        self._place = RelayPlace(
            self._ssh.python, there.program, there.root, home.id, fingerprint, site.ports, site.advertise
        )
        self._depot = depot
        self._failed.clear()
        return depot

    def connect(self, told: News) -> None:
        """Carry its agents to the daemon until `disconnect`, telling how the link is.

        Raises EnvironmentProblem where that cannot even be begun.
        """
        with self._lock:
            if self._place is None:
                self._open()
            assert self._place is not None
            place = self._place
        with self._linking, by_this_machine(self._site.name):
            if self._link is None:
                self._link = RelayLink(self._transport, place, self._dial, told, self._anew)

    def disconnect(self, *, stop: bool) -> None:
        """Let go of the link; `stop`: its relay is not needed any more."""
        with self._linking:
            link, self._link = self._link, None
        if link is not None:
            link.end(stop=stop)

    def end(self) -> None:
        """Let go of everything; the relay stays, for agents at work."""
        self.disconnect(stop=False)
        self._transport.close()

    def _dial(self) -> socket.socket:
        host, _, port = self._premises.address.rpartition(":")
        return socket.create_connection((host, int(port)), DIAL_S)


class Stations:
    """All sites."""

    def __init__(self, premises: Premises, transport: TransportOf = transport_of) -> None:
        self._premises, self._transport = premises, transport
        self._lock = threading.Lock()  # of the dictionaries
        self._remote: dict[tuple[str, Way], RemoteStation] = {}
        self._batches: dict[tuple[str, str], BatchSystem] = {}  # of this machine, by kind; local ones by site

    def remote(self, site: Site) -> RemoteStation:
        """A remote site, by the way to it that this reading of its file says."""
        key = site.name, site.way
        with self._lock:
            if key not in self._remote:
                self._remote[key] = RemoteStation(site, self._premises, self._transport(site))
            return self._remote[key]

    def connect(self, site: Site, told: News) -> None:
        """Have the link to a site kept up by this way, and by no other: those are given up.

        Raises EnvironmentProblem where that cannot even be begun.
        """
        with self._lock:
            others = [key for key in self._remote if key[0] == site.name and key[1] != site.way]
            given_up = [self._remote.pop(key) for key in others]
        for each in given_up:
            each.end()
        self.remote(site).connect(told)

    def open(self, site: Site) -> Depot:
        """A site's shared folder, made if need be. Raises EnvironmentProblem, UsageError."""
        if site.ssh is None:
            return LocalDepot(str(self._premises.contact.open_shared(site)))
        return self.remote(site).again()

    def depot(self, facts: SiteFacts) -> Depot:
        """The shared folder of a site of a run. Raises EnvironmentProblem where that is remote."""
        return LocalDepot(facts.launch.shared) if facts.site.ssh is None else self.remote(facts.site).depot()

    def batch(self, facts: SiteFacts) -> BatchSystem:
        """The batch system of a site. Raises EnvironmentProblem where that is remote."""
        if facts.site.ssh is not None:
            return self.remote(facts.site).batch()
        kind, home = facts.site.batch, self._premises.home
        is_local = kind == "local"
        key = (kind, facts.site.name if is_local else "")
        with self._lock:
            if key not in self._batches:
                made = LocalBatch(home.path, home.id, site=key[1]) if is_local else slurm(home.id, kind)
                self._batches[key] = made
            return self._batches[key]

    def here(self) -> Iterator[LocalDepot]:
        """The shared folders on this machine."""
        for path in self._premises.contact.shared_folders():
            yield LocalDepot(str(path))

    def end(self) -> None:
        """Let go of all links, at once: where a site hangs that may take some seconds."""
        with self._lock:
            stations = list(self._remote.values())
        with ThreadPoolExecutor(len(stations) or 1) as hands:
            list(hands.map(RemoteStation.end, stations))
