"""What Slurm allows, judged: limits, endings, and machines that fit their partition or do not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scalebox_hpc.batch.slurm_site import Allowance, NodeShape, Partition, SlurmSite
from scalebox_hpc.doctor import judge_slurm
from scalebox_hpc.doctor.facts import Asked
from scalebox_hpc.doctor.finding import Finding
from scalebox_hpc.doctor.wishes import wishes
from scalebox_hpc.domain.pipeline import Pool
from scalebox_hpc.domain.site import Limits, Machine, Site
from scalebox_hpc.errors import BatchProblem, SubmitRefused
from tests.unit.doctor.test_judge import verdict

HOUR_S = 3600.0
MAIN = Partition("main", True, "UP", 48 * HOUR_S, None, "OFF", (NodeShape(4, 16, 65536, 0),))
GPU = Partition("gpu", False, "UP", None, 8, "OFF", (NodeShape(2, 64, 500_000, 4),))
SLURM = SlurmSite(20001, 50000, 300, 30, "OFF", "", "associations,limits,qos", partitions=(MAIN, GPU))
SITE = Site("hpc1")
MINE = Allowance("account astro", "astro", "", "normal", 200)


def test_the_tightest_limit_of_ours_is_told() -> None:
    others = Allowance("QOS vip", qos="vip", elements=1)
    found = judge_slurm.limits(replace(SLURM, allowances=(MINE, others)), SITE)
    assert verdict(found) == "ok"
    assert "20001 elements" in found.fact
    assert "you may have 200 submitted (account astro)" in found.fact


def test_a_site_file_that_wants_more_than_is_allowed() -> None:
    greedy = replace(SITE, limits=Limits(elements=1000))
    found = judge_slurm.limits(replace(SLURM, allowances=(MINE,)), greedy)
    assert verdict(found) == "warn"
    assert "elements = 200" in found.remedy
    assert verdict(judge_slurm.limits(replace(SLURM, allowances=(MINE,), enforces="none"), greedy)) == "ok"


def test_a_slurm_that_tells_nothing_is_no_reason_to_worry() -> None:
    assert verdict(judge_slurm.limits(SlurmSite(), SITE)) == "ok"
    assert verdict(judge_slurm.endings(SlurmSite(), SITE)) == "ok"
    assert verdict(judge_slurm.machine(Asked(Machine("cpu"), HOUR_S), SlurmSite())) == "ok"


@pytest.mark.parametrize(
    ("change", "wanted", "said"),
    [
        ({}, "ok", "lost after 5m (SlurmdTimeout); 30 s between TERM and KILL"),
        ({"silent_node_s": 0}, "ok", "lost after 15m (`lost_after`)"),
        ({"preemption": "GANG,SUSPEND"}, "warn", "a suspended agent looks lost"),
        ({"kill_wait_s": 1}, "warn", "little for an agent's last word"),
        ({"requeued_codes": "1,100-130"}, "warn", "exit with 126, 127"),
        ({"requeued_codes": "1,12"}, "ok", "preemption: OFF"),
    ],
)
def test_how_elements_end(change: dict[str, object], wanted: str, said: str) -> None:
    found = judge_slurm.endings(replace(SLURM, **change), SITE)  # type: ignore[arg-type]
    assert verdict(found) == wanted
    assert said in found.fact


def judged(walltime_s: float = HOUR_S, pool: str = "", refusal: object = None, **machine: object) -> Finding:
    shape = Machine("thin", **machine)  # type: ignore[arg-type]
    return judge_slurm.machine(Asked(shape, walltime_s, pool, refusal), SLURM)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "wanted", "said"),
    [
        (judged(), "ok", "partition main is UP, up to 2d, 4 nodes of up to 16 cpus, 64.0G"),
        (judged(48 * HOUR_S, cpus=16, memory_mib=65536), "ok", "16 cpus, 64.0G for 2d"),
        (judged(cpus=17), "fail", "no node there has room for an element of 17 cpus"),
        (judged(memory_mib=65537), "fail", "no node there has room"),
        (judged(gpus=1), "fail", "no node there has room"),
        (judged(partition="gpu", gpus=4), "ok", "4 gpus"),
        (judged(partition="gpu", cpus=9), "fail", "MaxCPUsPerNode is 8"),
        (judged(partition="nowhere"), "warn", "partition nowhere is not listed"),
        (judged(partition="nowhere", refusal=SubmitRefused("no such", "sinfo -s")), "fail", "no such"),
        (judged(refusal=SubmitRefused("Invalid account", "check `account`")), "fail", "Invalid account"),
        (judged(refusal=BatchProblem("Slurm is away")), "warn", "Slurm is away"),
    ],
)
def test_a_machine_and_its_partition(found: Finding, wanted: str, said: str) -> None:
    assert verdict(found) == wanted
    assert said in found.fact


def test_a_pool_longer_than_its_partition_allows_says_what_to_write() -> None:
    found = judged(72 * HOUR_S, "big")
    assert verdict(found) == "fail"
    assert found.fact.endswith("pool big asks for 3d, MaxTime of main allows 2d")
    assert 'walltime = "2d" or less for pool big' in found.remedy
    assert "a pool without `walltime` asks for 3d" in judged(72 * HOUR_S).fact


def test_what_an_account_may_have_bounds_the_walltime_too() -> None:
    short = replace(MINE, elements=None, longest_s=HOUR_S)
    allowed = replace(SLURM, allowances=(short,))
    found = judge_slurm.machine(Asked(Machine("thin"), 2 * HOUR_S), allowed)
    assert "MaxWall of account astro allows 1h" in found.fact
    elsewhere = Asked(Machine("thin", account="physics"), 2 * HOUR_S)
    assert verdict(judge_slurm.machine(elsewhere, allowed)) == "ok"


@pytest.mark.parametrize(("state", "wanted"), [("DOWN", "warn"), ("DRAIN", "fail"), ("INACTIVE", "fail")])
def test_a_partition_that_is_not_up(state: str, wanted: str) -> None:
    allowed = replace(SLURM, partitions=(replace(MAIN, state=state),))
    found = judge_slurm.machine(Asked(Machine("thin"), HOUR_S), allowed)
    assert verdict(found) == wanted
    assert f"is {state}" in found.fact


def test_each_machine_is_asked_for_the_longest_of_its_pools() -> None:
    site = Site("hpc1", machines={"thin": Machine("thin"), "fat": Machine("fat", default=True)})
    pools = [Pool("a", "hpc1", "thin", walltime_s=60), Pool("b", "hpc1", walltime_s=90)]
    pools.append(Pool("c", "hpc1", "fat", walltime_s=30))
    assert [(one.machine.name, one.pool, one.walltime_s) for one in wishes(site, pools)] == [
        ("thin", "a", 60),
        ("fat", "b", 90),
    ]
    [alone] = wishes(Site("hpc1"), ())
    assert (alone.machine.name, alone.pool, alone.walltime_s) == ("default", "", 4 * HOUR_S)
