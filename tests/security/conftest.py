"""One scene for all: the daemon goes on living while tests try what they should not be able to do."""

from collections.abc import Iterator

import pytest

from tests.scenarios.lab import ThisMachine, lab_at
from tests.security.scene import Scene, play


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A daemon whose first run is over; it ends with the tests."""
    with lab_at(ThisMachine(), tmp_path_factory.mktemp("security") / "lab") as lab:
        lab.directory.mkdir()
        yield play(lab)
