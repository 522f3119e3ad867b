"""`sbx doctor`: what a run needs here, without a daemon and without a trace."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scalebox_hpc.errors import UsageError
from tests.cli.conftest import Say
from tests.cluster.box import wait_until

CHECKS = ["python", "home", "ledger", "daemon", "results", "site", "clock", "slurm", "batch", "address"]
CHECKS += ["shared", "scratch", "containers", "images"]
FAKE_SLURM = Path(__file__).parents[1] / "contract" / "fake_slurm"
SITE = 'batch = "slurm_cli"\nadvertise = "10.0.0.1"\n[machines.cpu]\ncpus = 2\n'


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SBX_HOME", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


@pytest.fixture
def slurm_site(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a site of fake Slurm, whose state lies there too."""
    (directory / "site-configs").mkdir()
    (directory / "site-configs" / "hpc1.toml").write_text(SITE + "default = true\n")
    monkeypatch.setenv("FAKE_SLURM", str(directory))
    monkeypatch.setenv("PATH", f"{FAKE_SLURM}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_STATE_HOME", str(directory / "state"))
    return directory


def test_all_checks_in_order_one_line_each_and_no_trace(sbx: Say, directory: Path) -> None:
    result = sbx(None, "doctor")
    assert result.exit_code == 0, result.stdout
    lines = [line for line in result.stdout.splitlines() if line[0] != " "]
    assert lines[0].startswith("site local, seen from ")
    named = list(dict.fromkeys(line.split()[1] for line in lines[1:]))
    assert named == CHECKS
    assert {line.split()[0] for line in lines[1:]} <= {"ok", "warn"}
    assert not list(directory.iterdir())


def test_json_has_every_check_with_its_remedy(sbx_json: Say, directory: Path) -> None:
    found = sbx_json(None, "doctor")
    assert set(found) == {"host", "site", "verdict", "checks"}
    assert found["verdict"] in ("ok", "warn")
    assert all(set(check) == {"check", "verdict", "fact", "remedy"} for check in found["checks"])
    assert list(dict.fromkeys(check["check"] for check in found["checks"])) == CHECKS


def test_an_unknown_site_fails_and_the_rest_is_checked(sbx: Say, directory: Path) -> None:
    result = sbx(None, "doctor", "--site", "nowhere")
    assert result.exit_code == 4
    assert "fail  site         there is no site 'nowhere'" in result.stdout
    assert "sites: local, slurm" in result.stdout
    assert "ok    home" in result.stdout


