"""What keeps a home in order over months: metrics for Prometheus, runs removed, room given back."""

import json
import ssl
import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.scenarios.lab import Lab

PIPELINE = """
sbx = 1
[pipeline]
name = "words"
[modules.say]
run = "echo {body}; echo {body} > $SBX_SHARED/{body}; mkdir publish; echo {body} > publish/{body}"
seed = ["one", "two", "three"]
"""


def scrape(lab: Lab, token: str) -> dict[str, float]:
    """Read /metrics as the documented prometheus.yml says: by the home's certificate and a token."""
    contact = json.loads((lab.home / "daemon.json").read_text())
    port = contact["address"].rpartition(":")[2]
    trusted = ssl.create_default_context(cafile=str(lab.home / "tls.crt"))
    asked = urllib.request.Request(
        f"https://localhost:{port}/metrics", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(asked, context=trusted, timeout=30) as answer:
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        return values(answer.read().decode())


def values(text: str) -> dict[str, float]:
    """The sum of each metric's samples."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def settle(lab: Lab, tmp_path: Path, text: str) -> None:
    """Write the user's settings."""
    (tmp_path / "config" / "sbx").mkdir(parents=True)
    (tmp_path / "config" / "sbx" / "settings.toml").write_text(text)
    lab.env["XDG_CONFIG_HOME"] = str(tmp_path / "config")


def test_prometheus_reads_what_the_daemon_counts_with_a_token_of_its_own(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "textfile").mkdir()
    settle(lab, tmp_path, f'metrics_folder = "{tmp_path}/textfile"\n')
    lab.pipeline(PIPELINE)
    lab.run()
    assert lab.sbx("daemon", "metrics-token", "-o", "token").exit_code == 0
    file = lab.directory / "token"
    assert file.stat().st_mode & 0o777 == 0o600
    found = scrape(lab, file.read_text())
    assert found["sbx_attempts_total"] == 3.0
    assert found["sbx_batch_seconds_count"] >= 1.0
    assert found["sbx_turn_seconds_count"] >= 3.0
    assert 10e6 < found["process_resident_memory_bytes"] < 1e9
    assert found["sbx_ledger_bytes"] > 4096
    assert lab.json("daemon", "metrics-token")["token"] == file.read_text()
    home = json.loads((lab.home / "home.json").read_text())["id"]
    written = tmp_path / "textfile" / f"sbx-{home}.prom"
    lab.wait(lambda: values(written.read_text()).get("sbx_attempts_total") == 3.0, 60, "the metrics' file")
    assert written.stat().st_mode & 0o777 == 0o644
    lab.sbx("daemon", "stop")
    assert not written.exists()


def test_a_run_is_removed_with_all_its_files_but_its_results(lab: Lab) -> None:
    lab.pipeline(PIPELINE.replace("; mkdir publish", "; exit 3"))
    lab.run(exit_code=1)
    gone = lab.status()["run"]
    lab.pipeline(PIPELINE)
    lab.run()
    kept = lab.status()["run"]
    [would] = lab.json("rm", gone, "--dry-run")["runs"]
    assert (would["run"], would["state"], would["tasks"]) == (gone, "FAILED", 3)
    assert would["files"] >= 3 + 2 + 1
    assert lab.sbx("rm", gone).stdout.splitlines()[-1] == f"removed: {gone}"
    assert [run["run"] for run in lab.json("status", "--all")["runs"]] == [kept]
    shared = lab.home / "shared"
    lab.wait(lambda: not (shared / "runs" / gone).exists(), 60, "the run's files to go")
    lab.wait(lambda: not (lab.home / "seeds" / f"{gone}.jsonl").exists(), 60, "its seeds to go")
    assert not [path for path in (shared / "tries").iterdir() if gone in path.name]
    assert lab.sbx("log", "say.1", "--run", kept).stdout == "one\n"
    assert (lab.directory / "results" / gone).is_dir()
    assert sorted(path.name for path in (lab.directory / "results" / kept).iterdir()) == [
        "one",
        "three",
        "two",
    ]
    lab.sbx("rm", "--keep", "0", "--results", "--yes")
    lab.wait(lambda: not (lab.directory / "results" / kept).exists(), 60, "results to go")
    lab.wait(lambda: tables(lab)["run"] == 0, 60, "the ledger to be empty")
    assert {name for name, rows in tables(lab).items() if rows} == {"home"}
    assert not list((shared / "logs").iterdir())
    lab.sbx("daemon", "stop")
    assert lab.sbx("ledger", "check").exit_code == 0
    done = lab.json("ledger", "compact")
    assert done["after_bytes"] < done["before_bytes"]
    assert lab.sbx("ledger", "check").exit_code == 0
    lab.run()
    assert lab.states("say") == {"SUCCEEDED": 3}


def tables(lab: Lab) -> dict[str, int]:
    return dict(lab.json("ledger", "info")["tables"])
