"""A request as an sbatch script."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalebox_hpc.batch.slurm_script import script, walltime_option
from scalebox_hpc.domain.allocation import AllocationRequest, Launch
from scalebox_hpc.domain.pipeline import Ranks
from scalebox_hpc.domain.site import Machine

LAUNCH = Launch(home="00112233445566aa", shared="/shared/sbx", python="python3")
REQUEST = AllocationRequest(
    "sbx-primes.00112233445566aa.e1.3.1", 8, 4, 8192, 0, 5400.0, Machine("cpu"), LAUNCH
)


def options(request: AllocationRequest) -> list[str]:
    lines = [line for line in script(request).splitlines() if line.startswith("#SBATCH ")]
    return [word for line in lines for word in shlex.split(line)[1:]]


def test_the_options_of_a_request() -> None:
    assert options(REQUEST) == [
        "--job-name=sbx-primes.00112233445566aa.e1.3.1",
        "--array=0-7",
        "--nodes=1",
        "--ntasks=1",
        "--cpus-per-task=4",
        "--mem=8192M",
        "--time=0-01:30:00",
        "--chdir=/shared/sbx",
        "--output=/shared/sbx/tries/sbx-primes.00112233445566aa.e1.3.1/element-%a.log",
        "--open-mode=append",
        "--signal=B:TERM@60",
        "--requeue",
    ]


def test_the_options_of_a_machine_come_after_and_its_own_last() -> None:
    machine = Machine(
        "gpu",
        partition="p1",
        account="a1",
        qos="q1",
        constraint="a100&ib",
        exclusive=True,
        sbatch=("--licenses=x:1", "--mem=0"),
    )
    asked = options(replace(REQUEST, machine=machine, gpus=2))
    assert asked[10:] == [
        "--gres=gpu:2",
        "--signal=B:TERM@60",
        "--partition=p1",
        "--account=a1",
        "--qos=q1",
        "--constraint=a100&ib",
        "--requeue",
        "--exclusive",
        "--licenses=x:1",
        "--mem=0",
    ]


def test_an_element_with_ranks_asks_for_its_nodes_and_spreads_them_evenly() -> None:
    asked = options(replace(REQUEST, cpus=14, ranks=Ranks(2, 7)))
    assert asked[1:7] == [
        "--array=0-7",
        "--nodes=2",
        "--ntasks=7",
        "--ntasks-per-node=4",
        "--cpus-per-task=2",
        "--mem=8192M",
    ]


def test_a_short_walltime_has_no_warning_that_could_come_before_the_work() -> None:
    assert not any(option.startswith("--signal") for option in options(replace(REQUEST, walltime_s=60.0)))


def test_options_come_before_the_first_command() -> None:
    lines = script(REQUEST).splitlines()
    assert lines[0] == "#!/bin/sh"
    first_command = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    assert not any(line.startswith("#SBATCH") for line in lines[first_command:])


def test_a_path_with_blanks_and_percent_signs_stays_one_option() -> None:
    asked = options(replace(REQUEST, launch=replace(LAUNCH, shared='/a b/100%#"x')))
    assert '--chdir=/a b/100%#"x' in asked
    assert f'--output=/a b/100%%#"x/tries/{REQUEST.name}/element-%a.log' in asked


def test_the_same_request_makes_the_same_text() -> None:
    assert script(REQUEST) == script(replace(REQUEST))


@given(st.floats(0.001, 1e7))
def test_a_walltime_is_never_rounded_down(walltime_s: float) -> None:
    days, _, rest = walltime_option(walltime_s).partition("-")
    hours, minutes, seconds = map(int, rest.split(":"))
    asked_s = ((int(days) * 24 + hours) * 60 + minutes) * 60 + seconds
    assert walltime_s <= asked_s < walltime_s + 60.001
    assert hours < 24
    assert minutes < 60


def test_no_walltime_is_a_bug() -> None:
    with pytest.raises(ValueError, match="positive"):
        walltime_option(0)
