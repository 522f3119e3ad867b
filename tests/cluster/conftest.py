"""Fixtures for tests on a real cluster; tests here are marked `cluster`, and skipped where it cannot be."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.box import Settings, Site, cgroup_v1, running_site, skip_reason

HERE = Path(__file__).resolve().parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this directory, and skip them with the reason if there is one."""
    reason = skip_reason()
    for item in items:
        if HERE in item.path.resolve().parents:
            item.add_marker(pytest.mark.cluster)
            if reason is not None:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """A plain site of two nodes: no accounting database, memory watched by sampling."""
    with running_site("sitea", Settings()) as running:
        yield running


@pytest.fixture(scope="session")
def site_dbd() -> Iterator[Site]:
    """A site with accounting, and with real memory limits where the machine can give them."""
    with running_site("siteb", Settings(dbd=True, cgroup=cgroup_v1())) as running:
        yield running
