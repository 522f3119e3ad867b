"""What one incarnation says and when: prefetch, idleness, walltime, a daemon that is lost, leaving."""

from __future__ import annotations

from typing import Any

import pytest

from scalebox_hpc.agent.lease import Effects, Held, Terms, Told, read_terms
from scalebox_hpc.agent.session import GAP_S, HEAD_WAIT_S, KEEP_S, NEWS_GAP_S, SPOOL_AGAIN_S, Session

Json = dict[str, Any]
NEED = {"cpus": 1, "memory_mib": 10, "gpus": 0, "scratch_mib": 0, "time_s": 60.0}


class Talk:
    """A session and a clock, with the outside played by hand."""

    def __init__(self, walltime_left_s: float | None = None, **terms: Any) -> None:
        self.now = 100.0
        self.session = Session("i", Terms((2, 1000, 0, 0), **terms), self.now, walltime_left_s)
        self.count = 0

    def offer(self, module: int = 1, **need: Any) -> Json:
        self.count += 1
        task = f"m.{self.count}"
        return {"lease": f"{self.count}.e.1", "module": module, "task": task, "resources": {**NEED, **need}}

    def sync(self) -> Json:
        body = self.session.build_sync(self.now)
        assert body is not None
        return body

    def answer(self, **keys: Any) -> Effects:
        effects = self.session.take_answer({"sync": self.session.number, "do": "work", **keys}, self.now)
        for one in effects.taken:
            self.session.prepared(one)
        return effects

    def take(self, *offers: Json) -> list[Held]:
        self.now += 1
        self.sync()
        return self.answer(offers=offers).taken

    def start(self) -> Held:
        one = self.session.next_start(self.now)
        assert one is not None
        self.session.started(one, self.now)
        return one

    def finish(self, one: Held, run_s: float = 1.0, size: int = 100) -> None:
        self.now += run_s
        self.session.ended(one, self.now)
        self.session.finished(one, {"lease": one.lease}, size)

    def tick(self, seconds: float = 0.0) -> None:
        self.now += seconds
        self.session.tick(self.now)


def test_terms_have_defaults() -> None:
    terms = read_terms({"resources": {"cpus": 2, "memory_mib": 3}, "idle_s": 1, "token": "x"})
    assert (terms.resources, terms.idle_s, terms.poll_s) == ((2, 3, 0, 0), 1.0, 25.0)


def test_the_first_sync_is_a_poll_with_everything_free() -> None:
    body = Talk().sync()
    assert (body["sync"], body["took"], body["wait"], body["held"]) == (1, 0, True, [])
    assert body["free"] == {"cpus": 2, "memory_mib": 1000, "gpus": 0, "scratch_mib": 0}


def test_free_is_beside_all_held_leases_that_have_room() -> None:
    talk = Talk()
    talk.take(talk.offer(), talk.offer(), talk.offer())
    talk.start()
    talk.now += GAP_S
    body = talk.sync()
    assert body["free"]["cpus"] == 0
    assert body["free"]["memory_mib"] == 980
    assert sorted(body["held"]) == [["1.e.1", 1], ["2.e.1", 0], ["3.e.1", 0]]


def test_only_the_answer_to_the_newest_sync_counts() -> None:
    talk = Talk()
    talk.sync()
    late = {"sync": 1, "offers": [talk.offer()]}
    talk.session.sync_failed(1, talk.now)
    talk.now += 1
    talk.sync()
    assert talk.session.take_answer(late, talk.now).taken == []
    assert talk.session.held == {}


def test_an_offer_repeated_is_taken_once() -> None:
    talk = Talk()
    offer = talk.offer()
    assert len(talk.take(offer)) == 1
    assert talk.take(offer) == []


def test_a_result_without_work_left_goes_at_once_and_supersedes_the_poll() -> None:
    talk = Talk()
    talk.take(talk.offer())
    one = talk.start()
    talk.now += GAP_S
    assert talk.sync()["wait"] is True
    talk.finish(one, 0.001)
    body = talk.sync()
    assert (body["wait"], body["results"], body["held"]) == (False, [{"lease": "1.e.1"}], [])


