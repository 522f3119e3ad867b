"""`sbx doctor` on a login node of real Slurm."""

import json
from typing import Any

from tests.cluster.box import Site
from tests.cluster.test_scenarios import lab  # noqa: F401
from tests.scenarios.lab import Lab

SITE_FILE = 'batch = "slurm_cli"\n[machines.cpu]\npartition = "main"\n'


def doctor(site: Site, directory: str, *options: str) -> dict[str, Any]:
    """What it says, by check; the first of each."""
    lines = [
        f"mkdir -p {directory}/site-configs",
        f"cd {directory}",
        f"printf %s '{SITE_FILE}' > site-configs/box.toml",
        f"{site.sbx} doctor --json {' '.join(options)}",
    ]
    done = site.run(site.login, " && ".join(lines), check=False)
    found = json.loads(done.stdout)
    assert done.returncode == (4 if found["verdict"] == "fail" else 0)
    checks: dict[str, Any] = {}
    for check in found["checks"]:
        checks.setdefault(check["check"], check)
    return checks


def test_a_site_without_slurmdbd_is_fit_for_runs(site: Site) -> None:
    queued = site.run(site.login, "squeue --noheader --me --states=all | wc -l").stdout
    checks = doctor(site, "doctor", "--site", "box")
    assert {check["verdict"] for check in checks.values()} == {"ok"}, checks
    assert "without slurmdbd" in checks["slurm"]["fact"]
    assert "127.0.0.1" not in checks["address"]["fact"].split()[-2]
    assert checks["containers"]["fact"].startswith("apptainer 1.")
    assert "warm by entering namespaces" in checks["containers"]["fact"]
    assert site.run(site.login, "squeue --noheader --me --states=all | wc -l").stdout == queued
    assert not (site.home / "doctor" / ".sbx").exists()


def test_a_site_with_slurmdbd(site_dbd: Site) -> None:
    checks = doctor(site_dbd, "doctor", "--site", "box")
    assert "with slurmdbd" in checks["slurm"]["fact"]


def test_a_home_on_the_login_node_s_memory_is_no_shared_folder(site: Site) -> None:
    checks = doctor(site, "/dev/shm/doctor", "--site", "box")
    assert checks["home"]["verdict"] != "fail"
    assert checks["shared"]["verdict"] == "fail"
    assert "paths.shared" in checks["shared"]["remedy"]


def test_a_login_node_without_squashfuse_is_warned_of(site: Site) -> None:
    programs = "/usr/bin/squashfuse /usr/bin/squashfuse_ll"  # each host of the box has a /usr of its own
    site.run(site.login, f"chmod a-x {programs}", root=True)
    try:
        checks = doctor(site, "doctor", "--site", "box")
    finally:
        site.run(site.login, f"chmod a+x {programs}", root=True)
    assert checks["containers"]["verdict"] == "warn"
    assert "unpacked at each start" in checks["containers"]["fact"]


def test_a_home_at_work_and_after_its_daemon_was_killed(lab: Lab) -> None:  # noqa: F811
    lab.example("hello")
    lab.run()
    named = ["doctor", "--json", "--site", str(lab.place.site)]
    served = {each["check"]: each["fact"] for each in json.loads(lab.sbx(*named).stdout)["checks"]}
    assert served["ledger"] == "open in the daemon"
    assert served["daemon"].startswith("runs at sitea, process ")

    lab.kill_daemon()
    left = {each["check"]: each for each in json.loads(lab.sbx(*named).stdout)["checks"]}
    assert left["ledger"]["verdict"] == left["daemon"]["verdict"] == "ok"
    assert "format" in left["ledger"]["fact"]
    assert left["daemon"]["fact"].startswith("none runs")
    assert lab.sbx("status").exit_code == 3
