"""Agents die, fall silent, come back, speak twice: each result counts once, each lease has one holder."""

from __future__ import annotations

import pytest

from scalebox_hpc.daemon.state import RunPhase
from scalebox_hpc.domain.allocation import Ending
from scalebox_hpc.errors import SubmitRefused
from scalebox_hpc.testing.agent import Json, Played, SimulatedAgent
from scalebox_hpc.testing.audit import look
from scalebox_hpc.testing.world import SITE, World
from tests.fault.conftest import MakeWorld
from tests.fault.pipelines import Player, attempts, in_order, ledger, module, pipeline, player, sums, totals

LOST_S = SITE.lost_after_s
ONE = [("scatter", "1")]


def counting(world: World) -> SimulatedAgent:
    """Let the world go on until count.1 runs; return the agent that runs it."""
    holders = "SELECT incarnation FROM task JOIN agent USING (agent_id) JOIN module AS m USING (module_id)"
    query = f"{holders} WHERE m.name = 'count' AND n = 1 AND task.state = 'RUNNING'"
    world.run(until=lambda: bool(look(ledger(world), query)))
    return world.agents[look(ledger(world), query)[0][0]]


def slow(offer: Json, _: list[Json]) -> Played:
    return Played([("total", offer["body"])], run_s=20.0)


def held_by(world: World, agent: SimulatedAgent) -> str:
    assert agent.session is not None
    return next(lease for lease, one in agent.session.held.items() if one.offer["task"] == "count.1")


def last_word(agent: SimulatedAgent) -> Json:
    """What the wrapper of an agent says at its end."""
    names = {"try": agent.try_name, "incarnation": agent.incarnation}
    return {**names, "element": agent.element, "restart": agent.restart, "status": 0}


def start(make_world: MakeWorld, seeds: list[tuple[str, str]] = ONE, **roles: object) -> World:
    world = make_world(player(**{"count": slow, **roles}))  # type: ignore[arg-type]
    world.accept(sums(), seeds)
    return world


@pytest.mark.parametrize(
    ("ending", "cause"),
    [
        (Ending.NODE_LOST, "node_lost"),
        (Ending.PREEMPTED, "preempted"),
        (Ending.OOM, "oom"),
        (Ending.FAILED, "agent_lost"),
    ],
)
def test_an_attempt_is_explained_by_how_its_element_ended(
    make_world: MakeWorld, ending: Ending, cause: str
) -> None:
    world = start(make_world)
    world.kill(counting(world), word=False, ending=ending)
    end = world.finish()
    if cause == "oom":  # the user's, and there is no retry rule
        assert end is RunPhase.FAILED
        assert attempts(world, "count.1") == [("FAILED", cause)]
    else:
        assert end is RunPhase.SUCCEEDED
        assert attempts(world, "count.1") == [("FAILED", cause), ("SUCCEEDED", "")]
        assert totals(world) == ["1"]
    in_order(world)


def test_a_wrappers_word_lets_leases_lapse_at_once(make_world: MakeWorld) -> None:
    world = start(make_world)
    agent, before_s = counting(world), world.clock.mono_s
    world.kill(agent)
    world.run(until=lambda: attempts(world, "count.1") == [("FAILED", "agent_lost")])
    assert world.clock.mono_s - before_s < 1.0
    assert world.finish() is RunPhase.SUCCEEDED
    in_order(world)
    ends = "SELECT detail FROM event WHERE thing = 'agent' AND what = 'ended' ORDER BY event_id"
    said = [detail for (detail,) in look(ledger(world), ends)]
    assert said[0] == "agent_lost"
    assert set(said[1:]) == {"left"}, "nothing was lost with those that went in order"


def test_a_wrappers_word_left_in_a_file_is_found(make_world: MakeWorld) -> None:
    world = start(make_world)
    agent, before_s = counting(world), world.clock.mono_s
    world.batch.hidden.add(agent.try_name)
    world.network.deaf.add(agent.incarnation)
    world.kill(agent)
    world.run(until=lambda: attempts(world, "count.1") == [("FAILED", "agent_lost")])
    assert world.clock.mono_s - before_s < LOST_S
    assert world.ended_files == {}, "it is taken once and removed"
    world.batch.hidden.clear()
    assert world.finish() is RunPhase.SUCCEEDED


