"""What is shown of a module with several sites before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Say

PIPELINE = """
sbx = 1
[pipeline]
name = "wide"
site = "hpc1"
[modules.work]
run = ["echo", "{body}"]
seed = ["1", "2", "3", "4"]
site = ["hpc1", { name = "hpc2", weight = 3 }, { name = "hpc3", when_pending = "10m" }]
"""
SITE = 'batch = "slurm_cli"\n[machines.thin]\ndefault = true\ncpus = 1\nmemory = "4G"\n'


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pipeline.toml").write_text(PIPELINE)
    (tmp_path / "site-configs").mkdir()
    for name in ("hpc1", "hpc2", "hpc3"):
        (tmp_path / "site-configs" / f"{name}.toml").write_text(SITE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SBX_HOME", raising=False)
    return tmp_path


def test_plan_shows_the_share_of_each_site_and_what_it_waits_for(sbx_json: Say, directory: Path) -> None:
    pools = {each["site"]: each for each in sbx_json(None, "plan")["pools"]}
    assert [pools[site]["elements"] for site in ("hpc1", "hpc2", "hpc3")] == [1, 3, 1]
    assert [pools[site]["when"] for site in ("hpc1", "hpc2")] == ["at once", "at once"]
    wait = "when tasks of work have been kept waiting for 10m at hpc1, hpc2"
    assert pools["hpc3"]["when"] == wait


def test_check_describe_and_graph_name_all_sites(sbx: Say, sbx_json: Say, directory: Path) -> None:
    assert "at sites hpc1, hpc2, hpc3" in sbx(None, "check").stdout
    assert sbx_json(None, "check")["sites"] == {"work": "hpc1, hpc2, hpc3"}
    assert "hpc1, hpc2, hpc3" in sbx(None, "describe").stdout
    assert "work: at hpc1, hpc2, hpc3, seeded" in sbx(None, "graph").stdout
