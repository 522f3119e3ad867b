"""What pyslurm gives and takes. `pyslurm_records.json` was recorded from pyslurm 25.11.2 at Slurm 25.11.2."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scalebox_hpc.batch.slurm_records import FIELDS, fields_of, from_records, killing, mismatch
from scalebox_hpc.batch.slurm_script import options, script
from scalebox_hpc.domain.allocation import AllocationRequest, CancelTarget, Ending, Launch, Phase
from scalebox_hpc.domain.pipeline import Ranks
from scalebox_hpc.domain.site import Machine

HOME = "00112233445566aa"
RECORDED = json.loads(Path(__file__).with_name("pyslurm_records.json").read_text())
MIXED, HELD, REQUEUED = (f"sbx-primes.{HOME}.e1.{number}.1" for number in (1, 2, 3))
REQUEST = AllocationRequest(
    MIXED, 3, 4, 100, 2, 3600.0, Machine("m", partition="gpu", exclusive=True), Launch(HOME, "/s 100%", "py")
)


def record(**facts: Any) -> dict[str, Any]:
    usual = {"name": MIXED, "id": 7, "array_id": 5, "element": 1, "waiting": None, "state": "RUNNING"}
    return usual | {"reason": "None", "nodes": "n1"} | facts


def test_an_array_is_put_together_from_its_jobs_and_the_bundle_that_waits() -> None:
    seen = from_records(RECORDED, HOME)[MIXED]
    assert seen.job_id == "25"
    assert {index: each.native_state for index, each in seen.elements.items()} == {
        0: "CANCELLED",
        1: "COMPLETED",
        2: "FAILED",
        3: "RUNNING",
        4: "RUNNING",
        5: "RUNNING",
        6: "RUNNING",
        7: "PENDING",
    }
    assert [seen.elements[index].ending for index in (0, 1, 2)] == [
        Ending.CANCELLED,
        Ending.DONE,
        Ending.FAILED,
    ]
    assert (seen.elements[3].phase, seen.elements[3].node, seen.elements[3].reason) == (
        Phase.ACTIVE,
        "sitep2",
        "",
    )
    assert (seen.elements[7].reason, seen.elements[7].node) == ("Resources", "")


def test_elements_that_wait_are_read_however_compact_and_a_requeued_one_waits() -> None:
    seen = from_records(RECORDED, HOME)
    assert set(seen[HELD].elements) == {0, 1, 4, 5, 6, 8, 9}
    assert {each.reason for each in seen[HELD].elements.values()} == {"JobHeldUser"}
    assert {index: each.phase for index, each in seen[REQUEUED].elements.items()} == {0: Phase.PENDING}


def test_other_homes_are_passed_over() -> None:
    assert from_records(RECORDED, "ffffffffffffffff") == {}


@pytest.mark.parametrize("state", ["DREAMING", None])
def test_an_unknown_state_is_not_an_ending(state: str | None) -> None:
    seen = from_records([record(state=state)], HOME)[MIXED].elements[1]
    assert (seen.phase, seen.ending) == (Phase.UNKNOWN, None)


def test_a_whole_try_is_killed_by_the_id_of_its_array() -> None:
    assert killing(RECORDED, [CancelTarget(MIXED, "25"), CancelTarget(HELD, "")], HOME).ids == (25, 26)


def test_elements_are_killed_by_their_own_ids_and_left_to_scancel_where_they_have_none() -> None:
    asked = killing(RECORDED, [CancelTarget(MIXED, "25", (1, 3, 6, 7))], HOME)
    assert asked.ids == (31, 34)  # 1 has ended
    assert asked.left == (CancelTarget(MIXED, "25", (7,)),)


def test_the_element_that_bears_the_id_of_its_array_is_left_to_scancel() -> None:
    last = record(id=5, element=2)
    asked = killing([record(), last], [CancelTarget(MIXED, "5", (1, 2))], HOME)
    assert asked == ((7,), (CancelTarget(MIXED, "5", (2,)),))


@pytest.mark.parametrize(
    "target",
    [
        CancelTarget(MIXED, "26"),  # the id of another try
        CancelTarget(HELD, "25"),
        CancelTarget(MIXED, "", (3,)),  # elements of a try whose job id was never learnt
        CancelTarget(MIXED, "25", (0, 1)),  # ended
        CancelTarget(f"sbx-never.{HOME}.e1.9.1", ""),
    ],
)
def test_name_and_id_count_together_and_what_is_over_is_passed_over(target: CancelTarget) -> None:
    assert killing(RECORDED, [target], HOME) == ((), ())


def test_nothing_of_another_home_is_killed() -> None:
    assert killing(RECORDED, [CancelTarget(MIXED, "25")], "ffffffffffffffff") == ((), ())


def test_a_request_says_what_its_script_says() -> None:
    fields = fields_of(REQUEST)
    assert fields["script"] == script(REQUEST)
    said = options(REQUEST)
    told = {FIELDS[name]: value for name, value in said.items()}
    numbers = {"ntasks": 1, "cpus_per_task": 4}
    ours = {"is_requeueable": True, "resource_sharing": "no", "profile_types": "none"}
    ours |= {"signal": "B:SIGTERM@60"}
    assert {name: fields[name] for name in told | ours} == told | numbers | ours
    assert fields["standard_output"].startswith("/s 100%%/tries/")


def test_every_option_of_a_script_has_its_field() -> None:
    everything = Machine("m", partition="p", account="a", qos="q", constraint="c")
    request = replace(REQUEST, machine=everything, ranks=Ranks(2, 2))
    assert options(request).keys() == FIELDS.keys()
    assert fields_of(request)["ntasks_per_node"] == 1


@pytest.mark.parametrize(
    ("pyslurm", "slurm", "why_not"),
    [
        ("25.11.2", (25, 11), ""),
        ("24.5.0", (24, 5), ""),
        ("24.05.1", (24, 5), ""),
        ("25.11.2", (24, 5), "pyslurm 25.11.2 is not for Slurm 24.05"),
        ("25.1.2", (25, 11), "pyslurm 25.1.2 is not for Slurm 25.11"),
        ("25.11.2", None, "the controller does not say which Slurm this is"),
    ],
)
def test_a_pyslurm_is_for_one_slurm(pyslurm: str, slurm: tuple[int, int] | None, why_not: str) -> None:
    assert mismatch(pyslurm, slurm) == why_not
