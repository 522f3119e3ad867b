"""`sbx get` and `sbx put`, typed, with a login node that is this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scalebox_hpc.testing.sshd import Sshd, program, running
from tests.cluster.box import wait_until

SBX = str(Path(sys.executable).with_name("sbx"))


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """The login node of site b."""
    if program() is None:
        pytest.skip("needs an sshd")
    with running(tmp_path_factory.mktemp("door")) as server:
        yield server


@pytest.fixture
def here(door: Sshd, tmp_path: Path) -> Path:
    """A directory beside whose files lies the site file."""
    (tmp_path / "site-configs").mkdir()
    ssh = door.ssh
    text = f'batch = "slurm"\n[ssh]\nhost = "{ssh.host}"\nport = {ssh.port}\nkey = "{ssh.key}"\n'
    (tmp_path / "site-configs" / "b.toml").write_text(f'{text}known_hosts = "{ssh.known_hosts}"\n')
    return tmp_path


def sbx(here: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Type a command."""
    return subprocess.run([SBX, *words], cwd=here, capture_output=True, text=True, check=False, timeout=60)


def test_a_directory_goes_there_and_a_file_of_it_comes_back(here: Path) -> None:
    (here / "raw").mkdir()
    (here / "raw" / "a b").write_text("1")
    done = sbx(here, "put", "raw", f"b:{here}/there", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["way"], told["files"], told["moved_bytes"]) == ("push", 1, 1)
    (here / "mine").mkdir()
    done = sbx(here, "get", f"b:{here}/there/a b", "mine", "--move", "--limit", "10M", "--streams", "1")
    assert done.returncode == 0, done.stderr
    assert "pull: 1 file, 1B" in done.stdout
    assert (here / "mine" / "a b").read_text() == "1"
    assert not (here / "there" / "a b").exists()


def test_a_directory_whose_copy_was_ended_by_control_c_goes_on_by_the_same_command(here: Path) -> None:
    (here / "raw" / "deep").mkdir(parents=True)
    (here / "raw" / "large").write_bytes(os.urandom(70 << 20))
    (here / "raw" / "deep" / "small").write_text("1")
    words = ("get", f"b:{here}/raw", "mine")
    typed = [
        "env",
        "--default-signal=INT",
        SBX,
        *words,
        "--limit",
        "2M",
    ]  # a job in the background ignores it
    with subprocess.Popen(
        typed, cwd=here, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as begun:
        wait_until(lambda: list(here.glob("mine/.sbx-*/whole-*")), 30, "the first bytes")
        os.killpg(begun.pid, signal.SIGINT)
        said = begun.communicate(timeout=30)[1]
        assert begun.returncode == 130, said
    done = sbx(here, *words)
    assert done.returncode == 0, done.stderr
    assert {str(path.relative_to(here / "mine")) for path in (here / "mine").rglob("*")} == {
        "large",
        "deep",
        "deep/small",
    }
    assert (here / "mine" / "large").read_bytes() == (here / "raw" / "large").read_bytes()
    done = sbx(here, *words)
    assert (here / "mine" / "raw" / "large").exists(), "as cp does, into a directory that is there"


def test_what_is_wrong_is_told_with_what_to_do(here: Path) -> None:
    for words, said in (
        (["get", f"b:{here}/nowhere"], "there is no"),
        (["get", "nosuch:/x"], "there is no site 'nosuch'"),
        (["get", f"b:{here}/site-configs/..", "mine/"], "name the copy itself"),
        (["put", "site-configs", "b:/x", "--limit", "fast"], "not a size"),
    ):
        done = sbx(here, *words)
        assert done.returncode == 2
        assert said in done.stderr


def test_a_site_that_cannot_be_reached_is_a_fault_of_the_environment(here: Path, door: Sshd) -> None:
    file = here / "site-configs" / "b.toml"
    file.write_text(file.read_text().replace(f"port = {door.port}", "port = 1"))
    done = sbx(here, "get", f"b:{here}/site-configs", "x")
    assert done.returncode == 4
    assert "site b" in done.stderr
