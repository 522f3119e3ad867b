"""What this machine says when asked: real directories, ledgers and locks; runtimes are stood in for."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from scalebox_hpc.daemon.home import create
from scalebox_hpc.doctor import ask
from scalebox_hpc.errors import LedgerProblem
from scalebox_hpc.holder import ProcFs
from scalebox_hpc.ledger.sqlite import SqliteStore
from scalebox_hpc.ledger.statements import newest_format

BUILDCFG = """#!/bin/sh
case $1 in
  --version) echo 'apptainer version 1.3.6-1.el8' ;;
  buildcfg) echo LIBEXECDIR={directory}/libexec ;;
esac
"""


def test_a_place_that_can_be_used_is_left_as_it_was(tmp_path: Path) -> None:
    found = ask.place(tmp_path)
    assert (found.exists, found.problem, found.links, found.locks) == (True, "", True, True)
    assert found.replaces
    assert found.free_mib > 0
    assert 0 < found.fsync_s < 60
    assert abs(found.ahead_s) < 60
    assert not list(tmp_path.iterdir())


def test_a_place_that_is_not_there_yet_is_judged_by_where_it_would_be_made(tmp_path: Path) -> None:
    found = ask.place(tmp_path / "not" / "yet")
    assert (found.path, found.exists, found.problem) == (str(tmp_path / "not" / "yet"), False, "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["/proc/nothing", "/dev/null/nothing"])
def test_a_place_where_no_file_can_be_made_says_why(path: str) -> None:
    assert ask.place(Path(path)).problem


def test_a_home_that_is_none_yet_is_not_made(tmp_path: Path) -> None:
    found = ask.home(tmp_path / ".sbx")
    assert (found.opened, found.problem) == (None, None)
    assert not list(tmp_path.iterdir())


def test_a_home_that_lies_elsewhere_than_it_remembers(tmp_path: Path) -> None:
    create(tmp_path / ".sbx")
    (tmp_path / ".sbx").rename(tmp_path / "moved")
    assert "was at" in str(ask.home(tmp_path / "moved").problem)


def test_a_ledger_is_looked_at_without_changing_it(tmp_path: Path) -> None:
    home = create(tmp_path / ".sbx")
    assert ask.ledger(home) is None
    SqliteStore(home.ledger, create=True).close()
    before = home.ledger.read_bytes()
    found = ask.ledger(home)
    assert found is not None
    assert (found.format, found.problem) == (newest_format(), None)
    assert home.ledger.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"no ledger at all, but long enough to be one" * 100, b"SQLite format 3\0"]
)
def test_a_damaged_ledger_is_named(tmp_path: Path, content: bytes) -> None:
    home = create(tmp_path / ".sbx")
    home.ledger.write_bytes(content)
    found = ask.ledger(home)
    assert found is not None
    assert isinstance(found.problem, LedgerProblem)
    assert str(home.ledger) in found.problem.fact


def test_no_daemon(tmp_path: Path) -> None:
    found = ask.daemon(tmp_path / ".sbx")
    assert (found.answers, found.holder, found.problem) == (False, None, None)


def test_a_lock_tells_whether_its_holder_lives(tmp_path: Path) -> None:
    home = create(tmp_path / ".sbx")
    me = ProcFs().myself()
    home.lock.write_text(json.dumps(asdict(me)))
    assert ask.daemon(home.path).lives
    home.lock.write_text(json.dumps(asdict(me) | {"started": "1"}))
    assert ask.daemon(home.path).gone
    home.lock.write_text(json.dumps(asdict(me) | {"host": "elsewhere"}))
    found = ask.daemon(home.path)
    assert (found.lives, found.gone) == (False, False)
    home.lock.write_text("{")
    assert "cannot be read" in str(ask.daemon(home.path).problem)


def test_an_interface_that_is_not_there(tmp_path: Path) -> None:
    assert ask.addresses([]).found
    assert "nosuch0" in str(ask.addresses(["nosuch0"]).problem)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that is first in PATH."""
    made = tmp_path / "programs"
    made.mkdir()
    monkeypatch.setenv("PATH", f"{made}:/usr/bin:/bin")
    return made


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def test_a_runtime_is_asked_for_its_version_and_its_setuid_starter(programs: Path) -> None:
    program(programs / "apptainer", BUILDCFG.format(directory=programs))
    found = ask.containers("").runtimes[0]
    assert (found.name, found.version, found.setuid) == ("apptainer", "1.3.6-1.el8", False)
    starter = programs / "libexec" / "apptainer" / "bin" / "starter-suid"
    program(starter, "")
    assert not ask.containers("").runtimes[0].setuid
    starter.chmod(0o4755)
    assert ask.containers("").runtimes[0].setuid


def test_singularity_may_be_apptainer_by_another_name(programs: Path) -> None:
    program(programs / "singularity", BUILDCFG.format(directory=programs))
    [found] = [each for each in ask.containers("").runtimes if each.name == "singularity"]
    assert found.family == "apptainer"


def test_squashfuse_may_come_with_the_runtime(programs: Path) -> None:
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("there is no /dev/fuse here")
    program(programs / "apptainer", BUILDCFG.format(directory=programs))
    program(programs / "libexec" / "apptainer" / "bin" / "squashfuse_ll", "")
    assert ask.containers("").squashfuse


def test_why_there_are_no_namespaces(programs: Path) -> None:
    program(programs / "unshare", "#!/bin/sh\necho 'unshare: Operation not permitted' >&2; exit 1\n")
    assert ask.containers("").namespaces == "unshare: Operation not permitted"
    program(programs / "unshare", "#!/bin/sh\n")
    assert ask.containers("").namespaces == ""


def test_slurm_that_is_not_here(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(programs))
    assert ask.slurm().missing == ("sbatch", "squeue", "scancel", "scontrol")
