"""The row that an attempt becomes."""

import pytest

from scalebox_hpc.daemon.attempt_row import Made, Of, attempt_row
from scalebox_hpc.wire import codec

LEASE = "7.0000000a.1"
TASK = Of(7, 1, 1, 1, 100, 100, 200, "sha256:recorded")


@pytest.mark.parametrize(("told", "image"), [("", "sha256:recorded"), ("sha256:told", "sha256:told")])
def test_the_image_is_what_the_report_says_else_what_the_run_began_with(told: str, image: str) -> None:
    result = codec.result({"lease": LEASE, "outcome": "ok", "image": told})
    assert image in attempt_row(TASK, result, Made(1, 1, 300))
