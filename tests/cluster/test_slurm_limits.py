"""Limits of Slurm, and memory that runs out, under a run of primes."""

import json
from collections.abc import Iterator

import pytest

from tests.cluster.box import Site
from tests.cluster.recovery import Fault, Tell, judge, now, start, until_done
from tests.cluster.slurm import other_settings, root, running
from tests.cluster.test_scenarios import SITE_FILE, lab_on
from tests.scenarios.lab import Lab


@pytest.fixture
def lab(site: Site) -> Iterator[Lab]:
    yield from lab_on(site)


@pytest.fixture
def lab_dbd(site_dbd: Site) -> Iterator[Lab]:
    yield from lab_on(site_dbd)


def test_limits_of_jobs_and_of_arrays(lab_dbd: Lab, site_dbd: Site, record_property: Tell) -> None:
    """An array has three elements at most, the QOS takes two, the account lets one run: four are wanted."""
    site, lab = site_dbd, lab_dbd
    with other_settings(site, "AccountingStorageEnforce=limits,qos", "MaxArraySize=3"):
        root(site, "sacctmgr -i modify qos normal set MaxSubmitJobsPerUser=2")
        root(site, "sacctmgr -i modify user sci set MaxJobs=1")
        try:
            started_at = now()
            start(lab, tasks=40, slots=8)
            name = "MaxArraySize 3, MaxSubmitJobs of the QOS 2, MaxJobs 1"
            judge(lab, Fault(name, started_at, set(), loses=False), record_property)
        finally:
            root(site, "sacctmgr -i modify qos normal set MaxSubmitJobsPerUser=-1")
            root(site, "sacctmgr -i modify user sci set MaxJobs=-1")


def test_slurmdbd_is_down_all_the_while(lab_dbd: Lab, site_dbd: Site, record_property: Tell) -> None:
    site, lab = site_dbd, lab_dbd
    root(site, "kill -9 $(cat /run/slurmdbd.pid)")
    try:
        start(lab, tasks=60)
        until_done(lab, 10)
        site.run(site.login, f"scancel {' '.join(running(lab, site))}")
        judge(lab, Fault("slurmdbd down, and scancel", now(), {"preempted"}), record_property)
    finally:
        root(site, "slurmdbd")


HUNGRY = """
sbx = 1
[pipeline]
name = "hungry"
[pools.default]
slots = 1
[modules.work]
run = ["python3", "-c", "x = b'x' * (int('{body}') << 20)"]
seed = ["1", "400", "2", "3"]
resources = { memory = "200M", time = "20s" }
"""


def test_a_task_out_of_memory_takes_nothing_with_it(lab_dbd: Lab, site_dbd: Site) -> None:
    if not site_dbd.settings.cgroup:
        pytest.skip("this machine has no memory limits of cgroup v1")
    lab = lab_dbd
    lab.pipeline(HUNGRY)
    lab.file("site-configs/slurm-in-a-box.toml", SITE_FILE.format(partition="main").replace("2G", "300M"))
    lab.run(exit_code=1)
    rows = lab.rows()
    assert {row["body"]: row["cause"] for row in rows} == {"1": "", "400": "oom", "2": "", "3": ""}
    hungry = next(row for row in rows if row["cause"])
    same = [row for row in rows if (row["job_id"], row["element"]) == (hungry["job_id"], hungry["element"])]
    assert max(row["started"] for row in same) > hungry["ended"], "its element worked on"


HOG = "exec python3 -c \"x = b'x' * (400 << 20); import time; time.sleep(60)\""


def test_slurm_kills_an_element_for_its_memory(lab: Lab, site: Site, record_property: Tell) -> None:
    """Something beside the tasks eats the memory of the first element: Slurm kills all that is in it."""
    flag = lab.place.inside(lab.directory / "hog")
    lines = [f"if mkdir {flag} 2>/dev/null; then (sleep 5; date +%s.%N > {flag}/at; {HOG}) & fi"]
    text = SITE_FILE.format(partition="main").replace("2G", "300M")
    lab.file("site-configs/slurm-in-a-box.toml", f"prologue = {json.dumps(lines)}\n{text}")
    start(lab, slots=1, tasks=40, pause="0.4")
    lab.wait((lab.directory / "hog" / "at").exists, 60, "the hog")
    struck_at = now()
    judge(lab, Fault("Slurm kills an element for its memory", struck_at, {"agent_lost"}), record_property)
