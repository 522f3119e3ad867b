"""Whole worlds drawn from seeds: whatever goes wrong, nothing is lost, doubled or left behind.

More seeds, for as long as one likes: `scripts/soak`. How to read a failure: docs/reliability.md.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from scalebox_hpc.testing.soak import main, try_seed

CHUNK = 10
CHUNKS = 7


@pytest.mark.parametrize("first", range(0, CHUNK * CHUNKS, CHUNK))
def test_seeds(first: int) -> None:
    for seed in range(first, first + CHUNK):
        seen = try_seed(seed)
        assert not seen.problem, f"{seen.trace}\n{seen.problem}\nscripts/soak --seed {seed} --trace"


def test_a_seed_is_the_same_world_whatever_the_process() -> None:
    program = (
        "from hashlib import sha256; from scalebox_hpc.testing.soak import try_seed\n"
        "print(sha256(''.join(try_seed(n, keep_trace=True).trace for n in (2, 5, 10)).encode()).hexdigest())"
    )
    traces = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": salt},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        ).stdout
        for salt in ("1", "2")
    }
    assert len(traces) == 1


def test_a_seed_can_be_seen_up_to_a_turn(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "2", "--steps", "20", "--trace"]) == 0
    said = capsys.readouterr().out
    assert "scenario" in said
    assert "all was as it must be, 20 turns" in said
