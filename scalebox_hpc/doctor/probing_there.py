"""Sends one element to a remote site to look around there, and reads what it found. Judges nothing.

It goes the way of a run: a relay on the login node carries the element's hello to a listener here. Both, and
a shared folder of their own, live as long as the probe.
"""

from __future__ import annotations

import hashlib
import json
import queue
import secrets
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from scalebox_hpc.batch.runner import RemoteRunner
from scalebox_hpc.batch.slurm_cli import SlurmCli
from scalebox_hpc.bundle import build_agent, build_relay
from scalebox_hpc.daemon.home import Home, remote_shared
from scalebox_hpc.daemon.keys import open_keys
from scalebox_hpc.daemon.server import Server
from scalebox_hpc.doctor.facts import HomeSeen, Probed, Probing
from scalebox_hpc.doctor.probing import (
    Post,
    Wait,
    listener,
    name_of,
    request_of,
    take_a_turn,
    terminations,
)
from scalebox_hpc.doctor.wishes import machine_of
from scalebox_hpc.domain.site import Site, Ssh
from scalebox_hpc.errors import EnvironmentProblem, SbxError, SiteUnreachable
from scalebox_hpc.relay.folder import Parcel
from scalebox_hpc.sites.base import Transport
from scalebox_hpc.sites.depot import RemoteDepot
from scalebox_hpc.sites.install import Installed, install
from scalebox_hpc.sites.relay import LinkDown, LinkUp, RelayLink, RelayPlace

READ_S: Final = 30.0  # for a small file there
GREETING_S: Final = 90.0  # for the relay to be started and to answer
DIAL_S: Final = 5.0
ALONE_S: Final = 120.0  # after which a relay leaves that we could not stop


def probe(site: Site, ssh: Ssh, transport: Transport, seen: HomeSeen, wanted: Probing) -> Probed:
    """Send the element and wait for its word. Raises SbxError where it could not be sent."""
    machine = machine_of(site, wanted.machine)
    take_a_turn(site)
    own = secrets.token_hex(8)
    name = name_of(own)
    with (
        terminations(),
        listener(site, Path(seen.path)) as (home, server),
        _folder(site, ssh, transport, home, name) as (installed, depot),
        _relay(site, ssh, transport, installed, home, server),
    ):
        depot.write(f"tries/{name}/token", open_keys(home).join_token(name) + "\n")
        batch = SlurmCli(own, runner=RemoteRunner(site.name, transport, installed.uid))
        post = Post(home.id, installed.root, name, daemon=False, folder=_FolderThere(transport, depot, name))
        return Wait(site, post, batch, wanted.wait_s).run(request_of(site, machine, post))


class _FolderThere:
    """The folder of a try at a remote site. See Folder."""

    def __init__(self, transport: Transport, depot: RemoteDepot, name: str) -> None:
        self._transport, self._depot, self._name = transport, depot, name

    def read(self, name: str) -> dict[str, Any] | None:
        """See Folder."""
        path = f"{self._depot.path}/tries/{self._name}/{name}"
        done = self._transport.run(["cat", path], timeout_s=READ_S)
        return dict(json.loads(done.stdout)) if done.exit_code == 0 else None

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """See Folder."""
        self._depot.write(f"tries/{self._name}/{name}", json.dumps(content))

    def last_words(self) -> str:
        """See Folder."""
        return self._depot.last_words(self._name, 0).replace(" / ", "\n")


@contextmanager
def _folder(
    site: Site, ssh: Ssh, transport: Transport, home: Home, name: str
) -> Iterator[tuple[Installed, RemoteDepot]]:
    """A shared folder there with the programs in it; removed in the end.

    Where the link is lost before, the error says what is left there of the try of that name.
    """
    with tempfile.TemporaryDirectory(prefix="sbx-doctor-") as made:
        relay, agent = Path(made, "relay.pyz"), Path(made, "agent.pyz")
        build_relay(relay)
        build_agent(agent)
        content = agent.read_bytes()
        parcel = Parcel("agent.pyz", hashlib.sha256(content).hexdigest(), len(content), 0o500)
        shared = remote_shared(home, site.shared)
        installed = install(site.name, transport, ssh.python, shared, relay.read_bytes())
        depot = RemoteDepot(site.name, transport, [ssh.python, installed.program, "depot"], installed.root)
        try:
            depot.make(["", "tries"])
            depot.put([(agent, parcel)])
            yield installed, depot
        except SiteUnreachable as error:
            left = f"if it is left at {site.name}: scancel --name={name}; rm -r {installed.root}"
            raise SiteUnreachable(error.fact, f"{error.hint} {left}".strip()) from error
        finally:
            with suppress(SbxError):
                transport.run(["rm", "-rf", installed.root], timeout_s=READ_S)


@contextmanager
def _relay(
    site: Site, ssh: Ssh, transport: Transport, installed: Installed, home: Home, server: Server
) -> Iterator[None]:
    """A relay on the login node that leads to the listener here; stopped in the end."""
    port = server.port_in(None, None)
    place = RelayPlace(
        ssh.python,
        installed.program,
        installed.root,
        home.id,
        server.fingerprint,
        site.ports,
        site.advertise,
        ALONE_S,
    )
    news: queue.SimpleQueue[LinkUp | LinkDown] = queue.SimpleQueue()
    link = RelayLink(
        transport, place, lambda: socket.create_connection(("127.0.0.1", port), DIAL_S), news.put
    )
    try:
        _await_link(news)
        yield
    finally:
        link.end(stop=True)


def _await_link(news: queue.SimpleQueue[LinkUp | LinkDown]) -> None:
    """Wait until the relay has answered. Raises EnvironmentProblem where it does not."""
    try:
        first = news.get(timeout=GREETING_S)
    except queue.Empty:
        first = LinkDown(f"no answer in {GREETING_S:g} s")
    if isinstance(first, LinkDown):
        remedy = first.todo or "see whether the site lets a process of yours live on after a logout"
        raise EnvironmentProblem(f"there is no relay on the login node: {first.why}", remedy)
