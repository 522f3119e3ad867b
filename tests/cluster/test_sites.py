"""One run over two clusters: modules at b are driven from a, through b's login host alone. S14.

What befalls such a run is in the files `test_site_faults_*`.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from tests.cluster.box import Site, wait_until
from tests.cluster.recovery import home_id
from tests.cluster.site_faults import end_connections, relays
from tests.cluster.two_sites import SECOND_FACTOR_PORT, TwoSites, answering
from tests.scenarios.lab import Lab

LONG = """
sbx = 1
[pipeline]
name = "long"
[modules.far]
run = ["./far.sh", "{body}"]
seed = { command = "seq 40" }
site = "b"
to = ["near"]
resources = { memory = "100M", time = "5m" }
[modules.near]
run = "sort -n {bodies} | paste -sd' '"
gather = { by = "all" }
resources = { memory = "100M", time = "5m" }
"""
FAR = """#!/bin/sh
sleep 1
echo "$1" > messages.txt
mkdir -p publish && echo "$1 $(whoami) $(hostname)" > publish/"$1"
"""


def test_s14_primes_of_two_centres(lab_of_two: Lab, two_sites: TwoSites) -> None:
    lab, b = lab_of_two, two_sites.b
    site_file = (lab.directory / "site-configs" / "b.toml").read_text()
    lab.example("cross-site-primes")
    lab.file("site-configs/b.toml", site_file)
    lab.run()
    assert lab.result("total.txt") == "1229\n"
    rows = lab.rows()
    assert Counter((row["module"], row["site"]) for row in rows) == {
        ("scatter", lab.place.site): 1,
        ("count", "b"): 10,
        ("total", lab.place.site): 1,
    }
    assert {row["host"] for row in rows if row["site"] == "b"} <= set(b.nodes)
    assert {row["outcome"] for row in rows} == {"SUCCEEDED"}
    wait_until(lambda: not relays(b), 60, "the end of the relay, which nobody needs")
    shared = shared_at(lab, b)
    assert list((shared / "runs").iterdir()) == []


def shared_at(lab: Lab, site: Site) -> Path:
    """The shared folder of the lab's home at another site, from outside."""
    return site.home / ".sbx" / "shared" / f"sbx-{home_id(lab)}"


def start(lab: Lab, far: str = FAR) -> None:
    lab.pipeline(LONG, far_sh=far)
    begun = lab.sbx("run", "pipeline.toml", "--site", str(lab.place.site), "--detach")
    assert begun.exit_code == 0, str(begun)
    until_done(lab, 4)


def until_done(lab: Lab, tasks: int) -> None:
    lab.wait(lambda: lab.module("far")["succeeded"] >= tasks, 90.0, f"{tasks} tasks at b")


def site_b(lab: Lab) -> dict[str, Any]:
    return next(site for site in lab.status()["sites"] if site["site"] == "b")


def assert_right(lab: Lab) -> None:
    """The run ends well, and each of its tasks has succeeded once."""
    assert lab.wait_for_end(180.0)["state"] == "SUCCEEDED"
    rows = [row for row in lab.rows() if row["outcome"] == "SUCCEEDED"]
    assert sorted(row["task"] for row in rows) == sorted(["near.1", *(f"far.{n}" for n in range(1, 41))])
    near = next(row["stdout"] for row in rows if row["module"] == "near")
    assert near == " ".join(map(str, range(1, 41))) + "\n"


def test_a_site_that_wants_a_code_waits_for_its_user_and_goes_on(
    lab_of_two: Lab, two_sites: TwoSites
) -> None:
    lab, a, b = lab_of_two, two_sites.a, two_sites.b
    lab.file("site-configs/b.toml", two_sites.file_of_b(ssh=f"port = {SECOND_FACTOR_PORT}\nmaster = true"))
    login = f"{answering(a)} {lab.place.sbx} site login b"
    lab.pipeline(LONG, far_sh=FAR)
    refused = lab.sbx("run", "pipeline.toml", "--site", str(lab.place.site), "--detach")
    assert (refused.exit_code, "sbx site login b" in refused.text) == (4, True), str(refused)
    try:
        assert lab.shell(login).exit_code == 0
        start(lab)
        end_connections(b)
        lab.wait(lambda: site_b(lab)["todo"] == "sbx site login b", 120.0, "word that somebody has to log in")
        assert "type: sbx site login b" in lab.sbx("status").text
        assert lab.shell(login).exit_code == 0
        assert_right(lab)
    finally:
        lab.sbx("daemon", "stop")
        end_connections(b)


IMAGE = """
sbx = 1
[pipeline]
name = "contained"
[modules.far]
image = "/scratch/images/bb.sif"
run = ["sh", "-c", "cat $SBX_SHARED/../../../contact.json; mkdir publish; hostname >publish/x"]
seed = ["1"]
site = "b"
resources = { memory = "100M", time = "5m" }
"""


def test_an_image_is_put_there_by_its_content_and_sees_no_secret(
    lab_of_two: Lab, two_sites: TwoSites
) -> None:
    lab, b = lab_of_two, two_sites.b
    lab.pipeline(IMAGE)
    lab.run("--site", str(lab.place.site))
    (row,) = lab.rows()
    assert (row["outcome"], row["stdout"], row["site"]) == ("SUCCEEDED", "", "b")
    shared = shared_at(lab, b)
    (stored,) = (shared / "images").iterdir()
    assert stored.name == f"{row['image'].replace(':', '-')}.sif"
    (published,) = (shared / "results" / lab.status()["run"]).iterdir()
    assert published.read_text().strip() in b.nodes


def test_user_partition_and_python_are_those_of_the_other_site(lab_of_two: Lab, two_sites: TwoSites) -> None:
    lab, b = lab_of_two, two_sites.b
    start(lab)
    assert_right(lab)
    results = b.home / site_b(lab)["results"].removeprefix(f"{b.settings.homes}/{b.settings.user}/")
    said = [path.read_text().split() for path in sorted(results.iterdir())]
    assert len(said) == 40
    assert {user for _, user, _ in said} == {b.settings.user}
    assert {host for _, _, host in said} <= set(b.nodes)


def test_two_runs_of_one_home_use_the_other_site_and_one_is_cancelled(
    lab_of_two: Lab, two_sites: TwoSites
) -> None:
    lab = lab_of_two
    start(lab, FAR.replace("sleep 1\n", '[ "$1" -le 8 ] || sleep 600\n'))
    cancelled = lab.status()["run"]
    start(lab)
    kept = lab.status()["run"]
    done = lab.sbx("cancel", cancelled)
    assert done.exit_code == 0, str(done)
    assert_right(lab)
    assert lab.status(cancelled)["state"] == "CANCELLED"
    shared = shared_at(lab, two_sites.b)
    left = shared / "runs"  # what tasks of a run share is kept of one that did not succeed
    wait_until(lambda: [path.name for path in left.iterdir()] == [cancelled], 60, "the end of what is shared")
    assert len(list((shared / "results" / kept).iterdir())) == 40
