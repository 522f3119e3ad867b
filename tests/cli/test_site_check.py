"""`sbx site check`: words, exit codes and JSON, for this machine and for a site behind a fake link."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scalebox_hpc.doctor import ask_site, examine
from scalebox_hpc.doctor.facts import Movers
from scalebox_hpc.errors import LoginNeeded, PipelineErrors, UsageError
from scalebox_hpc.testing.transport import FakeTransport
from tests.cli.conftest import Say

FAKE_SLURM = Path(__file__).parents[1] / "contract" / "fake_slurm"
HERE = [
    "site",
    "host",
    "host key",
    "log in",
    "login python",
    "shared",
    "slurm",
    "containers",
    "scratch",
    "transfers",
    "clock",
]
SITE = """batch = "slurm"
[ssh]
host = "127.0.0.1"
port = {port}
config = "/dev/null"
python = "{python}"
[paths]
shared = "{shared}"
[machines.cpu]
cpus = 2
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "here"
    made.mkdir()
    monkeypatch.chdir(made)
    monkeypatch.delenv("SBX_HOME", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return made


@pytest.fixture
def there(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTransport]:
    """The link to a site called b, whose home is `there` beside the directory."""
    home = directory.parent / "there"
    home.mkdir()
    monkeypatch.setenv("FAKE_SLURM", str(directory.parent))
    monkeypatch.setenv("PATH", f"{FAKE_SLURM}:/usr/bin:/bin")
    link = FakeTransport(home)
    monkeypatch.setattr(examine, "transport_of", lambda site: link)
    monkeypatch.setattr(ask_site, "movers", lambda site: Movers("ssh b true", "3.2.7", "3.1.3", "xxh3"))
    (directory / "site-configs").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as door:
        words = {"port": door.getsockname()[1], "python": sys.executable, "shared": home / "sbx"}
        (directory / "site-configs" / "b.toml").write_text(SITE.format(**words))
        yield link


def test_this_machine_is_proved_down_to_an_element_that_calls_home(sbx: Say, directory: Path) -> None:
    result = sbx(None, "site", "check", "local")
    assert result.exit_code == 0, result.stdout
    lines = [line for line in result.stdout.splitlines() if line[0] != " "]
    assert {line.split()[0] for line in lines} <= {"ok", "warn"}
    named = list(dict.fromkeys(line[6:18].strip() for line in lines))
    assert named[: len(HERE)] == HERE
    assert named[len(HERE) : len(HERE) + 2] == ["probe", "reach"]
    assert not list(directory.iterdir())


def test_without_a_probe_nothing_is_submitted(sbx_json: Say, there: FakeTransport) -> None:
    found = sbx_json(None, "site", "check", "b", "--no-probe")
    assert set(found) == {"site", "verdict", "checks"}
    assert all(set(check) == {"check", "verdict", "fact", "remedy"} for check in found["checks"])
    assert found["site"] == "b"
    assert found["verdict"] in ("ok", "warn")
    assert found["checks"][-1]["check"] == "clock"
    assert not elements(Path.cwd().parent)


def test_a_failure_is_told_with_its_remedy_and_the_rest_is_not_asked(sbx: Say, there: FakeTransport) -> None:
    there.cut(LoginNeeded("b: nobody is logged in", "log in by: sbx site login b"))
    result = sbx(None, "site", "check", "b")
    assert result.exit_code == 4
    lines = result.stdout.splitlines()
    at = lines.index("fail  log in       b: nobody is logged in")
    assert lines[at + 1].strip() == "log in by: sbx site login b"
    assert lines[at + 2] == "skip  login python not asked: see `log in`"
    assert lines[-1] == "skip  probe        not asked: see `log in`"


def test_a_probe_that_stays_pending_leaves_nothing_there(sbx: Say, there: FakeTransport) -> None:
    result = sbx(None, "site", "check", "b", "--wait", "1s", "--json")
    assert result.exit_code == 4
    probe = json.loads(result.stdout)["checks"][-1]
    assert probe["check"] == "probe"
    assert "(Resources, or so); it was cancelled" in probe["fact"]
    outside = Path.cwd().parent
    assert elements(outside) == {"0": "CANCELLED"}
    assert not list(outside.glob("there/sbx/*"))
    assert not list(outside.glob("here/.sbx*"))


def test_doctor_asks_the_same_of_a_site_elsewhere(sbx_json: Say, there: FakeTransport) -> None:
    names = [check["check"] for check in sbx_json(None, "doctor", "--site", "b")["checks"]]
    assert names[names.index("site") :] == [*HERE[:7], "limits", "endings", "machine", *HERE[7:]]


def test_a_wrong_site_file_is_a_usage_error(sbx: Say, there: FakeTransport) -> None:
    file = Path("site-configs/b.toml")
    file.write_text(file.read_text().replace("cpus", "cpu"))
    with pytest.raises(PipelineErrors, match="did you mean"):
        sbx(None, "site", "check", "b")
    with pytest.raises(UsageError, match="there is no site 'c'"):
        sbx(None, "site", "check", "c")
    assert not there.asked


def test_a_machine_that_the_site_has_not(sbx: Say, there: FakeTransport) -> None:
    with pytest.raises(UsageError, match="site b has no machine 'gpu'"):
        sbx(None, "site", "check", "b", "--machine", "gpu")
    assert not there.asked


def elements(slurm: Path) -> dict[str, Any]:
    """The elements of the one job that the fake Slurm was asked for, and their states."""
    try:
        jobs = json.loads((slurm / "jobs.json").read_text())
    except FileNotFoundError:
        return {}
    return next((dict(job["elements"]) for job in jobs.values()), {})
