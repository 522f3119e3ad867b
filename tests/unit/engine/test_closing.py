"""When modules are quiet and closed, and when gathers fire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalebox_hpc.engine.closing import Closing, Standing, close, depths, graph_of, upstream

QUIET, BUSY = Standing(0, 0, to_fire=False), Standing(1, 0, to_fire=False)
CHUNKS, LOADED = Standing(0, 1, to_fire=False), Standing(0, 0, to_fire=True)
CHAIN = graph_of({"a": ["b"], "b": ["c"], "c": []})
LOOP = graph_of({"a": ["b"], "b": ["a", "c"], "c": []})


def closing(graph: object, *standings: Standing, more: bool = False) -> Closing:
    return close(graph, dict(zip("abc", standings, strict=True)), more_may_come=more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("standings", "closed", "fire"),
    [
        ((QUIET, QUIET, QUIET), "abc", ""),
        ((BUSY, QUIET, QUIET), "", ""),
        ((QUIET, BUSY, QUIET), "a", ""),
        ((QUIET, QUIET, BUSY), "ab", ""),
        ((CHUNKS, QUIET, QUIET), "", ""),
        ((QUIET, QUIET, LOADED), "ab", "c"),
        ((QUIET, LOADED, LOADED), "a", "b"),
        ((BUSY, LOADED, LOADED), "", ""),
        ((QUIET, CHUNKS, LOADED), "a", ""),
    ],
)
def test_a_chain_closes_from_its_head(standings: tuple[Standing, ...], closed: str, fire: str) -> None:
    assert closing(CHAIN, *standings) == Closing(frozenset(closed), tuple(fire))


def test_nothing_closes_while_more_may_come() -> None:
    assert closing(CHAIN, QUIET, QUIET, LOADED, more=True) == Closing(frozenset(), ())


def test_modules_on_a_cycle_close_together() -> None:
    assert closing(LOOP, QUIET, BUSY, QUIET).closed == frozenset()
    assert closing(LOOP, QUIET, QUIET, BUSY).closed == {"a", "b"}


def test_a_run_is_over_when_all_is_closed() -> None:
    standings = dict.fromkeys("abc", QUIET)
    assert close(CHAIN, standings, more_may_come=False).all_of(standings)


def test_upstream_and_depth() -> None:
    assert upstream(LOOP) == {"a": {"a", "b"}, "b": {"a", "b"}, "c": {"a", "b"}}
    assert depths(CHAIN) == {"a": 0, "b": 1, "c": 2}
    assert depths(LOOP) == {"a": 1, "b": 1, "c": 2}


NAMES = "abcdef"
GRAPHS = st.fixed_dictionaries({name: st.sets(st.sampled_from(NAMES)).map(sorted) for name in NAMES})
STANDINGS = st.fixed_dictionaries(
    dict.fromkeys(NAMES, st.builds(Standing, st.integers(0, 1), st.integers(0, 1), st.booleans()))
)


@given(GRAPHS, STANDINGS)
def test_nothing_can_reach_what_is_closed_or_fires(
    to: dict[str, list[str]], standings: dict[str, Standing]
) -> None:
    graph = graph_of(to)
    found = close(graph, standings, more_may_come=False)
    for name in found.closed:
        assert all(standings[source] == QUIET for source in upstream(graph)[name] | {name})
        assert set(to[name]) <= {each for each in NAMES if name in upstream(graph)[each]}
    for name in found.fire:
        assert standings[name].to_fire
        assert all(standings[source] == QUIET for source in upstream(graph)[name])
    assert not found.closed & set(found.fire)
