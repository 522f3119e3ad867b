"""The one file that compute nodes run."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from scalebox_hpc.agent.options import UsageProblem, read_options
from scalebox_hpc.bundle import build_agent

FIXED = [
    "--shared",
    "/s",
    "--home",
    "h",
    "--try",
    "t",
    "--element",
    "3",
    "--restart",
    "1",
    "--incarnation",
    "i",
]
HEAVY = {
    "asyncio",
    "argparse",
    "dataclasses",
    "http.client",
    "inspect",
    "shutil",
    "subprocess",
    "urllib.request",
}


def test_it_holds_the_agent_and_nothing_else(tmp_path: Path) -> None:
    build_agent(tmp_path / "agent.pyz")
    names = set(zipfile.ZipFile(tmp_path / "agent.pyz").namelist())
    assert {"__main__.py", "scalebox_hpc/__init__.py", "scalebox_hpc/agent/main.py"} <= names
    others = names - {"__main__.py", "scalebox_hpc/__init__.py"}
    assert all(name.startswith("scalebox_hpc/agent/") for name in others)


def test_it_is_the_same_each_time_and_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "agent.pyz"
    build_agent(target)
    first, inode = target.read_bytes(), target.stat().st_ino
    build_agent(target)
    assert target.read_bytes() == first
    assert target.stat().st_ino != inode
    assert [path.name for path in tmp_path.iterdir()] == ["agent.pyz"]


def test_it_loads_nothing_heavy(tmp_path: Path) -> None:
    build_agent(tmp_path / "agent.pyz")
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'agent.pyz')!r})\n"
    code += "import scalebox_hpc.agent.main; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY & set(loaded.stdout.split()) == set()


def test_options_are_read() -> None:
    options = read_options(["run", *FIXED, "--walltime-s", "60.5", "--memory-mib", "7"])
    assert (options.verb, options.try_name, options.element, options.restart) == ("run", "t", 3, 1)
    assert (options.walltime_s, options.memory_mib, options.cpus) == (60.5, 7, None)
    assert options.token_path == "/s/tries/t/token"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["walk", *FIXED],
        ["run", *FIXED[2:]],
        ["run", *FIXED, "--bogus", "1"],
        ["run", *FIXED, "--cpus", "two"],
        ["run", *FIXED, "--cpus"],
    ],
)
def test_a_bad_command_line_is_told(words: list[str]) -> None:
    with pytest.raises(UsageProblem):
        read_options(words)
