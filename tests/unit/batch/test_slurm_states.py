"""Slurm's words, in ours."""

from __future__ import annotations

import pytest

from scalebox_hpc.batch.slurm_states import STATES, meaning_of
from scalebox_hpc.domain.allocation import Ending, Phase


@pytest.mark.parametrize(
    ("native", "phase", "ending"),
    [
        ("PENDING", Phase.PENDING, None),
        ("CONFIGURING", Phase.PENDING, None),
        ("REQUEUED", Phase.PENDING, None),
        ("RUNNING", Phase.ACTIVE, None),
        ("COMPLETING", Phase.ACTIVE, None),
        ("SUSPENDED", Phase.ACTIVE, None),
        ("COMPLETED", Phase.ENDED, Ending.DONE),
        ("FAILED", Phase.ENDED, Ending.FAILED),
        ("TIMEOUT", Phase.ENDED, Ending.WALLTIME),
        ("PREEMPTED", Phase.ENDED, Ending.PREEMPTED),
        ("NODE_FAIL", Phase.ENDED, Ending.NODE_LOST),
        ("OUT_OF_MEMORY", Phase.ENDED, Ending.OOM),
        ("CANCELLED by 1000", Phase.ENDED, Ending.CANCELLED),
        ("CANCELLED+", Phase.ENDED, Ending.CANCELLED),
        ("SOMETHING_NEW", Phase.UNKNOWN, None),
        ("", Phase.UNKNOWN, None),
        ("  ", Phase.UNKNOWN, None),
    ],
)
def test_meaning_of(native: str, phase: Phase, ending: Ending | None) -> None:
    assert meaning_of(native) == (phase, ending)


def test_an_ending_goes_with_the_ended_phase_and_with_no_other() -> None:
    assert all((phase is Phase.ENDED) is (ending is not None) for phase, ending in STATES.values())
