"""The addresses of this host, as others may reach it. It opens no connection."""

from __future__ import annotations

import fcntl
import re
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Final

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


def own_addresses(advertise: Sequence[str]) -> list[str]:
    """The addresses of this host to tell agents; see `addresses_of`."""
    try:
        with open(FIB_TRIE, encoding="ascii") as file:
            trie = file.read()
    except OSError:
        trie = ""
    return addresses_of(advertise, interfaces(), local_addresses(trie))


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
