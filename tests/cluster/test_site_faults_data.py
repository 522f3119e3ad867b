"""What befalls data on its way to the other site: no quota, no room, a file that is written to meanwhile."""

from __future__ import annotations

import os
import shutil

from tests.cluster.recovery import Fault, Tell, home_id, now
from tests.cluster.site_faults import full_quota, little_room, more_room
from tests.cluster.struck_sites import BIG_BYTES, Copying, check_nothing_left_at, copying, tell_recovery
from tests.cluster.trees import differences
from tests.cluster.two_sites import TwoSites
from tests.scenarios.lab import Lab, Row

ALONE = """
sbx = 1
[pipeline]
name = "copies"
"""
AGAIN = 'retry = [{ on = 11, retries = 30, delay = "1s", backoff = 1.0 }]\n'
NO_ROOM = "11"
ROOM_MIB = 6


def start(lab: Lab, copies: Copying, more: str = "", *, limit: str = "4M") -> None:
    """Start the copies, with further lines in their table."""
    lab.pipeline(ALONE + copies.table(limit) + more)
    lab.run("--detach")


def judge(lab: Lab) -> list[Row]:
    """The run ends well, each copy succeeded once; what failed before did so for want of room."""
    assert lab.wait_for_end(60)["state"] == "SUCCEEDED"
    rows = lab.rows()
    assert sorted(row["task"] for row in rows if row["outcome"] == "SUCCEEDED") == ["copy.1", "copy.2"]
    failed = [row for row in rows if row["outcome"] != "SUCCEEDED"]
    assert {(row["cause"], row["exit_code"]) for row in failed} <= {("exit", NO_ROOM)}, failed
    return rows


def test_the_quota_at_the_target_is_used_up(
    lab_of_two: Lab, two_sites: TwoSites, record_property: Tell
) -> None:
    """Nobody wrote a rule for it: the run fails and says why, and `sbx retry` goes on where it broke off."""
    lab, b = lab_of_two, two_sites.b
    quota = f"{b.home_inside}/quota"
    b.run(b.login, f"mkdir -p {quota} && rm -rf {quota}/*")
    with copying(two_sites, quota) as copies:
        with full_quota(b, quota, most_bytes=ROOM_MIB << 20):
            start(lab, copies)
            assert lab.wait_for_end(60)["state"] == "FAILED"
        said = lab.sbx("show", "copy.2").text
        assert "quota" in said, said
        assert "make room at the target, or ask for more quota" in said, said
        assert copies.arrived_bytes() > 1 << 20, "what had arrived is kept"
        fault = Fault("quota used up at the target of a copy", now(), set())
        assert lab.sbx("retry").exit_code == 0
        rows = judge(lab)
        assert "there from an earlier try" in next(
            row["user_text"] for row in rows[::-1] if row["task"] == "copy.2"
        )
        copies.check()
        tell_recovery(rows, fault, record_property)
        check_nothing_left_at(b, home_id(lab))


def test_there_is_no_room_at_the_target_until_somebody_makes_some(
    lab_of_two: Lab, two_sites: TwoSites, record_property: Tell
) -> None:
    """A rule of the module's waits for it."""
    lab, b = lab_of_two, two_sites.b
    small = f"{b.home_inside}/small"
    with little_room(b, small, mib=ROOM_MIB), copying(two_sites, small) as copies:
        start(lab, copies, AGAIN)
        lab.wait(lambda: any(row["exit_code"] == NO_ROOM for row in lab.rows()), 60, "want of room")
        more_room(b, small, mib=64)
        fault = Fault("no room at the target of a copy", now(), set())
        rows = judge(lab)
        b.run(b.login, f"cp -a {copies.to} /scratch/")
        came = b.scratch / copies.source.name  # what a tmpfs holds is seen on its own host alone
        assert differences(copies.source, came) == []
        shutil.rmtree(came)
        tell_recovery(rows, fault, record_property)


def test_a_file_that_is_written_to_while_it_is_copied_arrives_as_it_is_then(
    lab_of_two: Lab, two_sites: TwoSites
) -> None:
    with copying(two_sites) as copies:
        start(lab_of_two, copies)
        copies.until_arrived(BIG_BYTES // 4)
        change(copies, "big")
        judge(lab_of_two)
        copies.check()
        check_nothing_left_at(two_sites.b, home_id(lab_of_two))


def change(copies: Copying, name: str) -> None:
    """Write to a file in its middle, at the source, as a program does that is not done with it."""
    descriptor = os.open(copies.source / name, os.O_WRONLY)
    try:
        os.pwrite(descriptor, b"written meanwhile", os.fstat(descriptor).st_size // 8)
    finally:
        os.close(descriptor)