def test_under_load_results_wait_for_the_gap_and_for_the_answer() -> None:
    talk = Talk()
    talk.take(*[talk.offer() for _ in range(5)])
    talk.finish(talk.start(), 0.001)
    assert talk.session.build_sync(talk.now) is None
    assert talk.session.wake_at() == pytest.approx(talk.now - 0.001 + GAP_S)
    talk.now += GAP_S
    talk.sync()
    talk.finish(talk.start(), 1.0)
    assert talk.session.build_sync(talk.now) is None
    talk.answer(recorded=["1.e.1"])
    assert [result["lease"] for result in talk.sync()["results"]] == ["2.e.1"]


def test_what_is_too_much_for_one_sync_stays_held() -> None:
    talk = Talk()
    talk.take(talk.offer(), talk.offer())
    for one in [talk.start(), talk.start()]:
        talk.finish(one, size=3 << 20)
    body = talk.sync()
    assert (len(body["results"]), body["held"]) == (1, [["2.e.1", 1]])


def test_nothing_is_prefetched_before_a_first_task_ended() -> None:
    talk = Talk()
    talk.take(talk.offer())
    one = talk.start()
    talk.now += GAP_S
    assert talk.sync()["prefetch"] == {}
    talk.finish(one, 0.01)
    assert talk.sync()["prefetch"]["1"] > 0


@pytest.mark.parametrize(
    ("run_s", "least", "most"), [(0.0001, 1000, 1000), (0.1, 1, 40), (2.1, 0, 1), (60, 0, 0)]
)
def test_prefetch_is_what_fits_in_its_time(run_s: float, least: int, most: int) -> None:
    talk = Talk(prefetch_s=2.0)
    talk.take(talk.offer())
    talk.finish(talk.start(), run_s)
    assert least <= talk.sync()["prefetch"].get("1", 0) <= most


def test_what_is_held_is_not_asked_for_again() -> None:
    talk = Talk()
    talk.take(talk.offer())
    talk.finish(talk.start(), 0.01)
    wanted = talk.sync()["prefetch"]["1"]
    talk.answer(recorded=["1.e.1"], offers=[talk.offer() for _ in range(wanted + 2)])
    talk.now += GAP_S
    assert talk.sync()["prefetch"] == {}


def test_a_big_task_is_not_overtaken_for_ever() -> None:
    talk = Talk()
    talk.take(
        talk.offer(cpus=1), talk.offer(module=2, cpus=2), talk.offer(module=3, cpus=1), talk.offer(module=3)
    )
    assert talk.start().module == 1
    assert talk.start().module == 3
    talk.now += HEAD_WAIT_S + 1
    talk.finish(talk.session.held["3.e.1"])
    assert talk.session.next_start(talk.now) is None
    talk.finish(talk.session.held["1.e.1"])
    assert talk.start().module == 2


def test_what_never_fits_is_not_taken() -> None:
    talk = Talk()
    assert talk.take(talk.offer(cpus=3)) == []


def test_idle_it_leaves_and_is_over_once_told() -> None:
    talk = Talk(idle_s=5.0)
    talk.sync()
    talk.answer()
    talk.tick(4.9)
    assert talk.session.leaving is None
    talk.tick(0.2)
    body = talk.sync()
    assert (body["leaving"], body["wait"]) == ("idle", False)
    talk.tick()
    assert not talk.session.over
    talk.answer(offers=[talk.offer()])
    talk.tick()
    assert talk.session.over


def test_with_an_unacknowledged_result_it_is_not_idle() -> None:
    talk = Talk(idle_s=5.0)
    talk.take(talk.offer())
    talk.finish(talk.start())
    talk.sync()
    talk.tick(20.0)
    assert talk.session.leaving is None


def test_while_the_daemon_is_silent_it_is_not_idle() -> None:
    talk = Talk(idle_s=5.0)
    talk.sync()
    talk.session.sync_failed(1, talk.now)
    talk.tick(50.0)
    assert talk.session.leaving is None
    talk.sync()
    talk.answer()
    talk.tick(5.1)
    assert talk.session.leaving == "idle"


