"""The relay through a real sshd, which is cut, stopped and started again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scalebox_hpc.domain.site import Site
from scalebox_hpc.sites.base import Transport
from scalebox_hpc.sites.registry import transport_of
from scalebox_hpc.sites.relay import LinkDown, LinkUp
from scalebox_hpc.testing.sshd import Sshd, program, running
from tests.contract.relay_rig import Rig, echoed, is_gone

pytestmark = pytest.mark.skipif(
    program() is None, reason="no sshd is installed (apt-get install openssh-server)"
)


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    with running(tmp_path / "sshd") as server:
        yield server


@pytest.fixture
def transport(sshd: Sshd) -> Iterator[Transport]:
    made = transport_of(Site("b", ssh=sshd.ssh))
    yield made
    made.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    try:
        yield made
    finally:
        made.close()


def test_a_link_that_is_cut_or_has_no_host_comes_back(rig: Rig, sshd: Sshd, transport: Transport) -> None:
    link = rig.link(transport)
    rig.up()
    pid = rig.record()["pid"]
    data = b"through ssh " * 100_000
    with rig.client() as client:
        assert echoed(client, data) == data
        assert sshd.cut() > 0
        assert client.recv(1) == b""
    rig.up(2)
    sshd.stop()
    rig.wait(lambda: isinstance(rig.news[-1], LinkDown), "the news that the link is down")
    sshd.start()
    rig.up(3)
    with rig.again() as client:
        assert echoed(client, data) == data
    assert rig.record()["pid"] == pid, "the relay did not mind"
    link.end(stop=True)
    rig.wait(lambda: is_gone(pid), "the relay's end")
    assert [type(one) for one in rig.news][:3] == [LinkUp, LinkDown, LinkUp]
