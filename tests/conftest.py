"""What all tests share: in CI, hypothesis tries the same examples each time; one Postgres for all."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from scalebox_hpc.testing.postgres import Postgres, postgres, programs

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """A running Postgres; whoever stops it starts it again."""
    if programs() is None:
        pytest.skip("no Postgres server is installed (apt-get install postgresql)")
    with postgres() as made:
        yield made
