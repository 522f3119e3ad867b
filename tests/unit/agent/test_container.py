"""A warm container that cannot be opened: who waits for it is told why, and nothing stays open."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from scalebox_hpc.agent.child import INF, PR_SET_CHILD_SUBREAPER, Children, PidfdWatch, Process
from scalebox_hpc.agent.container import Container, Plan, Setting
from scalebox_hpc.agent.container_sheet import Wanted
from scalebox_hpc.agent.image import LocalCopy
from scalebox_hpc.agent.loop import Loop
from scalebox_hpc.agent.mounts import View
from scalebox_hpc.agent.runtimes import apptainer
from scalebox_hpc.agent.workdir import WorkDirs

RUNTIME = apptainer.recognise("apptainer", "/no/such/apptainer", "apptainer version 1.4.5")
COPY = LocalCopy("/no/such/copy.sif", ("copy",))
ENVIRON = {b"SBX_INCARNATION": b"i"}


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    here = os.getcwd()
    loop = Loop()
    children = Children(loop, PidfdWatch(loop))
    yield Setting(loop, children, WorkDirs(str(tmp_path)), ["/no/such/helper"], ENVIRON, {})
    children.kill_all()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    os.chdir(here)


def refusal(setting: Setting, directory: Path, copy: LocalCopy | None = None) -> str:
    """What the first task is told, once it is sure that nothing was left open."""
    wanted = Wanted("/i.sif", "", "", (), (), False, False, "no", ())
    plan = Plan(wanted, RUNTIME, View((), (), ()), str(directory), str(directory), "", {}, {}, "", copy)
    container = Container(1, plan, setting)
    told: list[str] = []
    before = os.listdir("/proc/self/fd")
    container.when_ready(Process(0, frozenset(), INF, lambda process: None), told.append)
    assert os.listdir("/proc/self/fd") == before
    assert container.is_gone
    container.when_ready(Process(0, frozenset(), INF, lambda process: None), told.append)
    [first, second] = told
    assert first == second
    return first


@pytest.mark.parametrize("copy", [None, COPY])
def test_without_room_for_what_its_runtime_says_it_is_refused(
    setting: Setting, tmp_path: Path, copy: LocalCopy | None
) -> None:
    (tmp_path / "said").mkdir()  # it can be opened as little as on a full disk
    assert str(tmp_path / "said") in refusal(setting, tmp_path, copy)


def test_without_a_descriptor_for_its_shell_it_is_refused(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left() -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(socket, "socketpair", none_left)
    assert "Too many open files" in refusal(setting, tmp_path)


@pytest.mark.parametrize(("copy", "program"), [(None, RUNTIME.path), (COPY, "/no/such/helper")])
def test_without_the_program_that_opens_it_it_is_refused(
    setting: Setting, tmp_path: Path, copy: LocalCopy | None, program: str
) -> None:
    assert program in refusal(setting, tmp_path, copy)
