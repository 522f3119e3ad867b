"""To which site the files of a task go, and when they are brought to another one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalebox_hpc.engine.burst import SLOW_S, PlaceFacts
from scalebox_hpc.engine.placing import Stock, choose, idle, leaving, room, timely, wanted

NEW = PlaceFacts(1.0, 0.0, usable=True, delivers=False, waits_s=None)
PENDING = replace(NEW, waits_s=1.0, next_slots=4)
SLOW = replace(PENDING, waits_s=SLOW_S)
AT_WORK = replace(NEW, delivers=True, slots=4)
AWAY = replace(AT_WORK, usable=False)
GONE = replace(NEW, usable=False, gone=True)


def test_little_is_brought_ahead_of_the_work() -> None:
    assert room(NEW, Stock()) == 0, "nothing is asked for there yet"
    assert room(PENDING, Stock()) == 4, "as much as one element holds"
    assert room(AT_WORK, Stock(held=4)) == 4, "as much again as is held"
    assert room(AT_WORK, Stock(held=4, lying=2, coming=2)) == 0
    assert room(AWAY, Stock()) == 0


def test_files_go_where_an_element_has_nothing_to_do_and_first_where_they_are_already() -> None:
    assert choose([PENDING, AT_WORK], [Stock(), Stock(held=3)], near={0}) == 1
    assert choose([AT_WORK, AT_WORK], [Stock(held=1), Stock()], near={0}) == 0
    assert choose([AT_WORK, AT_WORK], [Stock(held=4), Stock(held=6)], near=()) == 0
    assert choose([PENDING, AT_WORK], [Stock(coming=4), Stock(held=8)], near={0}) is None


def test_this_machine_gets_no_files_once_it_has_been_full_for_a_while() -> None:
    here = replace(NEW, at_once=True, next_slots=4)
    full = replace(here, waits_s=SLOW_S)
    assert (room(here, Stock()), room(full, Stock())) == (8, 0)
    assert leaving(0, [full, AT_WORK], [Stock(lying=3), Stock(held=4)]) == [0, 0], "nor is it idle"
    assert leaving(0, [full, AT_WORK], [Stock(lying=3), Stock(held=2)]) == [2, 0]


def test_this_machine_gets_no_files_before_it_is_to_be_asked() -> None:
    here = replace(NEW, at_once=True, next_slots=4, when_pending_s=600.0)
    for waits_s, places in ((None, 0), (599.0, 0), (600.0, 8)):
        _, timed = timely([replace(PENDING, waits_s=waits_s), here])
        assert room(timed, Stock()) == places
    _, at_work = timely([PENDING, replace(here, delivers=True, slots=2)])
    assert room(at_work, Stock(held=2)) == 2, "what is at work there goes on"


def test_what_leaves_a_site_comes_back_only_where_there_is_no_other() -> None:
    free = [Stock(), Stock()]
    assert choose([AT_WORK, NEW], free, near={0}, barred={0}) == 1
    assert choose([AT_WORK, GONE], free, near=(), barred={0}) == 0
    assert choose([GONE, GONE], free, near=(), barred={0}) is None


def test_what_lies_at_a_site_that_is_gone_goes_elsewhere_at_once() -> None:
    assert leaving(0, [GONE, AT_WORK], [Stock(lying=3), Stock(held=8)]) == [3, 0]
    assert leaving(5, [GONE, NEW], [Stock(lying=3), Stock()]) == [3, 0]
    assert leaving(0, [GONE, AWAY], [Stock(lying=3), Stock()]) == [0, 0], "there is nowhere to go"
    assert leaving(0, [AWAY, AT_WORK], [Stock(lying=3), Stock()]) == [0, 0], "it may be back soon"


def test_what_lies_where_nothing_starts_goes_to_elements_that_have_nothing_to_do() -> None:
    assert leaving(0, [SLOW, AT_WORK], [Stock(lying=9), Stock(held=1)]) == [3, 0]
    assert leaving(1, [SLOW, AT_WORK], [Stock(lying=9), Stock(held=1)]) == [0, 0], "they have other work"
    assert leaving(0, [PENDING, AT_WORK], [Stock(lying=9), Stock()]) == [0, 0], "it waits for a moment only"
    assert leaving(0, [SLOW, PENDING], [Stock(lying=9), Stock()]) == [0, 0], (
        "nothing has started there either"
    )
    assert leaving(0, [SLOW, SLOW, AT_WORK], [Stock(lying=3), Stock(lying=3), Stock()]) == [3, 1, 0]


def test_pools_begin_with_an_element_and_grow_with_what_is_at_work() -> None:
    assert wanted(1000, [NEW, NEW], [Stock(), Stock()]) == [1, 1]
    assert wanted(1000, [PENDING, NEW], [Stock(lying=4), Stock()]) == [8, 1]
    assert wanted(1000, [AT_WORK, NEW], [Stock(held=4, coming=4), Stock()]) == [12, 1]
    assert wanted(0, [AT_WORK, PENDING], [Stock(held=4), Stock(lying=2)]) == [4, 2]


def test_where_elements_start_at_once_files_are_brought_before_these_are_asked_for() -> None:
    here = replace(NEW, next_slots=4, at_once=True)
    assert room(here, Stock()) == 8
    assert room(replace(here, slots=4), Stock(held=4)) == 4
    assert idle(here, Stock(lying=1)) == 3
    assert choose([PENDING, here], [Stock(), Stock()], near=()) == 1
    assert wanted(100, [here, NEW], [Stock(held=1, lying=2, coming=3), Stock()]) == [3, 1]


def test_what_lies_where_nothing_starts_is_asked_for_elsewhere_too() -> None:
    assert wanted(0, [SLOW, NEW], [Stock(lying=4), Stock()]) == [4, 1]
    assert wanted(0, [GONE, NEW], [Stock(held=1, lying=4), Stock()]) == [1, 1]


PLACES = st.lists(
    st.tuples(
        st.builds(
            PlaceFacts,
            weight=st.floats(0.01, 100.0),
            when_pending_s=st.sampled_from([0.0, 600.0]),
            usable=st.booleans(),
            delivers=st.booleans(),
            waits_s=st.sampled_from([None, 30.0, 1000.0]),
            slots=st.integers(0, 9),
            next_slots=st.integers(0, 4),
        ),
        st.builds(Stock, held=st.integers(0, 9), lying=st.integers(0, 9), coming=st.integers(0, 9)),
    ),
    min_size=1,
    max_size=4,
).map(lambda pairs: [(replace(pairs[0][0], when_pending_s=0.0), pairs[0][1]), *pairs[1:]])


@given(st.integers(0, 100), PLACES)
def test_what_waits_is_asked_for_and_what_leaves_has_somewhere_to_go(
    waiting: int, pairs: list[tuple[PlaceFacts, Stock]]
) -> None:
    places, stocks = [place for place, _ in pairs], [stock for _, stock in pairs]
    asked = wanted(waiting, places, stocks)
    if any(place.usable for place in places) and waiting:
        assert sum(asked) > sum(stock.bound for place, stock in pairs if place.usable)
    for each, (place, stock) in zip(asked, pairs, strict=True):
        assert each <= stock.bound + max(place.slots, place.next_slots, 1)
    moved = leaving(waiting, places, stocks)
    assert all(each <= stock.lying for each, (_, stock) in zip(moved, pairs, strict=True))
    assert sum(moved) <= sum(map(idle, places, stocks))


@given(PLACES, st.sets(st.integers(0, 3)))
def test_a_choice_has_room(pairs: list[tuple[PlaceFacts, Stock]], near: set[int]) -> None:
    places, stocks = [place for place, _ in pairs], [stock for _, stock in pairs]
    chosen = choose(places, stocks, near)
    if chosen is None:
        assert not any(map(room, places, stocks))
    else:
        assert room(*pairs[chosen]) > 0


@pytest.mark.parametrize("slots", [1, 7])
def test_work_is_done_where_the_first_element_starts(slots: int) -> None:
    """All goes to the site at work but for what one element of the other holds."""
    places = [replace(PENDING, next_slots=slots), replace(AT_WORK, slots=slots)]
    stocks = [Stock(), Stock()]
    for _ in range(100):
        index = choose(places, stocks, ())
        if index is None:  # some are done
            stocks[1] = Stock()
        else:
            stocks[index] = replace(stocks[index], lying=stocks[index].lying + 1)
    assert stocks[0].lying == slots