def test_the_site_is_that_of_the_pipeline_here(
    sbx: Say, directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (directory / "pipeline.toml").write_text('sbx = 1\n[pipeline]\nname = "p"\nsite = "hpc1"\n')
    (directory / "site-configs").mkdir()
    (directory / "site-configs" / "hpc1.toml").write_text(SITE)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("FAKE_SLURM", str(tmp_path))
    result = sbx(None, "doctor")
    assert result.stdout.startswith("site hpc1, ")
    assert "fail  slurm        not in PATH: sbatch" in result.stdout
    assert result.exit_code == 4

    monkeypatch.setenv("PATH", f"{FAKE_SLURM}:/usr/bin:/bin")
    result = sbx(None, "doctor")
    assert "ok    slurm        Slurm " in result.stdout
    assert "ok    address      agents look for the daemon at 10.0.0.1" in result.stdout
    assert result.exit_code == 0, result.stdout


def test_a_home_that_cannot_be_made_fails(sbx: Say, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SBX_HOME", "/proc/home")
    result = sbx(None, "doctor")
    assert result.exit_code == 4
    assert "fail  home         /proc/home cannot be written" in result.stdout
    assert "SBX_HOME=/some/where" in result.stdout


def test_a_walltime_above_what_slurm_allows(
    sbx: Say, slurm_site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (slurm_site / "pipeline.toml").write_text(
        'sbx = 1\n[pipeline]\nname = "p"\nsite = "hpc1"\n[pools.big]\nwalltime = "3d"\n'
        '[modules.m]\nrun = "true"\nseed = ["1"]\npool = "big"\n'
    )
    (slurm_site / "partitions").write_text("PartitionName=main Default=YES State=UP MaxTime=2-00:00:00\n")
    result = sbx(None, "doctor")
    assert result.exit_code == 4
    assert "pool big asks for 3d, MaxTime of main allows 2d" in result.stdout
    assert 'write walltime = "2d" or less for pool big in pipeline.toml' in result.stdout


def checks(result: Any) -> dict[str, Any]:
    return {each["check"]: each for each in json.loads(result.stdout)["checks"]}


def test_a_probe_of_this_machine_greets_a_listener_and_leaves_no_trace(sbx: Say, directory: Path) -> None:
    result = sbx(None, "doctor", "--probe", "--json")
    found = checks(result)
    assert result.exit_code == 0, result.stdout
    assert found["probe"]["fact"].startswith("an element began on ")
    assert "a listener in the daemon's place was reached" in found["reach"]["fact"]
    assert found["node shared"]["verdict"] == found["node scratch"]["verdict"] == "ok"
    assert not list(directory.iterdir())


def test_a_probe_that_stays_pending_says_why_and_is_cancelled(sbx: Say, slurm_site: Path) -> None:
    result = sbx(None, "doctor", "--site", "hpc1", "--probe", "--wait", "1s", "--json")
    assert result.exit_code == 4
    assert "(Resources, or so); it was cancelled" in checks(result)["probe"]["fact"]
    assert "--wait 1h" in checks(result)["probe"]["remedy"]
    assert elements(slurm_site) == {"0": "CANCELLED"}
    assert not list(slurm_site.glob(".sbx*"))


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_probe_is_cancelled_and_removed(slurm_site: Path, sent: signal.Signals) -> None:
    words = ["-c", "from scalebox_hpc.cli.entry import main; main()", "doctor", "--site", "hpc1", "--probe"]
    # The suite may have been started to ignore Ctrl-C.
    typed = ["env", "--default-signal=INT", sys.executable, *words]
    doctor = subprocess.Popen(typed, cwd=slurm_site)
    try:
        wait_until(lambda: elements(slurm_site), 30, "the submission")
        doctor.send_signal(sent)
        assert doctor.wait(30) == 130
    finally:
        doctor.kill()
        doctor.wait()
    assert elements(slurm_site) == {"0": "CANCELLED"}
    assert not list(slurm_site.glob(".sbx*"))


def test_a_probe_counts_as_a_submission(sbx: Say, slurm_site: Path) -> None:
    with (slurm_site / "site-configs" / "hpc1.toml").open("a") as file:
        file.write("[limits]\nsubmissions_per_minute = 1\n")
    words = ["doctor", "--site", "hpc1", "--probe", "--wait", "1s", "--json"]
    assert "cancelled" in checks(sbx(None, *words))["probe"]["fact"]
    assert "within a minute" in checks(sbx(None, *words))["probe"]["fact"]


def test_a_machine_that_the_site_has_not(sbx: Say, slurm_site: Path) -> None:
    with pytest.raises(UsageError, match="site hpc1 has no machine 'cpo'") as raised:
        sbx(None, "doctor", "--site", "hpc1", "--probe", "--machine", "cpo")
    assert "did you mean" in raised.value.hint
    assert elements(slurm_site) == {}


@pytest.mark.parametrize("words", [["--machine", "cpu"], ["--probe", "--wait", "soon"]])
def test_words_that_make_no_sense(sbx: Say, directory: Path, words: list[str]) -> None:
    with pytest.raises(UsageError):
        sbx(None, "doctor", *words)


def elements(slurm: Path) -> dict[str, str]:
    """The elements of the one job that the fake Slurm was asked for, and their states."""
    try:
        jobs = json.loads((slurm / "jobs.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return next((dict(job["elements"]) for job in jobs.values()), {})
