"""Limits of parallel streams over all processes of a user."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from scalebox_hpc.disk import make_private
from scalebox_hpc.errors import EnvironmentProblem
from scalebox_hpc.transfer.streams import Streams

HOLD = """
import sys
from pathlib import Path
from scalebox_hpc.transfer.streams import Streams
with Streams({"b": 1}, Path(sys.argv[1])).one():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_waits_for_its_stream_and_a_killed_one_gives_it_back(tmp_path: Path) -> None:
    words = [sys.executable, "-c", HOLD, str(tmp_path / "locks")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        ended = threading.Event()
        ended.set()
        with (
            pytest.raises(EnvironmentProblem, match="waited for a stream"),
            Streams({"b": 1}, tmp_path / "locks").one(ended),
        ):
            pass
        with Streams({"c": 1}, tmp_path / "locks").one(ended):
            pass  # another site has streams of its own
        with Streams({"b": 2}, tmp_path / "locks").one(ended):
            pass  # as has a site that allows more
        other.kill()
    with Streams({"b": 1}, tmp_path / "locks").one(threading.Event()):
        pass


FILL = """
import subprocess, sys
from pathlib import Path
from scalebox_hpc.transfer import pour
from scalebox_hpc.transfer.streams import Streams

AS_SSH = "import os, sys; os.closerange(3, 1000); os.read({}, 1)"  # it keeps nothing else open

with Streams({}, Path(sys.argv[1])).alone("a to b") as lock:
    match sys.argv[2]:
        case "rsync":
            subprocess.Popen(["cat"], close_fds=False)
        case "push":  # the file is its input
            pour.started([sys.executable, "-c", AS_SSH.format(0)], sys.stdin.buffer, lock, to_site=True)
        case "pull":
            words = [sys.executable, "-c", AS_SSH.format(1)]
            pour.started(words, sys.stdin.buffer, lock, to_site=False)
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("child", ["rsync", "push", "pull"])
def test_another_try_of_a_transfer_waits_until_all_processes_of_a_killed_one_have_ended(
    tmp_path: Path, child: str
) -> None:
    words = [sys.executable, "-c", FILL, str(tmp_path / "locks"), child]
    ended = threading.Event()
    ended.set()
    here = Streams({}, tmp_path / "locks")
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "held\n"
        with here.alone("a to c", ended):
            pass  # another transfer
        other.kill()
        other.wait()
        with pytest.raises(EnvironmentProblem, match="waited for another try"), here.alone("a to b", ended):
            pass  # its child is at work
        other.stdin.close()
        with here.alone("a to b"), pytest.raises(EnvironmentProblem), here.alone("a to b", ended):
            pass  # one at a time within a process, too
    with here.alone("a to b", ended):
        pass


def test_a_folder_that_others_may_enter_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o755)
    with pytest.raises(PermissionError):
        make_private(tmp_path / "open")
