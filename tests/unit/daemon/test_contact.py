"""Agents are told every address they may need, best first, and where the daemon went."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from scalebox_hpc.daemon import contact as contacts
from scalebox_hpc.daemon.home import Home
from scalebox_hpc.domain.site import Site
from scalebox_hpc.errors import EnvironmentProblem
from scalebox_hpc.relay import addresses

INTERFACES = {"lo": "127.0.0.1", "docker0": "172.17.0.1", "eth0": "10.1.2.3", "ib0": "192.168.7.1"}
FIB_TRIE = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.1.0.0/16 2 0 2
        |-- 10.1.2.3
           /32 host LOCAL
        |-- 10.1.255.255
           /32 link BROADCAST
     |-- 127.0.0.1
        /32 host LOCAL
     |-- 10.9.9.9
        /32 host LOCAL
Local:
        |-- 10.1.2.3
           /32 host LOCAL
"""


@dataclass
class FakeFront:
    """A server that listens on 4000 and on whatever range it is asked for."""

    port: int = 4000
    fingerprint: str = "ab" * 32
    asked: list[Any] = field(default_factory=list)

    def port_in(self, ports: tuple[int, int] | None, recorded: int | None) -> int:
        self.asked.append((ports, recorded))
        return self.port if ports is None else recorded or ports[0]


def contact_of(home: Home, front: FakeFront) -> contacts.Contact:
    return contacts.Contact(home, front, lambda target: target.write_bytes(b"agent") and None)


def told(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "contact.json").read_text()))


def test_the_kernels_table_gives_every_address_once() -> None:
    assert addresses.local_addresses(FIB_TRIE) == ["10.1.2.3", "10.9.9.9"]
    assert addresses.local_addresses("") == []


def test_all_addresses_are_told_with_bridges_behind_and_loopback_last() -> None:
    others = [*addresses.local_addresses(FIB_TRIE), "172.17.0.1"]
    told = ["10.1.2.3", "192.168.7.1", "10.9.9.9", "172.17.0.1", "127.0.0.1"]
    assert addresses.addresses_of((), INTERFACES, others) == told
    assert addresses.addresses_of((), {}) == ["127.0.0.1"]


def test_a_site_may_name_addresses_hosts_and_interfaces() -> None:
    chosen = addresses.addresses_of(("ib0", "10.5.5.5", "login1.example.org"), INTERFACES, ["10.9.9.9"])
    assert chosen == ["192.168.7.1", "10.5.5.5", "login1.example.org", "127.0.0.1"]


def test_this_host_has_an_address() -> None:
    assert addresses.interfaces().get("lo", "127.0.0.1") == "127.0.0.1"
    assert contacts.this_hosts_addresses(())[-1] == "127.0.0.1"


def test_an_interface_that_does_not_exist_is_named(home: Home) -> None:
    contact = contact_of(home, FakeFront())
    with pytest.raises(EnvironmentProblem, match="ib7") as refused:
        contact.open_shared(Site("s", advertise=("ib7",)))
    assert "interfaces here" in refused.value.hint


def test_a_shared_folder_says_where_the_daemon_is(home: Home, tmp_path: Path) -> None:
    front = FakeFront()
    contact = contact_of(home, front)
    inside = contact.open_shared(Site("local"))
    outside = contact.open_shared(Site("big", shared=str(tmp_path / "scratch"), ports=(5000, 5010)))
    entries = told(inside)
    assert (entries["home"], entries["fingerprint"]) == (home.id, "ab" * 32)
    assert entries["addresses"][-1] == "127.0.0.1:4000"
    assert told(outside)["addresses"][-1] == "127.0.0.1:5000"
    assert not [path for path in inside.iterdir() if path.name.startswith(".")]


def test_the_next_daemon_tells_all_folders_anew_and_keeps_their_ports(home: Home, tmp_path: Path) -> None:
    contact = contact_of(home, FakeFront())
    folders = [contact.open_shared(Site("local")), contact.open_shared(Site("local"))]
    folders.append(contact.open_shared(Site("big", shared=str(tmp_path / "scratch"), ports=(5000, 5010))))
    front = FakeFront(port=4711, fingerprint="cd" * 32)
    assert contact_of(home, front).publish_all() == []
    assert front.asked == [(None, 4000), ((5000, 5010), 5000)]
    assert told(folders[0])["addresses"][-1] == "127.0.0.1:4711"
    assert told(folders[2])["addresses"][-1] == "127.0.0.1:5000"


def test_a_folder_that_cannot_be_reached_does_not_keep_the_others_from_being_told(
    home: Home, tmp_path: Path
) -> None:
    contact = contact_of(home, FakeFront())
    gone = contact.open_shared(Site("big", shared=str(tmp_path / "scratch")))
    inside = contact.open_shared(Site("local"))
    gone.rename(tmp_path / "elsewhere")
    gone.parent.rmdir()
    gone.parent.write_text("no folder")
    (complaint,) = contact_of(home, FakeFront(port=4711)).publish_all()
    assert str(gone) in complaint
    assert told(inside)["addresses"][-1] == "127.0.0.1:4711"


def test_daemon_json_is_private_and_an_unreadable_one_is_named(home: Home) -> None:
    assert contacts.read_daemon_json(home.path) is None
    contacts.write_daemon_json(home, {"token": "t"})
    assert home.daemon_json.stat().st_mode & 0o777 == 0o600
    assert contacts.read_daemon_json(home.path) == {"token": "t"}
    home.daemon_json.write_text("{")
    with pytest.raises(EnvironmentProblem, match=r"daemon\.json"):
        contacts.read_daemon_json(home.path)


class Door:
    """A lock that tells when somebody has to wait for it."""

    def __init__(self, told: Callable[[], None]) -> None:
        self._lock, self._told = threading.Lock(), told

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self._told()
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_folders_that_two_hands_open_at_once_are_both_remembered(home: Home, tmp_path: Path) -> None:
    sites = [Site(name, shared=str(tmp_path / name)) for name in ("a", "b")]
    moved = threading.Event()

    def open_other() -> None:
        contact.open_shared(sites[1])
        moved.set()

    other = threading.Thread(target=open_other)

    class Front(FakeFront):
        def port_in(self, ports: tuple[int, int] | None, recorded: int | None) -> int:
            if not other.ident:  # the first is between reading and writing: let the second have its way
                other.start()
                assert moved.wait(15.0)
            return 4000

    contact = contact_of(home, Front())
    object.__setattr__(contact, "_lock", Door(moved.set))
    contact.open_shared(sites[0])
    other.join(15.0)
    assert {path.parent.name for path in contact.shared_folders()} == {"a", "b"}
