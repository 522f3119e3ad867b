"""Slurm by pyslurm, against a real Slurm that it is for: all that the commands are asked, and more.

Such a pair is a root file system of its own (`scripts/cluster/build-rootfs-pyslurm`); where it cannot
be made, these tests are skipped.
"""

import os
from collections.abc import Iterator

import pytest

from tests.cluster.box import Box, BoxError, Settings, Site, running_site, wait_until
from tests.cluster.test_doctor import doctor
from tests.cluster.test_slurm_cli import (  # the same questions, asked of another back end
    Desk,
    desk_at,
    named,
    test_a_controller_that_cannot_be_reached_ends_nothing,  # noqa: F401
    test_a_requeued_element_waits_again_and_comes_back_with_a_higher_count,  # noqa: F401
    test_a_surrounding_job_and_habits_change_nothing,  # noqa: F401
    test_a_trial_makes_no_allocation,  # noqa: F401
    test_a_try_is_cancelled_by_name_alone,  # noqa: F401
    test_elements_start_run_and_end,  # noqa: F401
    test_other_homes_are_not_listed,  # noqa: F401
    test_pending_elements_are_read_however_compact_slurm_writes_them,  # noqa: F401
    test_refusals_are_told_in_slurms_words,  # noqa: F401
    test_running_and_pending_elements_are_cancelled_by_name_and_id,  # noqa: F401
    test_the_array_limit_is_the_most_elements_that_slurm_takes,  # noqa: F401
    test_the_script_is_plain_text,  # noqa: F401
)

WHEEL = "/opt/pyslurm/*.whl"


@pytest.fixture(scope="module")
def site_pyslurm() -> Iterator[Site]:
    environ = os.environ | {"SBX_BOX_ROOT": "build-rootfs-pyslurm"}
    environ["SBX_BOX_STATE"] = f"{Box().state}-pyslurm"
    box = Box(environ)
    try:
        box.call("build", timeout_s=900.0)
    except BoxError as error:
        pytest.skip(f"no Slurm that pyslurm is for: {error}")
    with running_site("sitep", Settings(), box) as running:
        pip = f"{running.sbx.removesuffix('sbx')}pip"
        running.run(running.login, f"{pip} -q install --no-index --no-deps {WHEEL}")
        yield running


@pytest.fixture
def desk(site_pyslurm: Site, request: pytest.FixtureRequest) -> Iterator[Desk]:
    yield from desk_at(site_pyslurm, request.node.name, "slurm_api")
