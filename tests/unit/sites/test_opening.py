"""A link is opened once, however many threads need it; what this machine is short of ends no hand."""

from __future__ import annotations

import errno
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from scalebox_hpc.domain.site import Site, Ssh
from scalebox_hpc.errors import LoginRefused, SiteUnreachable
from scalebox_hpc.sites import host_keys, openssh, processes, registry
from scalebox_hpc.sites.base import Transport
from scalebox_hpc.sites.opening import Opening, by_this_machine
from scalebox_hpc.sites.openssh import OpenSshTransport
from scalebox_hpc.sites.ssh import SshTransport
from tests.cluster.box import wait_until


def waiting(opening: Opening) -> int:
    """How many threads stand before the door, or in it."""
    code = Opening.ensure.__code__
    frames = [frame for frame in sys._current_frames().values() if frame.f_code is code]
    return sum("seen" in frame.f_locals and frame.f_locals["self"] is opening for frame in frames)


def test_who_waited_while_it_failed_gets_the_same_error_unasked() -> None:
    opening, go, tries = Opening(), threading.Event(), []

    def refuse() -> None:
        tries.append(1)
        assert go.wait(30)
        raise LoginRefused("no", "ssh-add")

    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(opening.ensure, lambda: False, refuse) for _ in range(8)]
        wait_until(lambda: waiting(opening) == 7 and tries, 30)  # the eighth is in `refuse`
        go.set()
        assert [(type(error), str(error)) for each in asked if (error := each.exception(30))] == [
            (LoginRefused, "no")
        ] * 8
    assert len(tries) == 1
    with pytest.raises(LoginRefused):
        opening.ensure(lambda: False, refuse)
    assert len(tries) == 2


def test_an_open_link_is_not_opened_again() -> None:
    opened: list[int] = []
    opening = Opening()
    for _ in range(2):
        opening.ensure(lambda: bool(opened), lambda: opened.append(1))
    assert opened == [1]


def begin_a_thread() -> None:
    """What Python says when the system lets it have none: here for want of memory for its stack."""
    before = threading.stack_size(1 << 46)
    try:
        threading.Thread(target=int).start()
    finally:
        threading.stack_size(before)


def say(error: Exception) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


NO_PROCESS = BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
LATE = subprocess.TimeoutExpired(["ssh-keygen"], 30)


@pytest.mark.parametrize("trouble", [say(NO_PROCESS), say(LATE), begin_a_thread])
def test_what_this_machine_is_short_of_is_told_as_no_way_to_the_site(trouble: Callable[[], None]) -> None:
    with (
        pytest.raises(SiteUnreachable, match="b: this machine cannot begin to reach it"),
        by_this_machine("b"),
    ):
        trouble()


def test_a_fault_of_ours_is_not_hidden() -> None:
    with pytest.raises(RuntimeError, match="ours"), by_this_machine("b"):
        raise RuntimeError("a fault of ours")


@pytest.mark.parametrize("kind", ["first use", "paramiko", "openssh"])
def test_transports_promise_the_same_where_no_process_can_be_started(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "known").touch()
    ssh = Ssh("127.0.0.1", port=9, config="none", known_hosts=str(tmp_path / "known"))
    made: dict[str, Transport] = {
        "first use": registry.transport_of(Site("b", ssh=ssh)),
        "paramiko": SshTransport("b", ssh),
        "openssh": OpenSshTransport("b", ssh),
    }
    monkeypatch.setattr(host_keys, "call", say(LATE))
    monkeypatch.setattr(openssh, "listens", lambda _: True)
    monkeypatch.setattr(processes.subprocess, "Popen", say(NO_PROCESS))
    for ask in (lambda: made[kind].run(["true"], timeout_s=10), lambda: made[kind].open(["true"])):
        with pytest.raises(SiteUnreachable, match="this machine"):
            ask()
