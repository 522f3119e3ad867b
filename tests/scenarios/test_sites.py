"""A second site behind a real sshd of this machine, with a stand-in for its Slurm. S14."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scalebox_hpc.testing.sshd import Sshd, program, running
from tests.scenarios.lab import Lab, command_lines

SLURM = Path(__file__).parent / "stand_in_slurm"
SITE = """
batch = "slurm_cli"
python = "python3"
interval = "1s"
advertise = "127.0.0.1"

[paths]
shared = "{shared}"

[ssh]
host = "{host}"
port = {port}
key = "{key}"
known_hosts = "{known_hosts}"

[machines.small]
cpus = 2
memory = "2G"
"""


@dataclass(frozen=True)
class Other:
    """Site b."""

    server: Sshd
    shared: Path

    def relays(self) -> list[int]:
        """The processes of its relays."""
        mark = str(self.shared).encode()
        return [
            pid for pid, words in command_lines() if b"serve" in words and any(mark in word for word in words)
        ]


@pytest.fixture
def other(lab: Lab, tmp_path: Path) -> Iterator[Other]:
    if program() is None:
        pytest.skip("no sshd is installed (apt-get install openssh-server)")
    state = tmp_path / "slurm"
    path = f"{SLURM}:{os.environ['PATH']}"
    more = f'SetEnv "PATH={path}" "STAND_IN_SLURM={state}"\n'
    with running(tmp_path / "sshd", more) as server:
        ssh, shared = server.ssh, tmp_path / "b" / "shared"
        text = SITE.format(
            shared=shared, host=ssh.host, port=ssh.port, key=ssh.key, known_hosts=ssh.known_hosts
        )
        lab.example("cross-site-primes")
        lab.file("site-configs/b.toml", text)
        yield Other(server, shared)
        lab.close()


def test_s14_primes_are_counted_at_another_site(lab: Lab, other: Other) -> None:
    lab.run()
    assert lab.result("total.txt") == "1229\n"
    rows = lab.rows()
    assert {row["module"]: row["site"] for row in rows} == {
        "scatter": "local",
        "count": "b",
        "total": "local",
    }
    assert len(rows) == 12
