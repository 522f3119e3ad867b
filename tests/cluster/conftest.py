"""Fixtures for tests on a real cluster; tests here are marked `cluster`, and skipped where it cannot be."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.box import Settings, Site, cgroup_v1, running_site, skip_reason
from tests.cluster.recovery import PROPERTY, Recovery, table
from tests.cluster.two_sites import OTHER, TwoSites, lab_of
from tests.scenarios.lab import Lab

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
    with running_site("sited", Settings(dbd=True, cgroup=cgroup_v1())) as running:
        yield running


@pytest.fixture(scope="session")
def two_sites(site: Site) -> Iterator[TwoSites]:
    """The plain site, and another that the first reaches by ssh; sbx is installed on the first only."""
    with running_site("siteb", OTHER, sbx=False) as other:
        yield TwoSites(site, other)


@pytest.fixture(scope="session")
def third_site(two_sites: TwoSites) -> Iterator[Site]:
    """One more that the first reaches by ssh, of one node; for what is moved between two others."""
    with running_site("sitec", Settings(nodes=1), two_sites.a.box, sbx=False) as third:
        yield third


@pytest.fixture
def lab_of_two(two_sites: TwoSites) -> Iterator[Lab]:
    """A lab on the first site's login node; its site file `b` is for the other site."""
    with lab_of(two_sites) as lab:
        yield lab


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print how long each fault took to recover from, as tests told by `record_property`."""
    found = [
        Recovery(*value)
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if name == PROPERTY
    ]
    if found:
        terminalreporter.section("recovery from faults")
        terminalreporter.write_line("\n".join(table(found)))
