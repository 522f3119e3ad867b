"""Where the daemon can be reached: the files that tell agents and the user.

contact.json in each shared folder is for agents and holds no secret; daemon.json in the home is
for the user and holds a token. It listens to nothing itself.
"""

from __future__ import annotations

import fcntl
import ipaddress
import json
import re
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from scalebox_hpc.daemon.home import Home, build_agent, make_shared, shared_path
from scalebox_hpc.disk import problem_with, write_whole
from scalebox_hpc.domain.site import Site
from scalebox_hpc.errors import EnvironmentProblem, SbxError

LOOPBACK: Final = "127.0.0.1"
FIB_TRIE: Final = "/proc/net/fib_trie"
_SIOCGIFADDR: Final = 0x8915
_LOCAL_ADDRESS: Final = re.compile(r"\|-- (\S+)\n\s+/32 host LOCAL")
_BRIDGES: Final = (
    "docker",
    "virbr",
    "podman",
    "cni",
    "veth",
    "br-",
    "lxc",
    "lxd",
)  # nobody else reaches them


class Front(Protocol):
    """What is known of the server that listens."""

    @property
    def fingerprint(self) -> str: ...

    def port_in(self, ports: tuple[int, int] | None, recorded: int | None) -> int:
        """A port that is listened on, within the range; opens one where none is. Any thread."""


def interfaces() -> dict[str, str]:
    """This host's interfaces and the first IPv4 address of each, in the kernel's order."""
    found = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            try:
                answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)
            except OSError:
                continue  # it has no IPv4 address
            found[name] = socket.inet_ntoa(answer[20:24])
    return found


def local_addresses(fib_trie: str) -> list[str]:
    """Every IPv4 address of this host, from the text of /proc/net/fib_trie, loopback ones left out."""
    found = dict.fromkeys(_LOCAL_ADDRESS.findall(fib_trie))
    return [address for address in found if not address.startswith("127.")]


def addresses_of(
    advertise: Sequence[str], known_interfaces: Mapping[str, str], others: Sequence[str] = ()
) -> list[str]:
    """The addresses to tell agents, best first, loopback last.

    `advertise` is the site's key: addresses, host names or interfaces; a name that is no
    interface here is taken for a host's. Empty: all there are, with bridges of containers and
    virtual machines behind the others.
    """
    if advertise:
        chosen = [known_interfaces.get(entry, entry) for entry in advertise]
    else:
        near = [name for name in known_interfaces if name.startswith(_BRIDGES)]
        far = [name for name in known_interfaces if name not in near]
        chosen = [known_interfaces[name] for name in far]
        bridges = [known_interfaces[name] for name in near]
        chosen += [address for address in others if address not in bridges] + bridges
        chosen = [address for address in chosen if not address.startswith("127.")]
    return list(dict.fromkeys([*chosen, LOOPBACK]))


def this_hosts_addresses(advertise: Sequence[str]) -> list[str]:
    try:
        trie = Path(FIB_TRIE).read_text()
    except OSError:
        trie = ""
    found = addresses_of(advertise, interfaces(), local_addresses(trie))
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

    def open_shared(self, site: Site) -> Path:
        """The site's shared folder, made and with a fresh contact.json; remembered for later starts.

        Called by the engine thread when a run for the site is accepted. Raises EnvironmentProblem,
        UsageError.
        """
        path = make_shared(self.home, site.shared, self.build)
        ports = None if site.ports is None else list(site.ports)
        record: dict[str, Any] = {"shared": site.shared, "advertise": list(site.advertise), "ports": ports}
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
