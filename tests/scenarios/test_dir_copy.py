"""A directory copied by list and copy modules between two sites, byte for byte, killed or not: S77, S79."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scalebox_hpc.testing.sshd import Sshd, program, running
from tests.scenarios.lab import EXAMPLES, Lab

SMALL, LARGE, LARGE_MIB = 300, 2, 3


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Sshd]]:
    """The login nodes of two sites, both this machine."""
    if program() is None:
        pytest.skip("needs an sshd")
    folder = tmp_path_factory.mktemp("doors")
    with running(folder / "a") as a, running(folder / "b") as b:
        yield {"a": a, "b": b}


@pytest.fixture
def places(lab: Lab, doors: dict[str, Sshd], tmp_path: Path) -> list[str]:
    """The example and its data, smaller; the words that name the places."""
    lab.example("dir-copy")
    for name, door in doors.items():
        lab.file(f"site-configs/{name}.toml", site_file(door))
    words = [f"--small={SMALL}", f"--large={LARGE}", f"--large-mib={LARGE_MIB}"]
    make = EXAMPLES / "dir-copy" / "make_data.py"
    subprocess.run([sys.executable, make, tmp_path / "at-a", *words], check=True)
    return ["-p", f"source=a:{tmp_path}/at-a", "-p", f"target=b:{tmp_path}/at-b"]


def site_file(door: Sshd) -> str:
    """A site file for a login node."""
    ssh = {
        "host": door.ssh.host,
        "port": door.port,
        "key": str(door.key),
        "known_hosts": str(door.known_hosts),
    }
    return 'batch = "slurm"\n[ssh]\n' + "".join(
        f"{key} = {json.dumps(value)}\n" for key, value in ssh.items()
    )


def check_copy(tmp_path: Path) -> None:
    """All of it is there, byte for byte, and nothing else."""
    compared = subprocess.run(
        ["diff", "--recursive", "--brief", tmp_path / "at-a", tmp_path / "at-b"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (compared.returncode, compared.stdout) == (0, "")


def test_s79_a_directory_is_copied_between_two_sites(lab: Lab, places: list[str], tmp_path: Path) -> None:
    lab.run(*places)
    check_copy(tmp_path)
    assert int(lab.result("copied.txt")) == SMALL + LARGE + 1
    assert lab.states("verify") == {"SUCCEEDED": 1}


def test_a_directory_is_copied_as_archives(lab: Lab, places: list[str], tmp_path: Path) -> None:
    packed = [
        f"packed_{end}={site}:{tmp_path}/packed-{site}" for end, site in (("source", "a"), ("target", "b"))
    ]
    lab.run(*places, "-p", packed[0], "-p", packed[1], pipeline="pipeline-packed.toml")
    check_copy(tmp_path)
    assert list((tmp_path / "packed-a").iterdir()) == list((tmp_path / "packed-b").iterdir()) == []
    assert lab.states("verify") == {"SUCCEEDED": 1}


def test_s79_a_copy_that_is_killed_in_the_middle_goes_on(lab: Lab, places: list[str], tmp_path: Path) -> None:
    slow = (lab.directory / "pipeline.toml").read_text()
    slow = slow.replace('FILES = "2500", SIZE = "64M"', 'FILES = "100", SIZE = "8M"')
    lab.pipeline(
        slow.replace('env = { TO = "{params.target}" }', 'env = { TO = "{params.target}", LIMIT = "1M" }')
    )
    lab.run("--detach", *places)

    def arrived() -> dict[Path, int]:
        return {path: path.stat().st_ino for path in (tmp_path / "at-b").glob("small/*/*.dat")}

    there = lab.wait(arrived, 90, "the first files")
    assert lab.module("copy")["succeeded"] < len(lab.tasks("copy"))
    lab.kill_all()
    assert lab.sbx("daemon", "start").exit_code == 0
    status = lab.wait_for_end()
    failed = [row for row in lab.rows() if row["outcome"] != "SUCCEEDED" and row["cause"] != "agent_lost"]
    assert not failed, json.dumps(failed, indent=1)
    assert status["state"] == "SUCCEEDED", status["notes"]
    check_copy(tmp_path)
    assert int(lab.result("copied.txt")) == SMALL + LARGE + 1
    done = [row for row in lab.rows() if row["module"] == "copy" and row["outcome"] == "SUCCEEDED"]
    assert len(done) == len(lab.tasks("copy")), "each part counted once"
    kept = [path for path, inode in there.items() if path.stat().st_ino == inode]
    assert kept, "what had arrived is still the same file"