def test_what_outlasts_the_walltime_is_neither_taken_nor_started() -> None:
    talk = Talk(walltime_left_s=70.0)
    assert talk.take(talk.offer(time_s=100.0)) == []
    assert len(talk.take(talk.offer(time_s=60.0))) == 1
    talk.now += 20
    assert talk.session.next_start(talk.now) is None
    assert talk.session.held == {}
    talk.tick()
    assert talk.session.leaving == "walltime"


def test_lost_it_spools_but_keeps_its_results_and_leaves_in_the_end() -> None:
    talk = Talk(spool_after_s=60.0, lost_after_s=900.0)
    talk.take(talk.offer())
    talk.finish(talk.start())
    talk.sync()
    talk.session.sync_failed(talk.session.number, talk.now)
    assert talk.session.to_spool(talk.now) == []
    talk.tick(60.0)
    due = talk.session.to_spool(talk.now)
    assert [one.lease for one in due] == ["1.e.1"]
    talk.session.spooled(due[0])
    assert talk.session.to_spool(talk.now) == []
    assert talk.sync()["results"] == [{"lease": "1.e.1"}]
    talk.tick(800.0)
    assert not talk.session.over
    talk.tick(100.0)
    assert talk.session.over


def test_lost_with_something_running_it_goes_on_without_spinning() -> None:
    talk = Talk(lost_after_s=900.0)
    talk.take(talk.offer())
    one = talk.start()
    talk.now += 1
    talk.sync()
    talk.tick(10_000.0)
    assert not talk.session.over
    assert talk.session.wake_at() > talk.now
    talk.finish(one)
    assert [held.lease for held in talk.session.to_spool(talk.now)] == ["1.e.1"]
    talk.tick()
    assert talk.session.over


def test_a_spool_that_cannot_be_written_is_not_tried_in_a_loop() -> None:
    talk = Talk(spool_after_s=60.0)
    talk.take(talk.offer())
    talk.finish(talk.start())
    talk.sync()
    talk.tick(61.0)
    talk.session.spool_failed(talk.now)
    assert talk.session.to_spool(talk.now) == []
    assert talk.session.wake_at() > talk.now


def test_drain_gives_back_what_has_not_started_and_finishes_the_rest() -> None:
    talk = Talk()
    talk.take(talk.offer(), talk.offer())
    one = talk.start()
    talk.now += 1
    talk.sync()
    effects = talk.answer(do="drain", offers=[talk.offer()])
    assert [held.lease for held in effects.dropped] == ["2.e.1"]
    assert (effects.taken, effects.kill) == ([], [])
    talk.tick()
    assert talk.session.next_start(talk.now) is None
    body = talk.sync()
    assert (body["leaving"], body["held"]) == ("drain", [["1.e.1", 1]])
    talk.answer(do="drain")
    talk.finish(one)
    talk.tick()
    assert not talk.session.over
    talk.sync()
    talk.answer(do="drain", recorded=["1.e.1"])
    talk.tick()
    assert talk.session.over


def test_leave_kills_and_is_over_when_nothing_runs() -> None:
    talk = Talk()
    talk.take(talk.offer())
    one = talk.start()
    talk.now += 1
    talk.sync()
    assert talk.answer(do="leave").kill == [one]
    talk.tick()
    assert not talk.session.over
    talk.session.ended(one, talk.now)
    talk.tick()
    assert talk.session.over


def test_dead_means_forget_or_kill() -> None:
    talk = Talk()
    talk.take(talk.offer(), talk.offer(), talk.offer())
    running, done = talk.start(), talk.start()
    talk.finish(done)
    talk.sync()
    effects = talk.answer(dead=["1.e.1", "2.e.1", "3.e.1", "99.e.1"])
    assert effects.kill == [running]
    assert sorted(one.lease for one in effects.dropped) == ["2.e.1", "3.e.1"]
    body = talk.session.build_sync(talk.now + GAP_S)
    assert body is not None
    assert (body["held"], body["free"]["cpus"]) == ([], 1)
    talk.session.ended(running, talk.now)
    assert talk.session.held == {}


