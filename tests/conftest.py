"""What all tests share: in CI, hypothesis tries the same examples each time; one Postgres for all."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from scalebox_hpc.testing.postgres import Postgres, postgres, programs

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


HERE = Path(__file__).resolve().parent
LANES = {"cluster": "cluster", "contract/test_runtimes.py": "cluster", "scenarios": "scenarios"}
"""What may not run beside its like: it shares a site, or takes the time of what it starts."""


@pytest.hookimpl(tryfirst=True)  # before the workers ask
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep each lane in one worker, where tests are spread over several (`-n 2 --dist loadgroup`)."""
    for item in items:
        place = item.path.resolve().relative_to(HERE).as_posix()
        for start, lane in LANES.items():
            if place.startswith(start):
                item.add_marker(pytest.mark.xdist_group(lane))


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """A running Postgres; whoever stops it starts it again."""
    if programs() is None:
        pytest.skip("no Postgres server is installed (apt-get install postgresql)")
    with postgres() as made:
        yield made
