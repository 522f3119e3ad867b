"""Masters of OpenSSH: gone through only where nobody else can have put one, and let go of in any case."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scalebox_hpc.domain.site import Site, Ssh
from scalebox_hpc.errors import EnvironmentProblem, LoginNeeded
from scalebox_hpc.sites import command_line, openssh
from scalebox_hpc.sites.openssh import OpenSshTransport
from scalebox_hpc.transfer.ends import There

SSH = Ssh("login.example.org", master=True)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the sockets of masters are, for this test."""
    path = tmp_path / "masters"
    monkeypatch.setattr(command_line, "control_folder", lambda: str(path))
    return path


class Pretender:
    """Somebody else who listens where the master of a site would, and says nothing."""

    def __init__(self) -> None:
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(command_line.control_path(SSH))
        self._door.listen()
        self.visits = 0
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                visitor, _ = self._door.accept()
            except OSError:
                return
            self.visits += 1
            visitor.close()

    def end(self) -> None:
        self._door.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._door.close()


@pytest.fixture
def pretender(folder: Path) -> Iterator[Pretender]:
    """It has a folder that others may enter; only root could make one of somebody else's."""
    folder.mkdir(mode=0o755)
    made = Pretender()
    yield made
    made.end()


def command() -> Any:
    return OpenSshTransport("b", SSH).run(["cat"], stdin=b"a join token", timeout_s=10)


def stream() -> Any:
    return OpenSshTransport("b", SSH).open(["cat"])


def transfer() -> Any:
    return There(Site("b", ssh=SSH)).ask("ping")


@pytest.mark.parametrize(
    ("ask", "error", "words"),
    [
        (command, LoginNeeded, "nobody is logged in"),
        (stream, LoginNeeded, "nobody is logged in"),
        (transfer, EnvironmentProblem, "not a private directory"),
    ],
)
def test_nobody_else_can_pose_as_the_master_of_a_site(
    pretender: Pretender, ask: Callable[[], Any], error: type[EnvironmentProblem], words: str
) -> None:
    with pytest.raises(error, match=words):
        ask()
    assert pretender.visits == 0


def test_a_login_says_what_is_wrong_with_the_folder(pretender: Pretender, folder: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="not a private directory") as caught:
        openssh.log_in("b", SSH, OpenSshTransport("b", SSH), 10)
    assert str(folder) in caught.value.hint
    assert pretender.visits == 0


def test_a_master_that_cannot_be_told_to_end_is_not_found_any_more(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir(mode=0o700)
    made = Pretender()
    control = command_line.control_path(SSH)
    try:
        assert openssh.listens(control)
        for error in (subprocess.TimeoutExpired("ssh", 30), BlockingIOError("no process")):

            def fail(*_: object, error: Exception = error, **__: object) -> None:
                raise error

            monkeypatch.setattr(openssh, "call", fail)
            openssh.leave(SSH, control)
            assert not openssh.listens(control)
    finally:
        made.end()
