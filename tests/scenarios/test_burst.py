"""A module that names several sites of this machine: its tasks go where they start first."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.scenarios.lab import Lab

SUM = """
sbx = 1
[pipeline]
name = "burst"
[modules.work]
run = ["./work.sh", "{body}"]
seed = { command = "seq 24" }
site = SITES
pool = { slots = 2 }
to = ["total"]
resources = { memory = "100M", time = "5m" }
[modules.total]
run = "sort -n {bodies} | paste -sd+ | bc"
gather = { by = "all" }
resources = { memory = "100M", time = "5m" }
"""
WORK = """#!/bin/sh
sleep 0.3
[ "$SBX_SITE" = "$OF_SITE" ] || exit 1
echo "$1" > messages.txt
"""
SITE = """
batch = "local"
[env]
OF_SITE = "{name}"
PATH = "{directory}/bin-of-{name}:/usr/bin:/bin"
[paths]
shared = "{directory}/at-{name}"
"""


@pytest.fixture
def two(lab: Lab) -> Lab:
    """A lab with sites a and b, which share nothing but this machine."""
    for name in ("a", "b"):
        lab.file(f"site-configs/{name}.toml", SITE.format(name=name, directory=lab.directory))
    return lab


def sites(lab: Lab) -> Counter[str]:
    """How many tasks of `work` succeeded at each site, and that none counts twice."""
    rows = [row for row in lab.rows() if row["module"] == "work" and row["outcome"] == "SUCCEEDED"]
    assert sorted(row["task"] for row in rows) == sorted(f"work.{n}" for n in range(1, 25))
    assert next(row["stdout"] for row in lab.rows() if row["module"] == "total") == "300\n"
    return Counter(row["site"] for row in rows)


def test_both_sites_work_on_one_module(two: Lab) -> None:
    two.pipeline(SUM.replace("SITES", '["a", "b"]'), work_sh=WORK)
    two.run()
    assert set(sites(two)) == {"a", "b"}
    status = {each["site"]: each for each in two.status()["sites"]}
    assert status["a"]["succeeded"] + status["b"]["succeeded"] == 24
    assert {site: each["succeeded"] for site, each in status.items() if site != "local"} == sites(two)


def test_counts_of_the_sites_are_right_when_the_daemon_was_killed(two: Lab) -> None:
    two.pipeline(SUM.replace("SITES", '["a", "b"]'), work_sh=WORK)
    assert two.sbx("run", "pipeline.toml", "--detach").exit_code == 0
    two.wait(lambda: two.module("work")["succeeded"] >= 4, 60.0, "some tasks")
    two.kill_daemon()
    assert two.sbx("daemon", "start").exit_code == 0
    assert two.wait_for_end()["state"] == "SUCCEEDED"
    status = {each["site"]: each["succeeded"] for each in two.status()["sites"]}
    assert {site: count for site, count in status.items() if site != "local" and count} == sites(two)


def test_a_site_where_the_program_does_not_start_leaves_it_to_the_other(two: Lab) -> None:
    two.file("bin-of-a/tool", WORK)
    two.pipeline(SUM.replace("SITES", '["a", "b"]').replace("./work.sh", "tool"))
    two.run()
    assert set(sites(two)) == {"a"}
    assert any("work is left to its other sites" in note for note in two.status()["notes"])
    assert {row["site"] for row in two.rows() if row["cause"] == "launch"} == {"b"}


def test_a_pool_that_is_paused_leaves_its_share_to_the_other_site(two: Lab) -> None:
    of_a = (two.directory / "site-configs/a.toml").read_text()
    two.file("site-configs/a.toml", 'python = "/nowhere/python"' + of_a)
    two.pipeline(SUM.replace("SITES", '[{ name = "a", weight = 100 }, "b"]'), work_sh=WORK)
    two.run()
    assert set(sites(two)) == {"b"}


def test_a_site_that_stands_by_is_not_asked_while_the_first_starts_at_once(two: Lab) -> None:
    two.pipeline(SUM.replace("SITES", '["a", { name = "b", when_pending = "1m" }]'), work_sh=WORK)
    two.run()
    assert set(sites(two)) == {"a"}
    assert next(each for each in two.status()["pools"] if each["site"] == "b")["pool"] == "work-b"


UNTIL_B = """#!/bin/sh
[ "$SBX_SITE" != b ] || touch "$SBX_PIPELINE/b-helps"
while [ ! -e "$SBX_PIPELINE/b-helps" ]; do sleep 0.1; done
echo "$1" > messages.txt
"""


def test_a_site_that_stands_by_helps_once_this_machine_has_been_full_for_long_enough(two: Lab) -> None:
    """Tasks here wait until one has begun there."""
    two.file("site-configs/local.toml", 'batch = "local"\n[machines.one]\ncpus = 2\nmemory = "1G"\n')
    sites_of_work = '["local", { name = "b", when_pending = "3s" }]'
    two.pipeline(SUM.replace("SITES", sites_of_work).replace("pool = { slots = 2 }\n", ""), work_sh=UNTIL_B)
    two.run()
    assert sites(two)["local"] >= 2
    at_b = [float(row["queue_s"]) for row in two.rows() if row["site"] == "b"]
    assert min(at_b) >= 3.0


MORE = """
sbx = 1
[pipeline]
name = "more"
[modules.work]
run = "[ $SBX_MEMORY_MIB -gt 300 ] || exit 5"
seed = ["1", "2", "3", "4"]
site = ["a", "b"]
pool = { machine = "one" }
retry = [{ on = 5, retries = 1, memory = "x2" }]
resources = { memory = "300M", time = "5m" }
"""


def test_a_retry_that_needs_more_memory_than_one_site_has_runs_at_the_other(two: Lab) -> None:
    for name, memory in (("a", "400M"), ("b", "1G")):
        of_site = (two.directory / f"site-configs/{name}.toml").read_text()
        two.file(f"site-configs/{name}.toml", f'{of_site}[machines.one]\ncpus = 1\nmemory = "{memory}"\n')
    two.pipeline(MORE)
    two.run()
    assert {row["site"] for row in two.rows() if row["outcome"] == "SUCCEEDED"} == {"b"}
    assert all(pool["state"] == "ok" for pool in two.status()["pools"])
