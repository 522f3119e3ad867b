"""How elements end, and what the report says of what they held."""

from __future__ import annotations

from scalebox_hpc.daemon.state import RunPhase
from scalebox_hpc.domain.allocation import Ending
from scalebox_hpc.errors import SubmitLimited
from scalebox_hpc.testing.agent import Json, Played, SimulatedAgent
from scalebox_hpc.testing.audit import look
from scalebox_hpc.testing.world import SITE, World
from tests.fault.conftest import MakeWorld
from tests.fault.pipelines import Player, attempts, in_order, ledger, module, pipeline


def slow(_: Json, __: list[Json]) -> Played:
    return Played(run_s=20.0)


def start(make_world: MakeWorld) -> World:
    world = make_world(Player({"count": slow}))
    work = pipeline(module("count"), slots=1, idle_s=30.0)  # agents wait for a lost task to come round
    world.accept(work, [("count", "1")])
    return world


def counting(world: World, restart: int = 0) -> SimulatedAgent:
    """Let the world go on until an agent of an element that was started again so often runs count.1."""
    query = (
        "SELECT incarnation FROM task JOIN agent USING (agent_id) JOIN module AS m USING (module_id)"
        " WHERE m.name = 'count' AND n = 1 AND task.state = 'RUNNING' AND restart = ?"
    )
    world.run(until=lambda: bool(look(ledger(world), query, restart)))
    return world.agents[look(ledger(world), query, restart)[0][0]]


def notes(world: World) -> list[str]:
    query = (
        "SELECT note FROM attempt AS a JOIN task USING (task_id) JOIN module AS m USING (module_id)"
        " WHERE m.name = 'count' ORDER BY attempt"
    )
    return [text for (text,) in look(ledger(world), query)]


def test_the_end_of_an_element_that_had_started_again_is_seen(make_world: MakeWorld) -> None:
    """A listing does not tell of which life of the element it speaks."""
    world = start(make_world)
    world.requeue(counting(world))
    again = counting(world, restart=1)
    killed_s = world.clock.mono_s
    world.kill(again, word=False, ending=Ending.NODE_LOST)
    assert world.finish() is RunPhase.SUCCEEDED
    assert world.clock.mono_s - killed_s < SITE.lost_after_s
    assert attempts(world, "count.1") == [("FAILED", "node_lost"), ("FAILED", "node_lost"), ("SUCCEEDED", "")]
    assert notes(world) == [
        "its element was started again",
        "its element ended: the batch system says NODE_FAIL",
        "",
    ]
    in_order(world)


def test_what_runs_when_its_element_is_told_to_end_is_an_attempt(make_world: MakeWorld) -> None:
    world = start(make_world)
    counting(world).terminate()
    assert world.finish() is RunPhase.SUCCEEDED
    assert attempts(world, "count.1") == [("FAILED", "preempted"), ("SUCCEEDED", "")]
    in_order(world)


def test_too_many_elements_are_asked_for_again_at_once_half_as_many(make_world: MakeWorld) -> None:
    world = make_world(Player({"work": slow}))
    world.batch.refusal = SubmitLimited("AssocMaxSubmit")
    world.accept(pipeline(module("work"), slots=16), [("work", str(n)) for n in range(99)])
    world.run(for_s=20.0)
    assert [request.elements for request in world.batch.submitted] == [4, 2, 1]


def test_a_batch_system_that_does_not_answer_is_named_as_long(make_world: MakeWorld) -> None:
    world = start(make_world)
    counting(world)
    world.batch.incomplete = "Unable to contact slurm controller"

    def reason() -> str:
        return str(world.command("run.status", run="run-1").body["pools"][0]["reason"])

    world.run(until=lambda: "does not answer: Unable to contact" in reason())
    world.batch.incomplete = ""
    world.run(until=lambda: reason() == "")
    assert world.finish() is RunPhase.SUCCEEDED
