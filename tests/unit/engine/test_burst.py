"""How the open work of a module is split among its sites."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalebox_hpc.domain.pipeline import Resources
from scalebox_hpc.domain.site import Limits
from scalebox_hpc.engine.burst import SLOW_S, PlaceFacts, shares
from scalebox_hpc.engine.pools import (
    AllocationFacts,
    LocalMachine,
    ModuleWork,
    PoolFacts,
    SiteFacts,
    element_shape,
    full,
    wanted_elements,
)

AT_WORK = PlaceFacts(1.0, 0.0, usable=True, delivers=True, waits_s=None)
NEW = replace(AT_WORK, delivers=False)
SLOW = replace(NEW, waits_s=SLOW_S)
AWAY = replace(NEW, usable=False)


def standing_by(after_s: float = 600.0) -> PlaceFacts:
    return replace(NEW, when_pending_s=after_s)


def test_the_backlog_is_split_by_weights() -> None:
    assert shares(100, [NEW, NEW]) == [50, 50]
    assert shares(100, [replace(NEW, weight=3.0), NEW]) == [75, 25]
    assert shares(0, [NEW, AT_WORK]) == [0, 0]


def test_a_single_task_waits_in_both_queues() -> None:
    assert shares(1, [replace(NEW, weight=9.0), NEW]) == [1, 1]


def test_the_share_of_a_site_that_cannot_be_used_goes_to_the_others() -> None:
    assert shares(100, [AWAY, NEW]) == [0, 100]
    assert shares(100, [AWAY, AWAY]) == [0, 0]


def test_a_site_at_work_asks_for_the_share_of_one_where_nothing_starts() -> None:
    assert shares(100, [SLOW, AT_WORK]) == [50, 100]
    assert shares(100, [SLOW, NEW]) == [50, 50], "nothing has started there either"
    assert shares(100, [replace(SLOW, delivers=True), AT_WORK]) == [50, 50], "some of its elements have"


def test_a_site_that_stands_by_waits_for_all_before_it() -> None:
    late = replace(NEW, waits_s=600.0)
    assert shares(100, [replace(NEW, waits_s=599.0), standing_by()]) == [100, 0]
    assert shares(100, [late, standing_by()]) == [50, 50]
    assert shares(100, [AWAY, standing_by()]) == [0, 100]
    assert shares(100, [late, NEW, standing_by()]) == [50, 50, 0]
    assert shares(100, [replace(NEW, waits_s=inf), replace(standing_by(), delivers=True)]) == [50, 100]


ONE, HERE = Resources(cpus=1, memory_mib=1000), LocalMachine(4, 8000)


def pool(elements: int = 0, slots: int = 100, name: str = "p") -> PoolFacts:
    """A pool at work, with tasks that wait."""
    living = AllocationFacts("a", (), tuple(range(elements)), True, 1, 1000)
    return PoolFacts(name, slots, 7200.0, None, (ModuleWork("work", ONE, 50),), (living,))


@pytest.mark.parametrize(
    ("pools", "site", "found"),
    [
        ([pool(4)], SiteFacts(), set()),
        ([pool(4, slots=4)], SiteFacts(), {"p"}),
        ([pool(4)], SiteFacts(limits=Limits(elements=5)), set()),
        ([pool(4)], SiteFacts(limits=Limits(elements=4)), {"p"}),
        ([pool(4)], SiteFacts(learnt_elements=4), {"p"}),
        ([pool(3), pool(1, name="q")], SiteFacts(limits=Limits(elements=4)), {"p", "q"}),
        ([pool(3)], SiteFacts(local=HERE), set()),
        ([pool(0), pool(4, name="q")], SiteFacts(local=HERE), {"p", "q"}),
        ([pool(3, slots=3), pool(0, name="q")], SiteFacts(local=HERE), {"p"}),
    ],
)
def test_a_pool_is_full_at_its_slots_or_at_a_limit_of_its_site(
    pools: list[PoolFacts], site: SiteFacts, found: set[str]
) -> None:
    assert full(pools, site) == found


def test_what_waits_in_the_queue_of_a_site_stays_there_while_those_before_it_keep_tasks_waiting() -> None:
    asked = replace(standing_by(), waits_s=30.0)
    assert shares(100, [replace(AT_WORK, waits_s=0.0), asked]) == [50, 50]
    assert shares(100, [AT_WORK, asked]) == [100, 0]
    assert shares(100, [replace(AT_WORK, waits_s=0.0), standing_by()]) == [100, 0]


PLACES = st.lists(
    st.builds(
        PlaceFacts,
        weight=st.floats(0.01, 100.0),
        when_pending_s=st.sampled_from([0.0, 60.0, 600.0]),
        usable=st.booleans(),
        delivers=st.booleans(),
        waits_s=st.sampled_from([None, 0.0, 30.0, 100.0, 1000.0, inf]),
    ),
    min_size=1,
    max_size=4,
).map(lambda places: [replace(places[0], when_pending_s=0.0), *places[1:]])


@given(st.integers(0, 10_000), PLACES)
def test_no_work_is_left_unasked_for_and_no_share_is_more_than_all(
    ready: int, places: list[PlaceFacts]
) -> None:
    found = shares(ready, places)
    assert all(0 <= share <= ready for share in found)
    assert all(share == 0 for share, place in zip(found, places, strict=True) if not place.usable)
    if any(place.usable for place in places):
        assert sum(found) >= ready
    if not any(place.waits_for(SLOW_S) for place in places):
        assert sum(found) < ready + len(places) or ready == 0


@given(st.integers(1, 10_000), PLACES, st.integers(1, 50), st.sampled_from([None, 0.1, 60.0, 5000.0]))
def test_elements_are_wanted_while_work_waits_and_never_above_the_slots(
    ready: int, places: list[PlaceFacts], slots: int, median_s: float | None
) -> None:
    wanted = []
    for share in shares(ready, places):
        work = ModuleWork("work", Resources(), share, median_s)
        pool = PoolFacts("p", slots, 7200.0, None, (work,))
        wanted.append(wanted_elements(pool, element_shape(pool)))
    assert all(each <= slots for each in wanted)
    assert sum(wanted) <= slots * len(places)
    assert sum(wanted) > 0 or not any(place.usable for place in places)
