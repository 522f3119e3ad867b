"""What Slurm, its daemons and its people do to a run of primes: it stays exact, and says what happened."""

from collections.abc import Callable

import pytest

from tests.cluster.box import Site
from tests.cluster.recovery import Fault, Tell, judge, now, start, until_done
from tests.cluster.slurm import root, running, settings, until_saved, without_controller
from tests.cluster.test_scenarios import lab  # noqa: F401 (a fixture)
from tests.scenarios.lab import Lab

# ruff: noqa: F811

NODE_GONE = {"node_lost", "agent_lost"}


def test_kill_9_of_slurmctld_and_of_all_slurmd(lab: Lab, site: Site, record_property: Tell) -> None:
    conf = lab.file("slurm.conf", f"{settings(site).read_text()}\nMessageTimeout=2\n")
    lab.env["SLURM_CONF"] = site.inside(conf)  # squeue gives up sooner than after 10 s
    start(lab, pause="0.6")
    until_done(lab, 10)
    until_saved(site, lab)
    with without_controller(site):
        for node in site.nodes:
            root(site, "kill -9 $(cat /run/slurmd.pid)", node)
        lab.wait(lambda: "does not answer" in lab.sbx("status").stdout, 30, "a word of it")
        until_done(lab, 30)
        for node in site.nodes:
            root(site, "slurmd", node)
    fault = Fault("kill -9 of slurmctld and all slurmd, their restart", now(), set(), loses=False)
    judge(lab, fault, record_property)
    assert "does not answer" not in lab.sbx("status").stdout


def test_a_node_set_down_while_its_slurmd_is_dead(lab: Lab, site: Site, record_property: Tell) -> None:
    """Slurm starts the element again elsewhere while its first agent lives on, out of Slurm's reach."""
    start(lab, slots=2, tasks=60)
    until_done(lab, 10)
    node = next(iter(running(lab, site).values()))
    root(site, "kill -9 $(cat /run/slurmd.pid)", node)
    struck_at = now()
    root(site, f"scontrol update nodename={node} state=down reason=test")
    try:
        judge(
            lab, Fault("slurmd dead, its node set down", struck_at, NODE_GONE, loses=False), record_property
        )
    finally:
        root(site, "slurmd", node)
        root(site, f"scontrol update nodename={node} state=resume", check=False)


def cancel(lab: Lab, site: Site) -> None:
    site.run(site.login, f"scancel {' '.join(running(lab, site))}")


def requeue(lab: Lab, site: Site) -> None:
    for element in running(lab, site):
        site.run(site.login, f"scontrol requeue {element}")


def preempt(lab: Lab, site: Site) -> None:
    site.run(site.login, "srun --partition=urgent --nodes=2 --exclusive true")


def cut(lab: Lab, site: Site) -> None:
    for element in running(lab, site):
        root(site, f"scontrol update jobid={element} EndTime=now+1")
    lab.wait(lambda: not running(lab, site), 60, "the end of the elements")


@pytest.mark.parametrize(
    ("strike", "name"),
    [
        (cancel, "scancel of all running elements"),
        (requeue, "scontrol requeue of all running elements"),
        (preempt, "preemption by a job of another partition"),
        (cut, "their time limit cut by scontrol update"),
    ],
)
def test_elements_are_taken_away(
    lab: Lab, site: Site, record_property: Tell, strike: Callable[[Lab, Site], None], name: str
) -> None:
    """An element is told to end by SIGTERM: its agent says so of each attempt, and a new one begins."""
    if strike is cut:
        start(lab, pause="2")  # work for a minute: Slurm looks at time limits every half of one
    else:
        start(lab, tasks=60, pause="0.5")
    until_done(lab, 10)
    strike(lab, site)
    rows = judge(lab, Fault(name, now(), {"preempted"}), record_property)
    lost = next(row for row in rows if row["cause"] == "preempted")
    assert "its element was told to end" in lab.sbx("show", lost["task"]).stdout


def test_elements_end_by_themselves_before_their_walltime(
    lab: Lab, site: Site, record_property: Tell
) -> None:
    """No task is begun that would not fit: with 60 s, and tasks that may take 50 s, none after 10 s."""
    start(lab, tasks=60, pause="0.5", slots=2, pool='walltime = "1m"', time="50s")
    first = lab.wait(lambda: running(lab, site), 30, "an element")
    lab.wait(lambda: not first.keys() & running(lab, site).keys(), 60, "the end of the first elements")
    rows = judge(lab, Fault("walltime of elements over", now(), set(), loses=False), record_property)
    assert len({(row["job_id"], row["element"]) for row in rows}) > 1