def test_after_sigterm_it_waits_a_little_for_the_daemon_then_spools() -> None:
    talk = Talk()
    talk.take(talk.offer())
    talk.finish(talk.start())
    talk.session.leave("term", talk.now)
    talk.sync()
    talk.tick(4.0)
    assert not talk.session.over
    talk.tick(2.0)
    assert talk.session.over
    assert [one.lease for one in talk.session.to_spool(talk.now)] == ["1.e.1"]


def test_results_that_cannot_be_spooled_keep_it_from_leaving() -> None:
    talk = Talk(spool_after_s=60.0, lost_after_s=900.0)
    talk.take(talk.offer())
    talk.finish(talk.start())
    talk.sync()
    talk.session.sync_failed(talk.session.number, talk.now)
    talk.tick(900.0)
    assert talk.session.over
    talk.session.spool_failed(talk.now)
    talk.tick(SPOOL_AGAIN_S - 1.0)
    assert not talk.session.over
    assert talk.sync()["results"] == [{"lease": "1.e.1"}]
    talk.session.sync_failed(talk.session.number, talk.now)
    talk.tick(1.0)
    assert talk.session.over
    (one,) = talk.session.to_spool(talk.now)
    talk.session.spool_failed(talk.now)
    talk.tick(SPOOL_AGAIN_S)
    talk.session.spooled(one)
    assert talk.session.over


def test_results_that_nobody_can_be_told_are_given_up_after_a_day() -> None:
    talk = Talk(lost_after_s=900.0)
    talk.take(talk.offer())
    talk.finish(talk.start())
    talk.tick(KEEP_S + 1.0)
    talk.session.spool_failed(talk.now)
    assert talk.session.over


def test_without_a_disk_it_gives_back_what_has_not_started_and_says_why() -> None:
    talk = Talk()
    talk.take(talk.offer(), talk.offer(), talk.offer())
    one, other = talk.start(), talk.start()
    talk.session.not_started(other)
    assert talk.session.next_start(talk.now) is other
    returned = talk.session.leave("disk", talk.now, "/scratch: full")
    assert sorted(held.lease for held in returned) == ["2.e.1", "3.e.1"]
    body = talk.sync()
    assert (body["leaving"], body["reason"]) == ("disk", "/scratch: full")
    assert (body["held"], body["free"]["cpus"]) == ([["1.e.1", 1]], 1)
    talk.answer(offers=[talk.offer()])
    assert list(talk.session.held) == ["1.e.1"]
    talk.finish(one)
    talk.sync()
    talk.answer(recorded=["1.e.1"])
    talk.tick()
    assert talk.session.over


def test_a_busy_daemon_is_given_the_time_it_asks_for() -> None:
    talk = Talk()
    talk.sync()
    talk.session.sync_failed(1, talk.now, 3.0)
    assert talk.session.sync_at() == talk.now + 3.0
    assert talk.session.build_sync(talk.now + 2.9) is None


def test_progress_goes_with_a_sync_or_by_itself_after_a_while_and_once() -> None:
    talk = Talk()
    talk.take(talk.offer(), talk.offer())
    one, other = talk.start(), talk.start()
    talk.now += 1
    assert "progress" not in talk.sync()
    talk.now += 2
    one.progress = Told(5, 10, 1, "")
    talk.session.progressed(talk.now)
    assert talk.session.build_sync(talk.now) is None, "a poll is parked and was sent just now"
    talk.now += NEWS_GAP_S
    assert talk.sync()["progress"] == {one.lease: (5, 10, 1, "")}
    talk.now += NEWS_GAP_S
    assert talk.session.build_sync(talk.now) is None, "nothing is new"
    talk.finish(other)
    assert "progress" not in talk.sync()


def test_progress_is_told_again_where_it_may_be_lost() -> None:
    talk = Talk()
    talk.take(talk.offer())
    one = talk.start()
    one.progress = Told(5, 10, 1, "")
    talk.session.progressed(talk.now)
    talk.now += NEWS_GAP_S
    assert talk.sync()["progress"]
    talk.session.sync_failed(talk.session.number, talk.now)
    assert talk.sync()["progress"] == {one.lease: (5, 10, 1, "")}
