"""What all tests share: in CI, hypothesis tries the same examples each time; one Postgres for all."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from scalebox_hpc.testing.postgres import Postgres, postgres, programs

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


LANES = {
    "tests/cluster": "cluster",
    "tests/contract/test_runtimes.py": "cluster",
    "tests/scenarios": "scenarios",
}
"""What may not run beside its like: it shares a site, or takes the time of what it starts."""


class Lanes(LoadScopeScheduling):  # type: ignore[misc]
    """Spreads files over workers (`-n 2`); all files of a lane go to the same one, in order."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((lane for start, lane in LANES.items() if file.startswith(start)), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes:
    """Let it be ours, in the order in which the files were named."""
    config.option.loadscopereorder = False
    return Lanes(config, log)


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """A running Postgres; whoever stops it starts it again."""
    if programs() is None:
        pytest.skip("no Postgres server is installed (apt-get install postgresql)")
    with postgres() as made:
        yield made
