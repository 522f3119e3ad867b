"""Where the daemon can be reached: the files that tell agents and the user.

contact.json in each shared folder is for agents and holds no secret; daemon.json in the home is
for the user and holds a token. It listens to nothing itself.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from scalebox_hpc.daemon.home import Home, build_agent, make_shared, shared_path
from scalebox_hpc.disk import problem_with, write_whole
from scalebox_hpc.domain.site import Site
from scalebox_hpc.errors import EnvironmentProblem, SbxError
from scalebox_hpc.relay.addresses import interfaces, own_addresses


class Front(Protocol):
    """What is known of the server that listens."""

    @property
    def fingerprint(self) -> str: ...

    def port_in(self, ports: tuple[int, int] | None, recorded: int | None) -> int:
        """A port that is listened on, within the range; opens one where none is. Any thread."""


def this_hosts_addresses(advertise: Sequence[str]) -> list[str]:
    """The addresses to tell agents. Raises EnvironmentProblem for a name that nobody knows."""
    found = own_addresses(advertise)
    for entry in found:
        if not _is_address(entry) and "." not in entry:
            _check_host_name(entry)
    return found


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _check_host_name(name: str) -> None:
    try:
        socket.gethostbyname(name)
    except OSError as error:
        known = ", ".join(interfaces())
        raise EnvironmentProblem(
            f"advertise = {name!r}: neither an interface of this host nor a host's name",
            f"interfaces here: {known}",
        ) from error


@dataclass(frozen=True, slots=True)
class Contact:
    """Makes shared folders reachable, and remembers which there are."""

    home: Home
    front: Front
    build: Callable[[Path], None] = build_agent  # writes the agent's file
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)  # of which folders there are

    def open_shared(self, site: Site) -> Path:
        """The site's shared folder, made and with a fresh contact.json; remembered for later starts.

        Called by hands while a run for the site is prepared. Raises EnvironmentProblem, UsageError.
        """
        path = make_shared(self.home, site.shared, self.build)
        ports = None if site.ports is None else list(site.ports)
        record: dict[str, Any] = {"shared": site.shared, "advertise": list(site.advertise), "ports": ports}
        with self._lock:
            before = self._recorded()
            known = [one for one in before if one["shared"] == site.shared]
            record["port"] = self._publish(record | {"port": known[0]["port"] if known else None})
            if known != [record]:
                self.home.record({"shared": [*(one for one in before if one not in known), record]})
        return path

    def publish_all(self) -> list[str]:
        """Write contact.json anew in every folder remembered; returns what went wrong, a line each.

        A folder that cannot be reached today must not keep the daemon from serving the others.
        """
        wrong = []
        for record in self._recorded():
            try:
                make_shared(self.home, record["shared"], self.build)
                self._publish(record)
            except SbxError as error:
                wrong.append(error.fact)
        return wrong

    def shared_folders(self) -> list[Path]:
        """The shared folders of this home, as far as they are remembered."""
        return [shared_path(self.home, record["shared"]) for record in self._recorded()]

    def _recorded(self) -> list[dict[str, Any]]:
        return list(self.home.recorded().get("shared", ()))

    def _publish(self, record: Mapping[str, Any]) -> int:
        ports = record["ports"]
        port = self.front.port_in(None if ports is None else (ports[0], ports[1]), record["port"])
        path = shared_path(self.home, record["shared"]) / "contact.json"
        text = json.dumps(
            {
                "home": self.home.id,
                "addresses": [f"{address}:{port}" for address in this_hosts_addresses(record["advertise"])],
                "fingerprint": self.front.fingerprint,
            }
        )
        _write(path, text)
        return port


def _write(path: Path, text: str) -> None:
    try:
        write_whole(path, text, 0o600)
    except OSError as error:
        raise problem_with(path, error, "write", "check who owns it and whether there is room") from error


def write_daemon_json(home: Home, entries: Mapping[str, Any]) -> None:
    """Tell the user's clients how to reach the daemon; the file is private, it holds the token."""
    _write(home.daemon_json, json.dumps(dict(entries)))


def read_daemon_json(home_path: Path) -> dict[str, Any] | None:
    """What daemon.json says; None where there is none. Raises EnvironmentProblem."""
    path = home_path / "daemon.json"
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise EnvironmentProblem(
            f"{path} cannot be read: {error}", "`sbx daemon stop`, then start again"
        ) from error
