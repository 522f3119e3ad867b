"""Which tasks a free agent gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalebox_hpc.engine.dispatch import Candidate, Room, Share, fits, shares, take

ONE = Room(1, 1000)


def candidate(
    module: int, ready: int, depth: int = 0, run: int = 1, needs: Room = ONE, time_s: float = 60.0
) -> Candidate:
    return Candidate(module, run, depth, ready, needs, time_s)


@pytest.mark.parametrize(
    ("room", "needs", "count"),
    [
        (Room(4, 4000), ONE, 4),
        (Room(4, 2500), ONE, 2),
        (Room(0, 9000), ONE, 0),
        (Room(4, 4000, 1), Room(1, 1000, 1), 1),
        (Room(4, 4000, 0, 500), Room(1, 1000, 0, 200), 2),
    ],
)
def test_how_many_fit(room: Room, needs: Room, count: int) -> None:
    assert fits(room, needs) == count


@pytest.mark.parametrize(
    ("candidates", "given_out"),
    [
        ([candidate(1, 9), candidate(2, 9, depth=1)], [Share(2, 4)]),  # downstream first
        ([candidate(1, 9), candidate(2, 3, depth=1)], [Share(2, 3), Share(1, 1)]),
        ([candidate(1, 0)], []),
        (
            [candidate(1, 9, needs=Room(8, 1000)), candidate(2, 1)],
            [Share(2, 1)],
        ),  # what does not fit is passed over
        ([candidate(1, 9, time_s=5000.0)], []),
    ],
)
def test_who_gets_the_room(candidates: list[Candidate], given_out: list[Share]) -> None:
    assert shares(Room(4, 4000), {}, 3600.0, candidates, 0) == given_out


def test_runs_take_turns() -> None:
    both = [candidate(1, 9, run=1), candidate(2, 9, run=2)]
    first = [shares(Room(4, 4000), {}, None, both, turn)[0].module_id for turn in range(4)]
    assert first in ([1, 2, 1, 2], [2, 1, 2, 1])


def test_prefetch_comes_on_top_of_what_fits() -> None:
    assert shares(Room(4, 4000), {1: 3}, None, [candidate(1, 9)], 0) == [Share(1, 7)]
    assert shares(Room(4, 4000), {1: 30}, None, [candidate(1, 9)], 0) == [Share(1, 9)]
    assert shares(Room(0, 0), {1: 3}, None, [candidate(1, 9)], 0) == [Share(1, 3)]


ROOMS = st.builds(Room, st.integers(0, 8), st.integers(0, 8000))
NEEDS = st.builds(Room, st.integers(1, 8), st.integers(1, 4000))


@given(
    ROOMS, st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3), NEEDS), max_size=5), st.integers(0, 9)
)
def test_no_more_is_given_than_there_is_room_for(
    room: Room, wanted: list[tuple[int, int, Room]], turn: int
) -> None:
    candidates = [
        candidate(n, ready, depth, run=n % 2, needs=needs) for n, (ready, depth, needs) in enumerate(wanted)
    ]
    for share in shares(room, {}, None, candidates, turn):
        one = candidates[share.module_id]
        assert 0 < share.count <= one.ready
        room = take(room, one.needs, share.count)
    assert min(room.cpus, room.memory_mib) >= 0
