"""What is given back and stays is cancelled again, ever more slowly, and forgotten once it is gone."""

from __future__ import annotations

from scalebox_hpc.engine.cancelling import AGAIN_MOST_S, AGAIN_S, Asked, after_look


def orders_until(end_s: float, *, stray: bool, interval_s: float) -> list[float]:
    """When a try that stays listed is cancelled, with a look each interval."""
    asked: dict[str, Asked] = {}
    orders, now_s = [], 0.0
    while now_s <= end_s:
        given_back, strays = ([], ["a"]) if stray else (["a"], [])
        due, asked = after_look(asked, given_back, strays, now_s)
        if due:
            orders.append(now_s)
        now_s += interval_s
    return orders


def test_a_stray_is_cancelled_at_first_sight_and_then_ever_more_slowly() -> None:
    assert orders_until(1000.0, stray=True, interval_s=1.0) == [0.0, 30.0, 90.0, 210.0, 450.0, 930.0]


def test_what_was_given_back_has_its_first_order_behind_it() -> None:
    assert orders_until(1000.0, stray=False, interval_s=1.0) == [30.0, 90.0, 210.0, 450.0, 930.0]


def test_the_wait_has_an_end() -> None:
    orders = orders_until(10 * AGAIN_MOST_S, stray=True, interval_s=10.0)
    assert orders[-1] - orders[-2] == AGAIN_MOST_S


def test_there_is_at_most_one_order_a_look() -> None:
    assert orders_until(400.0, stray=True, interval_s=100.0) == [0.0, 100.0, 200.0, 400.0]


def test_what_is_listed_no_more_is_forgotten_and_begins_anew() -> None:
    _, asked = after_look({}, ["a"], ["b"], 0.0)
    assert set(asked) == {"a", "b"}
    _, asked = after_look(asked, [], [], 10.0)
    assert asked == {}
    due, asked = after_look(asked, ["a"], [], 20.0)
    assert due == frozenset()
    assert asked == {"a": Asked(20.0, AGAIN_S)}