def test_a_word_in_a_file_is_kept_while_the_spool_cannot_be_read(make_world: MakeWorld) -> None:
    world = start(make_world)
    agent = counting(world)
    world.network.deaf.add(agent.incarnation)
    world.run(until=lambda: bool(world.spools))
    world.unreadable.add(agent.incarnation)
    world.kill(agent)
    world.run(until=lambda: bool(world.ended_files))
    world.run(for_s=30.0)
    assert attempts(world, "count.1") == []
    assert len(world.ended_files) == 1
    world.unreadable.clear()
    world.run(until=lambda: not world.ended_files)
    assert attempts(world, "count.1") == [("SUCCEEDED", "")]
    assert world.finish() is RunPhase.SUCCEEDED
    in_order(world)


def test_words_in_files_are_removed_also_where_nobody_needs_them(make_world: MakeWorld) -> None:
    """The batch system told the ending first, and nothing is looked at any more: the next start does it."""
    world = start(make_world, count=lambda offer, _: Played([("total", offer["body"])], run_s=1.0))
    assert world.finish() is RunPhase.SUCCEEDED
    (agent,) = world.agents.values()
    world.ended_files["ended/late.json"] = last_word(agent)
    world.ended_files["ended/foreign.json"] = {"what": "is this?"}
    world.crash()
    world.run(until=lambda: "ended/late.json" not in world.ended_files)
    assert list(world.ended_files) == ["ended/foreign.json"]
    in_order(world)


def test_a_late_word_about_an_element_that_started_again_does_not_end_it(make_world: MakeWorld) -> None:
    def long(offer: Json, _: list[Json]) -> Played:
        return Played([("total", offer["body"])], run_s=200.0)

    world = start(make_world, [("scatter", "4")], count=long)
    agent = counting(world)
    world.requeue(agent)
    place = (agent.try_name, agent.element)
    world.run(until=lambda: any((each.try_name, each.element) == place for each in world.living()))
    world.run(for_s=30.0)
    asked = len(world.batch.submitted)
    world.ended_files["ended/late.json"] = last_word(agent)
    world.run(until=lambda: not world.ended_files)
    world.run(for_s=60.0)
    assert len(world.batch.submitted) == asked, "its element counts as one that is there"
    assert world.finish() is RunPhase.SUCCEEDED
    in_order(world)


def test_an_element_that_starts_again_ends_its_earlier_incarnation(make_world: MakeWorld) -> None:
    world = start(make_world)
    world.requeue(counting(world))
    assert world.finish() is RunPhase.SUCCEEDED
    assert attempts(world, "count.1") == [("FAILED", "node_lost"), ("SUCCEEDED", "")]
    assert totals(world) == ["1"]
    in_order(world)


def test_a_silent_agent_is_given_up_only_while_its_site_is_heard(make_world: MakeWorld) -> None:
    world = start(make_world, count=lambda offer, _: Played([("total", offer["body"])], run_s=1000.0))
    agent = counting(world)
    world.network.deaf.add(agent.incarnation)
    world.batch.incomplete = "slurmctld does not answer"
    world.run(for_s=3 * LOST_S)
    assert attempts(world, "count.1") == []
    world.batch.incomplete = ""
    world.run(for_s=LOST_S / 4)
    assert attempts(world, "count.1") == []
    world.run(for_s=LOST_S)
    assert attempts(world, "count.1") == [("FAILED", "agent_lost")]
    world.network.deaf.clear()
    assert world.finish() is RunPhase.SUCCEEDED
    assert totals(world) == ["1"]
    in_order(world)


def test_a_restart_of_the_daemon_counts_silence_from_zero(make_world: MakeWorld) -> None:
    world = start(make_world, count=lambda offer, _: Played([("total", offer["body"])], run_s=1000.0))
    agent = counting(world)
    world.network.deaf.add(agent.incarnation)
    for _ in range(4):
        world.run(for_s=LOST_S - 20.0)
        world.crash()
    assert attempts(world, "count.1") == []
    world.network.deaf.clear()
    assert world.finish() is RunPhase.SUCCEEDED
    assert attempts(world, "count.1") == [("SUCCEEDED", "")]


