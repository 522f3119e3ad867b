"""The books of one conversation with an agent."""

from __future__ import annotations

import pytest

from scalebox_hpc.domain.progress import Progress
from scalebox_hpc.engine.session import Offer, Session


@pytest.fixture
def session() -> Session:
    """Three leases: a is held and started, b was offered by answer 2, c by none yet."""
    made = Session()
    made.add(Offer("a"))
    made.hear(1, 0, {}, [])
    made.answered(1)
    made.hear(2, 1, {"a": True}, [])
    made.add(Offer("b"))
    made.answered(2)
    made.add(Offer("c"))
    return made


def names(offers: object) -> list[str]:
    return [offer.lease for offer in offers]  # type: ignore[attr-defined]


def test_a_lease_is_offered_until_a_sync_that_took_the_offer(session: Session) -> None:
    assert names(session.to_offer()) == ["b", "c"]
    session.hear(3, 1, {"a": True}, [])
    assert names(session.to_offer()) == ["b", "c"]
    heard = session.hear(4, 2, {"a": True, "b": False}, [])
    assert names(heard.confirmed) == ["b"]
    assert names(session.to_offer()) == ["c"]


def test_an_offer_that_was_taken_and_is_not_listed_is_given_back(session: Session) -> None:
    heard = session.hear(3, 2, {"a": True}, [])
    assert names(heard.given_back) == ["b"]
    assert names(session.to_offer()) == ["c"]


def test_a_held_lease_that_is_no_longer_listed_is_given_back_whatever_was_taken(session: Session) -> None:
    assert names(session.hear(3, 1, {}, []).given_back) == ["a"]


def test_a_lease_with_a_result_is_not_given_back(session: Session) -> None:
    heard = session.hear(3, 2, {"b": True}, ["a"])
    assert heard.given_back == ()


def test_a_sync_that_is_not_above_the_last_is_stale_and_changes_nothing(session: Session) -> None:
    for number in (1, 2):
        assert session.hear(number, 2, {}, []).stale
    assert set(session.offers) == {"a", "b", "c"}


def test_a_start_is_news_once(session: Session) -> None:
    assert names(session.hear(3, 2, {"a": True, "b": True}, []).started) == ["b"]
    assert session.hear(4, 3, {"a": True, "b": True}, []).started == ()


def test_what_we_do_not_know_to_be_held_is_strange(session: Session) -> None:
    heard = session.hear(3, 1, {"a": True, "x": True}, [])
    assert heard.strange == (("x", True),)
    assert "x" not in session.offers


def test_after_a_restart_nothing_counts_as_offered() -> None:
    restarted = Session()
    restarted.add(Offer("a", started=True))
    heard = restarted.hear(41, 40, {}, [])
    assert heard.given_back == ()
    assert names(restarted.to_offer()) == ["a"]
    restarted.answered(41)
    assert names(restarted.hear(42, 41, {}, []).given_back) == ["a"]


def test_an_agent_that_leaves_gives_back_what_it_does_not_list_even_if_it_never_saw_it() -> None:
    restarted = Session()
    restarted.add(Offer("a"))
    restarted.add(Offer("b", started=True))
    heard = restarted.hear(41, 40, {"b": True}, [], takes_more=False)
    assert names(heard.given_back) == ["a"]
    assert restarted.to_offer() == []


def test_a_dropped_lease_is_forgotten(session: Session) -> None:
    assert session.drop("a") is not None
    assert session.drop("a") is None
    assert session.hear(3, 2, {"b": False}, []).given_back == ()


def test_the_newest_progress_is_kept_as_long_as_the_lease_is_and_of_no_other(session: Session) -> None:
    session.progressed({"a": Progress(1, 9), "of another agent": Progress(5, 9)})
    session.progressed({"a": Progress(2, 9)})
    assert {lease: offer.progress for lease, offer in session.offers.items() if offer.progress} == {
        "a": Progress(2, 9)
    }
    session.drop("a")
    session.progressed({"a": Progress(3, 9)})
    assert "a" not in session.offers
