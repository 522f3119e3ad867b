"""A remote site whose programs cannot be made ready here is one that is not reached now."""

from __future__ import annotations

import errno
import tempfile
from typing import Any

import pytest

from scalebox_hpc.daemon.stations import RemoteStation
from scalebox_hpc.domain.site import Site, Ssh
from scalebox_hpc.errors import SiteUnreachable
from scalebox_hpc.sites.local import LocalTransport


def test_no_room_in_tmp_is_told_as_no_way_to_the_site(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    class Premises:
        home = None

    premises: Any = Premises()
    station = RemoteStation(Site("b", ssh=Ssh("login.b")), premises, LocalTransport("b"))
    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with pytest.raises(SiteUnreachable, match=r"b: this machine .* No space left on device"):
        station.depot()
