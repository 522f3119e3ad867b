"""A module at two real sites: its tasks go where they start first, and none counts twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cluster.box import Site, wait_until
from tests.cluster.recovery import home_id
from tests.cluster.site_faults import cut_link
from tests.cluster.slurm import state_of
from tests.cluster.two_sites import TwoSites
from tests.scenarios.lab import Lab
from tests.scenarios.test_burst_stage import UPPER, check, files
from tests.scenarios.test_burst_stage import WORK as FOLLOW

WIDE = """
sbx = 1
[pipeline]
name = "wide"
[modules.work]
run = ["./work.sh", "{body}"]
seed = { command = "seq 60" }
site = SITES
pool = { slots = 4 }
to = ["total"]
resources = { memory = "100M", time = "5m" }
[modules.total]
run = "sort -n {bodies} | paste -sd' '"
site = "AT"
gather = { by = "all" }
resources = { memory = "100M", time = "5m" }
"""
WORK = """#!/bin/sh
sleep 0.5
echo "$1" > messages.txt
"""


@contextmanager
def held(site: Site) -> Iterator[None]:
    """Let somebody else's job have all of a site, so that ours wait."""
    words = f"sbatch --parsable --exclusive --nodes={len(site.nodes)} --output=/dev/null --wrap='sleep 900'"
    job = site.run(site.login, words).stdout.strip()
    try:
        wait_until(lambda: state_of(site, job).endswith(" RUNNING"), 30, "the job that holds the site")
        yield
    finally:
        site.run(site.login, f"scancel {job}")


def run(lab: Lab, sites: str, total_at: str, pipeline: str = WIDE) -> Counter[str]:
    """Run it to its end; return how many tasks of `work` each site did."""
    a = str(lab.place.site)
    lab.pipeline(pipeline.replace("SITES", sites.replace("HERE", a)).replace("AT", total_at), work_sh=WORK)
    lab.run()
    rows = [row for row in lab.rows() if row["outcome"] == "SUCCEEDED"]
    assert sorted(row["task"] for row in rows) == sorted(["total.1", *(f"work.{n}" for n in range(1, 61))])
    total = next(row["stdout"] for row in rows if row["module"] == "total")
    assert total == " ".join(map(str, range(1, 61))) + "\n"
    return Counter(row["site"] for row in rows if row["module"] == "work")


def nothing_waits(lab: Lab, site: Site) -> None:
    """What was asked for at a site is given back."""
    home = home_id(lab)

    def is_clean() -> bool:
        return home not in site.run(site.login, "squeue --me --noheader --format=%j").stdout

    wait_until(is_clean, 30, "the end of what waited in the queue")


def test_two_sites_share_the_tasks_of_a_module(lab_of_two: Lab, two_sites: TwoSites) -> None:
    a = str(lab_of_two.place.site)
    done = run(lab_of_two, '["HERE", "b"]', a)
    assert set(done) == {a, "b"}
    status = {each["site"]: each["succeeded"] for each in lab_of_two.status()["sites"]}
    assert status == {a: done[a] + 1, "b": done["b"]}
    hosts = {row["host"]: row["site"] for row in lab_of_two.rows()}
    assert {host for host, site in hosts.items() if site == "b"} <= set(two_sites.b.nodes)
    assert f"at {a}, b" in lab_of_two.sbx("graph").text


@pytest.mark.parametrize("which", ["a", "b"])
def test_a_queue_that_is_held_leaves_all_tasks_to_the_other_site(
    lab_of_two: Lab, two_sites: TwoSites, which: str
) -> None:
    a = str(lab_of_two.place.site)
    site, other = (two_sites.a, "b") if which == "a" else (two_sites.b, a)
    with held(site):
        assert run(lab_of_two, '["HERE", "b"]', other) == {other: 60}
        nothing_waits(lab_of_two, site)


def test_a_site_stands_by_until_elements_of_the_first_have_waited(
    lab_of_two: Lab, two_sites: TwoSites
) -> None:
    a, sites = str(lab_of_two.place.site), '["HERE", { name = "b", when_pending = "15s" }]'
    assert run(lab_of_two, sites, a, WIDE.replace("slots = 4", "slots = 60")) == {a: 60}, "it is never full"
    assert not [row for row in lab_of_two.rows() if row["site"] == "b"]
    with held(two_sites.a):
        assert run(lab_of_two, sites, "b") == {"b": 60}
        rows = [row for row in lab_of_two.rows() if row["module"] == "work"]
        nothing_waits(lab_of_two, two_sites.a)
    assert min(float(row["queue_s"]) for row in rows) >= 15.0


def test_while_the_link_to_one_site_is_cut_the_other_does_what_waits(
    lab_of_two: Lab, two_sites: TwoSites
) -> None:
    a = str(lab_of_two.place.site)
    lab_of_two.pipeline(WIDE.replace("SITES", f'["{a}", "b"]').replace("AT", a), work_sh=WORK)
    assert lab_of_two.sbx("run", "pipeline.toml", "--site", a, "--detach").exit_code == 0
    lab_of_two.wait(lambda: {"b"} <= {row["site"] for row in lab_of_two.rows()}, 90.0, "a task done at b")
    with cut_link(two_sites.b):
        lab_of_two.wait(lambda: lab_of_two.module("work")["ready"] == 0, 90.0, "the other site")
    assert lab_of_two.wait_for_end(180.0)["state"] == "SUCCEEDED"
    rows = [row for row in lab_of_two.rows() if row["outcome"] == "SUCCEEDED"]
    assert sorted(row["task"] for row in rows) == sorted(["total.1", *(f"work.{n}" for n in range(1, 61))])


def test_files_follow_the_tasks_to_both_sites_and_come_home(lab_of_two: Lab, two_sites: TwoSites) -> None:
    a = str(lab_of_two.place.site)
    work = FOLLOW.replace("sleep 0.2", "sleep 1").replace('[ "$SBX_SITE" = "$OF_SITE" ] || exit 1\n', "")
    lab_of_two.pipeline(UPPER.replace("SITES", f'["{a}", "b"]'), upper_sh=work)
    files(lab_of_two)
    lab_of_two.run("--site", a)
    done = check(lab_of_two)
    assert set(done) == {a, "b"}
    hosts = {row["host"] for row in lab_of_two.rows() if row["module"] == "upper" and row["site"] == "b"}
    assert hosts <= set(two_sites.b.nodes)
    assert sum(lab_of_two.states("upper-out").values()) == done["b"], "what was left at home was there"
