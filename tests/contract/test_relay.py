"""The relay with real processes: connections of agents get home, and whatever is killed comes back."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.contract.relay_rig import Rig, echoed, is_gone, kill


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    try:
        yield made
    finally:
        made.close()


def test_agents_reach_the_daemon_with_tls_from_end_to_end(rig: Rig) -> None:
    rig.link()
    rig.up()
    with rig.client() as client:
        shown = ssl.DER_cert_to_PEM_cert(client.getpeercert(binary_form=True) or b"")
        assert shown.split() == rig.identity.certificate.read_text().split()
        data = os.urandom(3_000_000)
        assert echoed(client, data) == data
    contact = rig.contact()
    assert (contact["home"], contact["fingerprint"]) == (rig.home.id, rig.identity.fingerprint)
    assert f"127.0.0.1:{rig.record()['port']}" in contact["addresses"]
    assert [
        (rig.shared / name).stat().st_mode & 0o777 for name in ("contact.json", "relay.json", "relay.log")
    ] == [0o600] * 3
    rig.wait(lambda: rig.echo.peers == 0, "the daemon's end closed")


def test_many_connections_share_the_line(rig: Rig) -> None:
    rig.link()
    rig.up()
    with ExitStack() as stack:
        clients = [stack.enter_context(rig.client()) for _ in range(60)]
        for turn in range(2):
            for number, client in enumerate(clients):
                data = f"{turn} {number} ".encode() * 500
                assert echoed(client, data) == data


def test_a_killed_relay_is_started_again_on_the_same_port(rig: Rig) -> None:
    rig.link()
    rig.up()
    before = rig.record()
    with rig.client() as client:
        kill(before["pid"])
        assert client.recv(1) == b""
    rig.up(2)
    after = rig.record()
    assert (after["port"], after["pid"] == before["pid"]) == (before["port"], False)
    with rig.again() as client:
        assert echoed(client, b"there again") == b"there again"


def test_a_killed_attach_is_replaced_and_the_relay_stays(rig: Rig) -> None:
    rig.link()
    rig.up()
    before = rig.record()
    with rig.client() as client:
        kill(rig.transport.opened[0].process.pid)
        assert client.recv(1) == b""
    rig.up(2)
    assert rig.record() == before
    with rig.again() as client:
        assert echoed(client, b"there again") == b"there again"


def test_the_relay_outlives_a_home_that_lets_go_and_ends_when_told(rig: Rig) -> None:
    rig.link().end(stop=False)
    second = rig.link()
    rig.up()
    pid = rig.record()["pid"]
    second.end(stop=False)
    with rig.raw() as waiting:
        assert waiting.recv(1) == b"", "sent away at once while there is no way home"
    assert not is_gone(pid)
    third = rig.link()
    rig.up(2)
    assert rig.record()["pid"] == pid
    third.end(stop=True)
    rig.wait(lambda: is_gone(pid), "the relay's end")
