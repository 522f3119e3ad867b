"""The lab of this machine: scenarios here run on the local back end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.lab import Lab, ThisMachine, lab_at


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab in an empty directory; its daemon ends with the test."""
    with lab_at(ThisMachine(), tmp_path / "lab") as lab:
        lab.directory.mkdir()
        yield lab
