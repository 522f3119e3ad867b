"""What squeue and sacct print, read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalebox_hpc.batch.slurm_listing import (
    UnreadableListing,
    config_values,
    from_sacct,
    from_squeue,
    indices,
)
from scalebox_hpc.domain.allocation import Ending, Phase

HOME = "00112233445566aa"
NAME = f"sbx-primes.{HOME}.e1.3.1"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("7", (7,)),
        ("5-10%4", (5, 6, 7, 8, 9, 10)),
        ("1,3,5-7", (1, 3, 5, 6, 7)),
        ("[0-2]", (0, 1, 2)),
        ("0-8:4,9", (0, 4, 8, 9)),
        ("N/A", (0,)),
        ("", (0,)),
    ],
)
def test_indices(expression: str, expected: tuple[int, ...]) -> None:
    assert indices(expression) == expected


@pytest.mark.parametrize("expression", ["0-9,11,...", "1-", "a"])
def test_indices_cut_short_are_an_error_and_not_a_guess(expression: str) -> None:
    with pytest.raises(UnreadableListing):
        indices(expression)


@given(st.sets(st.integers(0, 10_000), min_size=1, max_size=50))
def test_any_list_of_indices_is_read(wanted: set[int]) -> None:
    assert set(indices(",".join(map(str, sorted(wanted))))) == wanted


def test_a_try_is_put_together_from_its_lines() -> None:
    text = (
        f"12|3-4,6%10|12|PENDING||Resources|{NAME}\n"
        f"12|0|13|RUNNING|node7|None|{NAME}\n"
        f"12|1|14|TIMEOUT|node8|TimeLimit|{NAME}\n"
    )
    (name, seen), *others = from_squeue(text, HOME).items()
    assert (name, seen.job_id, others) == (NAME, "12", [])
    assert {index: each.phase for index, each in seen.elements.items()} == {
        3: Phase.PENDING,
        4: Phase.PENDING,
        6: Phase.PENDING,
        0: Phase.ACTIVE,
        1: Phase.ENDED,
    }
    assert seen.elements[3].reason == "Resources"
    assert (seen.elements[0].node, seen.elements[0].job_id) == ("node7", "13")
    assert seen.elements[1].ending is Ending.WALLTIME


def test_jobs_of_others_are_passed_over_whatever_their_names_hold() -> None:
    text = f"1|N/A|1|RUNNING|n|None|a|b\nc\nrest of a name|\n2|N/A|2|RUNNING|n|None|x.{HOME[::-1]}.1\n"
    assert from_squeue(text, HOME) == {}


def test_a_line_of_ours_that_is_cut_makes_the_listing_unreadable() -> None:
    with pytest.raises(UnreadableListing):
        from_squeue(f"12|0|RUNNING|{NAME}\n", HOME)


def test_an_element_listed_twice_is_as_alive_as_its_liveliest_line() -> None:
    running, ended = f"12|0|13|RUNNING|n|None|{NAME}\n", f"12|0|13|NODE_FAIL|n|None|{NAME}\n"
    for text in (running + ended, ended + running):
        assert from_squeue(text, HOME)[NAME].elements[0].phase is Phase.ACTIVE


def test_an_unknown_state_is_not_an_ending() -> None:
    assert from_squeue(f"12|0|13|DREAMING|n|None|{NAME}\n", HOME)[NAME].elements[0].phase is Phase.UNKNOWN


def test_accounting_tells_endings_only() -> None:
    text = (
        f"12_0|13|CANCELLED by 1000|n1|{NAME}\n"
        f"12_1|14|RUNNING|n1|{NAME}\n"
        f"12_[2-3]|12|CANCELLED|None assigned|{NAME}\n"
    )
    elements = from_sacct(text, HOME)[NAME].elements
    assert set(elements) == {0, 2, 3}
    assert {each.ending for each in elements.values()} == {Ending.CANCELLED}
    assert elements[2].node == ""


def test_config_values() -> None:
    text = "Configuration data as of 2026\nMaxArraySize            = 1001\nSelectTypeParameters = CR_CPU=x\n"
    assert config_values(text) == {"MaxArraySize": "1001", "SelectTypeParameters": "CR_CPU=x"}
