"""The connection of `sbx get` and `sbx put`: it stays for the next one, of one process at a time (S70)."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scalebox_hpc.domain.site import Site, Transfers
from scalebox_hpc.testing.sshd import Sshd, program
from scalebox_hpc.transfer.ends import There


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Sshd]:
    """A login node, which is this machine; its end is the end of what stayed."""
    if program() is None:
        pytest.skip("needs an sshd")
    opened = Sshd(tmp_path / "door")
    opened.start()
    yield opened
    opened.stop()


def logins(door: Sshd) -> int:
    """How often somebody logged in."""
    return (door.folder / "log").read_text().count("Accepted publickey")


def ask(end: There) -> str:
    """Use an end, and let go of it; returns the socket of its connection."""
    (found,) = end.ask("look", ["/"])
    assert found[0] == "d"
    socket = end.socket
    end.close()
    return socket


def test_it_stays_for_the_next_one_and_a_second_at_the_same_time_has_its_own(door: Sshd) -> None:
    site = Site("b", ssh=door.ssh)
    first = There(site, stays=True)
    first.ask("ping")
    kept = first.socket
    assert ask(There(site, stays=True)) != kept
    first.close()
    assert logins(door) == 2
    assert ask(There(site, stays=True)) == kept
    assert logins(door) == 2
    subprocess.run(["ssh", "-O", "exit", "-o", f"ControlPath={kept}", "x"], check=True, capture_output=True)


def test_one_that_broke_is_replaced(door: Sshd) -> None:
    site = Site("b", ssh=door.ssh)
    kept = ask(There(site, stays=True))
    assert door.cut()
    assert ask(There(site, stays=True)) == kept
    assert logins(door) == 2


def test_it_does_not_stay_where_nobody_wants_that(door: Sshd) -> None:
    site = Site("b", ssh=door.ssh)
    never = replace(site, transfers=Transfers(keep_s=0.0))
    for end in (There(site), There(never, stays=True)):
        assert not Path(ask(end)).exists()