def test_an_agent_that_was_silent_for_too_long_goes_on_with_what_it_holds(make_world: MakeWorld) -> None:
    world = start(make_world, count=lambda offer, _: Played([("total", offer["body"])], run_s=400.0))
    agent = counting(world)
    lease = held_by(world, agent)
    world.hold_elements = True
    world.network.deaf.add(agent.incarnation)
    world.run(until=lambda: attempts(world, "count.1") == [("FAILED", "agent_lost")])
    world.network.deaf.clear()
    world.run(for_s=60.0)
    states = look(
        ledger(world),
        "SELECT state, attempts FROM task JOIN module AS m USING (module_id) WHERE name='count'",
    )
    assert states == [("RUNNING", 0)], "its lease is good, its lapse is taken back"
    assert held_by(world, agent) == lease
    world.hold_elements = False
    assert world.finish() is RunPhase.SUCCEEDED
    assert attempts(world, "count.1") == [("SUCCEEDED", "")]
    assert totals(world) == ["1"]
    in_order(world)


def test_a_report_after_the_lapse_is_recorded_and_gives_the_budget_back(make_world: MakeWorld) -> None:
    def long(offer: Json, _: list[Json]) -> Played:
        return Played([("total", offer["body"])], run_s=200.0 * int(offer["body"]))

    world = start(make_world, [("scatter", "2")], count=long)
    agent = counting(world)
    world.hold_elements = True  # nobody else takes the tasks
    world.network.deaf.add(agent.incarnation)
    world.run(until=lambda: attempts(world, "count.1") == [("FAILED", "agent_lost")])
    assert attempts(world, "count.2") == [("FAILED", "agent_lost")]
    world.run(until=lambda: bool(world.spools))
    world.network.deaf.clear()
    world.run(until=lambda: attempts(world, "count.1") == [("SUCCEEDED", "")])
    world.run(for_s=5.0)
    assert attempts(world, "count.2") == [], "it still runs, under the same lease"
    spent = "SELECT DISTINCT spent IN ('', '{\"infra\": 0}') FROM task"
    assert look(ledger(world), spent) == [(1,)]
    assert world.finish() is RunPhase.SUCCEEDED
    assert totals(world) == ["3"]
    assert [len(attempts(world, task)) for task in ("count.1", "count.2")] == [1, 1]
    in_order(world)


def test_a_spool_written_after_the_lapse_is_taken_in_with_the_wrappers_word(make_world: MakeWorld) -> None:
    world = start(make_world, count=lambda offer, _: Played([("total", offer["body"])], run_s=200.0))
    agent = counting(world)
    world.hold_elements = True
    world.network.deaf.add(agent.incarnation)
    world.run(until=lambda: attempts(world, "count.1") == [("FAILED", "agent_lost")])
    world.run(until=lambda: agent.over)
    world.network.deaf.clear()
    world.run(until=lambda: attempts(world, "count.1") == [("SUCCEEDED", "")])


def test_a_spool_written_after_the_lapse_is_taken_in_with_a_word_left_in_a_file(
    make_world: MakeWorld,
) -> None:
    world = start(make_world, count=lambda offer, _: Played([("total", offer["body"])], run_s=200.0))
    agent = counting(world)
    world.hold_elements = True
    world.network.deaf.add(agent.incarnation)
    world.run(until=lambda: attempts(world, "count.1") == [("FAILED", "agent_lost")])
    world.run(until=lambda: bool(world.ended_files))
    world.run(until=lambda: not world.ended_files)
    assert attempts(world, "count.1") == [("SUCCEEDED", "")]
    world.hold_elements = False
    for name in world.batch.alive():
        world.start_elements(name)
    assert world.finish() is RunPhase.SUCCEEDED
    assert totals(world) == ["1"]
    in_order(world)


def test_a_report_after_somebody_else_took_the_task_is_refused(make_world: MakeWorld) -> None:
    world = start(make_world, count=lambda offer, _: Played([("total", offer["body"])], run_s=300.0))
    agent = counting(world)
    world.network.deaf.add(agent.incarnation)
    world.run(until=lambda: attempts(world, "count.1") == [("FAILED", "agent_lost")])
    world.run(until=lambda: len([each for each in world.agents.values() if held(each, "count.1")]) == 2)
    world.network.deaf.clear()
    assert world.finish() is RunPhase.SUCCEEDED
    assert attempts(world, "count.1") == [("FAILED", "agent_lost"), ("SUCCEEDED", "")]
    assert totals(world) == ["1"]
    in_order(world)


