"""`sbx doctor`: what a run needs here, without a daemon and without a trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Say

CHECKS = ["python", "home", "ledger", "daemon", "site", "slurm", "batch", "address"]
CHECKS += ["shared", "scratch", "containers", "images"]
FAKE_SLURM = Path(__file__).parents[1] / "contract" / "fake_slurm"
SITE = 'batch = "slurm_cli"\nadvertise = "10.0.0.1"\n[machines.cpu]\ncpus = 2\n'


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SBX_HOME", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


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
    assert "fail  site        there is no site 'nowhere'" in result.stdout
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
    assert "fail  slurm       not in PATH: sbatch" in result.stdout
    assert result.exit_code == 4

    monkeypatch.setenv("PATH", f"{FAKE_SLURM}:/usr/bin:/bin")
    result = sbx(None, "doctor")
    assert "ok    slurm       Slurm " in result.stdout
    assert "ok    address     agents look for the daemon at 10.0.0.1" in result.stdout
    assert result.exit_code == 0, result.stdout


def test_a_home_that_cannot_be_made_fails(sbx: Say, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SBX_HOME", "/proc/home")
    result = sbx(None, "doctor")
    assert result.exit_code == 4
    assert "fail  home        /proc/home cannot be written" in result.stdout
    assert "SBX_HOME=/some/where" in result.stdout
