"""`sbx doctor` on a login node of real Slurm."""

import json
import re
from typing import Any

from tests.cluster.box import Site
from tests.cluster.test_scenarios import lab  # noqa: F401
from tests.scenarios.lab import Lab

SITE_FILE = 'batch = "slurm_cli"\ninterval = "1s"\n[machines.cpu]\npartition = "main"\n'
URGENT = SITE_FILE.replace("main", "urgent")
PIPELINE = """sbx = 1
[pipeline]
name = "p"
site = "box"
[pools.long]
walltime = "2h"
[modules.m]
run = "true"
seed = ["1"]
pool = "long"
"""


def doctor(site: Site, directory: str, *options: str, site_file: str = SITE_FILE) -> dict[str, Any]:
    """What it says, by check; the first of each."""
    lines = [
        f"mkdir -p {directory}/site-configs",
        f"cd {directory}",
        f"printf %s '{site_file}' > site-configs/box.toml",
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


def left_in(site: Site, directory: str) -> list[str]:
    """What a probe left there, and of its elements in the queue."""
    queued = site.run(site.login, "squeue --noheader --me --format=%j | grep sbx-doctor || true").stdout
    files = site.run(site.login, f"find {directory} -name '*sbx-doctor*'").stdout
    return [*queued.splitlines(), *files.splitlines()]


def test_a_probe_looks_around_on_a_compute_node_and_is_gone(site: Site) -> None:
    checks = doctor(site, "probed", "--site", "box", "--probe")
    assert {check["verdict"] for check in checks.values()} == {"ok"}, checks
    assert "an element began on sitea" in checks["probe"]["fact"]
    assert "a listener in the daemon's place was reached from sitea" in checks["reach"]["fact"]
    assert checks["node images"]["fact"].startswith("apptainer 1.")
    assert left_in(site, "probed") == []
    assert not (site.home / "probed" / ".sbx").exists()


def test_a_probe_says_which_address_no_node_reaches_and_what_to_write(site: Site) -> None:
    wrong = 'advertise = "10.77.1.99"\n' + SITE_FILE
    reach = doctor(site, "probed", "--site", "box", "--probe", site_file=wrong)["reach"]
    assert reach["verdict"] == "fail"
    assert re.search(r"10\.77\.1\.99:\d+: (no way there|timed out)", reach["fact"])
    assert "`advertise`" in reach["remedy"]
    assert "eth0 10.77.1.1" in reach["remedy"]
    second = 'advertise = ["10.77.1.99", "10.77.1.1"]\n' + SITE_FILE
    reach = doctor(site, "probed", "--site", "box", "--probe", site_file=second)["reach"]
    assert reach["verdict"] == "warn"
    assert 'advertise = ["10.77.1.1"]' in reach["remedy"]


def test_a_probe_of_nodes_without_that_python_tells_what_they_said(site: Site) -> None:
    other = 'python = "python9"\n' + SITE_FILE
    probe = doctor(site, "probed", "--site", "box", "--probe", site_file=other)["probe"]
    assert probe["verdict"] == "fail"
    assert "python9 was not found on sitea" in probe["fact"]
    assert left_in(site, "probed") == []


def test_a_pool_above_the_time_of_its_partition(site: Site) -> None:
    site.write(site.home / "long" / "pipeline.toml", PIPELINE)
    site.run(site.login, "scontrol update partitionname=urgent maxtime=60", root=True)
    try:
        machine = doctor(site, "long", site_file=URGENT)["machine"]
    finally:
        site.run(site.login, "scontrol update partitionname=urgent maxtime=unlimited", root=True)
    assert machine["verdict"] == "fail"
    assert machine["fact"].endswith("pool long asks for 2h, MaxTime of urgent allows 1h")
    assert 'walltime = "1h" or less for pool long' in machine["remedy"]
    assert doctor(site, "long", site_file=URGENT)["machine"]["verdict"] == "ok"


def test_a_home_at_work_and_after_its_daemon_was_killed(lab: Lab) -> None:  # noqa: F811
    lab.example("hello")
    lab.run()
    named = ["doctor", "--json", "--site", str(lab.place.site)]
    served = {each["check"]: each["fact"] for each in json.loads(lab.sbx(*named).stdout)["checks"]}
    assert served["ledger"] == "open in the daemon"
    assert served["daemon"].startswith("runs at sitea, process ")
    probed = {each["check"]: each["fact"] for each in json.loads(lab.sbx(*named, "--probe").stdout)["checks"]}
    assert probed["reach"].startswith("the daemon was reached from sitea")

    lab.kill_daemon()
    left = {each["check"]: each for each in json.loads(lab.sbx(*named).stdout)["checks"]}
    assert left["ledger"]["verdict"] == left["daemon"]["verdict"] == "ok"
    assert "format" in left["ledger"]["fact"]
    assert left["daemon"]["fact"].startswith("none runs")
    assert lab.sbx("status").exit_code == 3