def held(agent: SimulatedAgent, task: str) -> bool:
    return (
        not agent.over
        and agent.session is not None
        and any(one.offer["task"] == task for one in agent.session.held.values())
    )


def test_a_spool_is_taken_in_before_leases_lapse(make_world: MakeWorld) -> None:
    world = start(make_world)
    agent = counting(world)
    world.network.deaf.add(agent.incarnation)
    world.run(until=lambda: bool(world.spools))
    world.kill(agent, word=False, ending=Ending.NODE_LOST)
    assert world.finish() is RunPhase.SUCCEEDED
    assert attempts(world, "count.1") == [("SUCCEEDED", "")]
    in_order(world)


def test_a_spool_that_cannot_be_read_postpones_the_lapse(make_world: MakeWorld) -> None:
    world = start(make_world)
    agent = counting(world)
    world.network.deaf.add(agent.incarnation)
    world.run(until=lambda: bool(world.spools))
    world.unreadable.add(agent.incarnation)
    world.kill(agent, word=False, ending=Ending.NODE_LOST)
    world.run(for_s=300.0)
    assert attempts(world, "count.1") == []
    world.unreadable.clear()
    assert world.finish() is RunPhase.SUCCEEDED
    assert attempts(world, "count.1") == [("SUCCEEDED", "")]
    in_order(world)


def test_a_torn_spool_counts_up_to_where_it_is_torn(make_world: MakeWorld) -> None:
    world = start(make_world)
    agent = counting(world)
    world.network.deaf.add(agent.incarnation)
    world.run(until=lambda: bool(world.spools))
    world.spools[agent.incarnation].append({"incarnation": "torn"})
    world.kill(agent)
    assert world.finish() is RunPhase.SUCCEEDED
    in_order(world)


def test_a_spooled_report_without_its_chunks_sends_the_task_round_again(make_world: MakeWorld) -> None:
    world = make_world(player(scatter=_slow_scatter))
    world.accept(sums(), [("scatter", "9")])
    world.run(until=lambda: bool(look(ledger(world), "SELECT 1 FROM task WHERE state = 'RUNNING'")))
    agent = next(agent for agent in world.living() if agent.started)
    world.network.deaf.add(agent.incarnation)
    world.run(until=lambda: bool(world.spools))
    lines = world.spools[agent.incarnation]
    del lines[1]  # the middle one of its chunks
    world.kill(agent, word=False, ending=Ending.NODE_LOST)
    assert world.finish() is RunPhase.SUCCEEDED
    assert totals(world) == ["45"]
    assert attempts(world, "scatter.1") == [("FAILED", "node_lost"), ("SUCCEEDED", "")]
    in_order(world)


def _slow_scatter(offer: Json, _: list[Json]) -> Played:
    return Played([("count", str(number)) for number in range(1, int(offer["body"]) + 1)], run_s=10.0)


def test_a_report_without_its_chunks_sends_the_task_round_again(make_world: MakeWorld) -> None:
    world = make_world(player())
    world.accept(sums(), [("scatter", "9")])
    world.run(until=lambda: "stage_chunk" in world.faults.names)
    assert world.core is not None
    world.run(until=lambda: world.faults.names.count("stage_chunk") == 3)
    (task, epoch, number) = look(ledger(world), "SELECT DISTINCT task_id, lease_epoch, lease_n FROM chunk")[0]
    with world.core.store.transaction():
        world.core.store.run("drop_chunk", (task, epoch, number, 1, 0))
    assert world.finish() is RunPhase.SUCCEEDED
    assert totals(world) == ["45"]
    in_order(world)


def test_messages_lost_doubled_delayed_and_out_of_order_change_nothing(make_world: MakeWorld) -> None:
    world = start(make_world, seeds=[("scatter", "9")])
    storm = [[], [0.01, 0.5], [3.0], [0.01], [0.01, 0.01, 7.0], [0.4], [], [], [30.0], [0.01, 60.0]]
    world.network.mischief = [copies for _ in range(12) for copies in storm]
    assert world.finish() is RunPhase.SUCCEEDED
    assert totals(world) == ["45"]
    in_order(world)


