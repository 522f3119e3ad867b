"""The relay's command line, and the one file that it is."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from scalebox_hpc.bundle import build_relay
from scalebox_hpc.relay.options import RelayProblem, read_options
from scalebox_hpc.sites.relay import RelayPlace

FIXED = ["--shared", "/s", "--home", "ab12"]
HEAVY = {
    "asyncio",
    "argparse",
    "hashlib",
    "http.client",
    "ssl",
    "subprocess",
    "threading",
    "tempfile",
}


def test_what_the_home_end_writes_is_read() -> None:
    place = RelayPlace("python3", "/s/relay.pyz", "/s", "ab12", "cd" * 32, (4000, 4010), ("ib0", "10.0.0.1"))
    assert place.attach()[:2] == ["python3", "/s/relay.pyz"]
    options = read_options(place.attach()[2:])
    assert (options.verb, options.shared, options.home) == ("attach", "/s", "ab12")
    assert (options.fingerprint, options.ports, options.advertise) == (
        "cd" * 32,
        (4000, 4010),
        ("ib0", "10.0.0.1"),
    )
    assert options.alone_s == 24 * 3600


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["walk", *FIXED],
        ["serve", "--shared", "s", "--home", "ab12"],
        ["serve", "--shared", "/s"],
        ["serve", *FIXED, "--bogus", "1"],
        ["serve", *FIXED, "--ports"],
        ["serve", *FIXED, "--ports", "4000"],
        ["serve", *FIXED, "--alone-s", "long"],
    ],
)
def test_a_bad_command_line_is_told(words: list[str]) -> None:
    with pytest.raises(RelayProblem, match="usage"):
        read_options(words)


def test_the_file_holds_the_relay_alone_and_serving_loads_nothing_heavy(tmp_path: Path) -> None:
    build_relay(tmp_path / "relay.pyz")
    names = set(zipfile.ZipFile(tmp_path / "relay.pyz").namelist())
    assert {"__main__.py", "scalebox_hpc/relay/serve.py"} <= names
    others = names - {"__main__.py", "scalebox_hpc/__init__.py"}
    assert all(name.startswith("scalebox_hpc/relay/") for name in others)
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'relay.pyz')!r})\n"
    code += "import scalebox_hpc.relay.serve; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY & set(loaded.stdout.split()) == set()