def test_two_agents_that_claim_one_element_do_not_both_work(make_world: MakeWorld) -> None:
    world = start(make_world, seeds=[("scatter", "3")])
    agent = counting(world)
    twin = SimulatedAgent(world, agent.try_name, agent.element, agent.restart, "f" * 16, agent.job_id)
    world.agents["f" * 16] = twin
    twin.hello()
    world.run(until=lambda: twin.over)
    assert twin.started == []
    assert not agent.over
    assert world.finish() is RunPhase.SUCCEEDED
    assert totals(world) == ["6"]


def test_an_agent_of_an_allocation_that_was_given_up_is_told_to_leave(make_world: MakeWorld) -> None:
    world = make_world(player())
    world.hold_elements = True
    world.accept(sums(), ONE)
    world.run(until=lambda: bool(world.batch.tries))
    name = next(iter(world.batch.tries))
    world.batch.hidden.add(name)
    world.run(until=lambda: len(world.batch.tries) == 2)
    world.batch.hidden.clear()
    world.hold_elements = False
    for each in list(world.batch.tries):
        world.start_elements(each)
    assert world.finish() is RunPhase.SUCCEEDED
    assert not any(agent.started for agent in world.agents.values() if agent.try_name == name)
    in_order(world)


def test_a_module_whose_program_does_not_start_fails_with_all_its_tasks(make_world: MakeWorld) -> None:
    """Also those that agents held and gave back after the module had failed."""
    plays = Player({"work": lambda offer, _: Played(cause="launch", run_s=1.0 + int(offer["body"]) / 10)})
    world = make_world(plays)
    world.accept(pipeline(module("work")), [("work", str(number)) for number in range(30)])
    world.run(until=lambda: bool(look(ledger(world), "SELECT 1 FROM module WHERE broken <> ''")))
    assert world.finish() is RunPhase.FAILED
    assert look(ledger(world), "SELECT state, cause, count(*) FROM task GROUP BY state, cause") == [
        ("FAILED", "launch", 30)
    ]
    in_order(world)


def test_a_lease_given_back_to_a_failed_module_does_not_keep_the_run_open(make_world: MakeWorld) -> None:
    plays = Player(
        {"work": lambda offer, _: Played(cause="launch") if offer["body"] != "9" else Played(run_s=50.0)}
    )
    world = make_world(plays)
    world.accept(pipeline(module("work")), [("work", str(number)) for number in [9, *range(8)]])
    world.run(until=lambda: bool(look(ledger(world), "SELECT 1 FROM module WHERE broken <> ''")))
    holder = next(
        agent
        for agent in world.living()
        if any(one.offer["body"] == "9" for one in agent.session.held.values())
    )
    holder.terminate()
    assert world.finish() is RunPhase.FAILED
    in_order(world)


def test_what_would_not_start_is_tried_next_by_another_agent(make_world: MakeWorld) -> None:
    def work(offer: Json, _: list[Json]) -> Played:
        fails = offer["body"] == "0" and offer["attempt"] == 1
        return Played(cause="launch", run_s=3.0) if fails else Played(run_s=1.0)

    world = make_world(Player({"work": work}))
    world.accept(pipeline(module("work"), slots=40), [("work", str(number)) for number in range(8)])
    assert world.finish() is RunPhase.SUCCEEDED
    asked = "SELECT a.agent_id FROM attempt AS a JOIN task USING (task_id) WHERE n = 1 ORDER BY attempt_id"
    [(first,), (second,)] = look(ledger(world), asked)
    assert first != second
    in_order(world)


def test_an_agent_whose_end_had_to_wait_does_not_keep_a_run_open_for_ever(make_world: MakeWorld) -> None:
    """Its spool could not be read when its element ended; then nothing was left to look at, nor to hear."""
    world = start(make_world)
    agent = counting(world)
    world.unreadable.add(agent.incarnation)
    world.batch.refusal = SubmitRefused("no more of these")
    world.kill(agent, word=False, ending=Ending.NODE_LOST)
    world.run(for_s=60.0)
    assert not world.batch.alive()
    world.unreadable.clear()
    world.run(until=lambda: attempts(world, "count.1") != [])
    world.batch.refusal = None
    world.run(for_s=60.0)
    if world.phase() is RunPhase.PAUSED:
        world.command("run.resume", run="run-1")
    assert world.finish() is RunPhase.SUCCEEDED
    in_order(world)
