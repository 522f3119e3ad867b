"""Each kind of trouble that a simulated world may have: a function that strikes once.

What it does for a while is over by itself, or when the trouble as a whole is, but where it says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from scalebox_hpc.domain.allocation import Ending, Phase
from scalebox_hpc.engine.elements import GONE_S
from scalebox_hpc.errors import BatchProblem, SubmitLimited, SubmitUnconfirmed
from scalebox_hpc.testing.agent import SimulatedAgent
from scalebox_hpc.testing.batch import Crash
from scalebox_hpc.testing.ledger import NoRoom

if TYPE_CHECKING:
    from scalebox_hpc.testing.chaos import Chaos

Trouble = Callable[["Chaos"], None]


def daemon_is_killed(chaos: Chaos) -> None:
    """Kill -9 between two turns."""
    if chaos.world.core is not None:
        chaos.world.crash(chaos.rng.choice([0.5, 5.0, 100.0]))


def daemon_is_killed_at_a_write(chaos: Chaos) -> None:
    """Kill -9 after a write, before or after a commit, or around a call of the batch system."""
    faults = chaos.world.faults
    faults.at[faults.passed + chaos.rng.randint(1, 40)] = Crash()


def agent_is_killed(chaos: Chaos) -> None:
    """Kill -9 of an agent; its wrapper says so."""
    if (agent := chaos.agent()) is not None:
        chaos.world.kill(agent)


def node_is_lost(chaos: Chaos) -> None:
    """An agent falls silent; it dies with its node, or is back after a while."""
    if (agent := chaos.agent()) is None:
        return
    world, rng = chaos.world, chaos.rng
    world.saw("node", agent, "is cut off")
    world.network.deaf.add(agent.incarnation)
    if rng.random() < 0.5:
        ending = rng.choice([Ending.NODE_LOST, Ending.FAILED, None])
        world.clock.after(rng.uniform(0.1, 60.0), partial(_lose, chaos, agent, ending))
    else:
        back_s = rng.choice([5.0, 70.0, world.site.lost_after_s + rng.uniform(5.0, 60.0), 600.0])
        world.clock.after(back_s, lambda: world.network.deaf.discard(agent.incarnation))


def _lose(chaos: Chaos, agent: SimulatedAgent, ending: Ending | None) -> None:
    if agent.over:
        return
    if ending is None and chaos.world.is_current(agent) and agent.try_name in chaos.world.batch.tries:
        chaos.world.requeue(agent)
    else:
        chaos.world.kill(agent, word=False, ending=ending or Ending.NODE_LOST)


def agent_comes_back_too_late(chaos: Chaos) -> None:
    """An agent was given up, and is back with a result when its task is at work elsewhere."""
    chaos.late.lie_in_wait()


def agent_gets_sigterm(chaos: Chaos) -> None:
    """SIGTERM out of nowhere."""
    if (agent := chaos.agent()) is not None:
        agent.terminate()


def element_is_preempted(chaos: Chaos) -> None:
    """With a warning or without, to be started again or not."""
    agent, rng = chaos.agent(), chaos.rng
    if agent is None or agent.try_name not in chaos.world.batch.tries:
        return
    if rng.random() < 0.5:
        agent.terminate()
    after_s, again = rng.choice([0.0, 2.0, 30.0]), rng.random() < 0.6
    chaos.world.clock.after(after_s, partial(_preempt, chaos, agent, again))


def _preempt(chaos: Chaos, agent: SimulatedAgent, again: bool) -> None:
    listed = chaos.world.batch.tries.get(agent.try_name)
    if listed is None or listed.elements[agent.element].phase is not Phase.ACTIVE:
        return
    if not chaos.world.is_current(agent):
        return
    if again:
        chaos.world.requeue(agent)
    else:
        chaos.world.kill(agent, word=False, ending=Ending.PREEMPTED)


def somebody_cancels(chaos: Chaos) -> None:
    """`scancel` by hand: a whole try or one element, pending or at work."""
    if (name := chaos.try_()) is None:
        return
    batch = chaos.world.batch
    living = [index for index, seen in batch.tries[name].elements.items() if seen.phase is not Phase.ENDED]
    batch.end(name, Ending.CANCELLED, *(living if chaos.rng.random() < 0.3 else [chaos.rng.choice(living)]))
    chaos.world.saw("scancel", name)
    chaos.world.terminate(name)


def controller_forgets(chaos: Chaos) -> None:
    """A slurmctld that lost its state: a try is gone, and its job id is given again."""
    if (name := chaos.try_()) is None:
        return
    world = chaos.world
    world.saw("forgotten", name)
    lives_on = chaos.rng.random() < 0.5
    world.batch.next_job_id = int(world.batch.tries[name].job_id)
    world.batch.forget(name)
    for agent in world.living():
        if agent.try_name == name and not lives_on:
            world.kill(agent, word=False)


def ended_ones_are_forgotten(chaos: Chaos) -> None:
    """Tries that are over are listed no more, and accounting is down."""
    batch = chaos.world.batch
    batch.hidden.update(batch.tries.keys() - batch.alive().keys())


def sbatch_is_not_heard(chaos: Chaos) -> None:
    """The answer is lost, the allocation is there; or it never arrived."""
    fault = SubmitUnconfirmed("no answer in 30 s")
    if chaos.rng.random() < 0.6:
        chaos.world.batch.after_submit = fault
    else:
        chaos.world.batch.before_submit = chaos.rng.choice(
            [fault, BatchProblem("try again"), SubmitLimited("too many")]
        )


def squeue_fails(chaos: Chaos) -> None:
    """Looks fail, or show a part only."""
    batch = chaos.world.batch
    if chaos.rng.random() < 0.5:
        chaos.for_a_while(
            lambda: setattr(batch, "incomplete", "it does not answer"),
            lambda: setattr(batch, "incomplete", ""),
            600.0,
        )
    else:
        chaos.for_a_while(
            lambda: setattr(batch, "partial", True), lambda: setattr(batch, "partial", False), 600.0
        )


def squeue_is_stale(chaos: Chaos) -> None:
    """Looks show what was so a while ago."""
    batch = chaos.world.batch
    chaos.for_a_while(batch.freeze, lambda: setattr(batch, "stale", None), 100.0)


def squeue_hides(chaos: Chaos) -> None:
    """A try is listed no more for a while, as if it had never been."""
    if (name := chaos.try_()) is not None:
        hidden = chaos.world.batch.hidden
        chaos.for_a_while(lambda: hidden.add(name), lambda: hidden.discard(name), 900.0)


def scancel_fails(chaos: Chaos) -> None:
    """No order to cancel is taken."""
    batch = chaos.world.batch
    chaos.for_a_while(
        lambda: setattr(batch, "cancel_problem", BatchProblem("it does not answer")),
        lambda: setattr(batch, "cancel_problem", None),
    )


def clock_is_set(chaos: Chaos) -> None:
    """The wall clock steps, forwards or backwards."""
    chaos.world.clock.step_wall(chaos.rng.choice([-7200.0, -100.0, -1.0, 1.0, 100.0, 7200.0]))


def disk_is_full(chaos: Chaos) -> None:
    """The ledger cannot be written."""
    always = chaos.world.faults.always
    chaos.for_a_while(lambda: always.update(commit=NoRoom()), lambda: always.pop("commit", None), 100.0)


def disk_is_full_for_a_moment(chaos: Chaos) -> None:
    """One write finds no room."""
    faults = chaos.world.faults
    faults.at[faults.passed + chaos.rng.randint(1, 40)] = NoRoom()


def commits_are_slow(chaos: Chaos) -> None:
    """Messages pile up meanwhile."""
    rng = chaos.rng
    chaos.for_a_while(
        lambda: setattr(chaos.world.daemon, "commit_s", lambda: 0.01 * 1000 ** rng.random()),
        lambda: setattr(chaos.world.daemon, "commit_s", None),
        60.0,
    )


def spool_is_unreadable(chaos: Chaos) -> None:
    """The spools of some agents cannot be read."""
    world = chaos.world
    names = {name for name in world.agents if chaos.rng.random() < 0.5}
    chaos.for_a_while(
        lambda: world.unreadable.update(names), lambda: world.unreadable.difference_update(names), 400.0
    )


def spool_is_lost(chaos: Chaos) -> None:
    """Somebody tidied up; or a spool is torn."""
    spools = chaos.world.spools
    if not spools:
        return
    name = chaos.rng.choice(sorted(spools))
    if chaos.rng.random() < 0.5:
        del spools[name]
    else:
        lines = spools[name]
        lines.insert(chaos.rng.randint(0, len(lines)), {"incarnation": "torn"})


def shared_folder_is_full(chaos: Chaos) -> None:
    """Neither spools nor last words can be written."""
    world = chaos.world
    chaos.for_a_while(
        lambda: setattr(world, "shared_is_full", True),
        lambda: setattr(world, "shared_is_full", False),
        200.0,
    )


def node_is_broken(chaos: Chaos) -> None:
    """No program starts on a node, or its disk is full."""
    nodes = chaos.rng.choice([chaos.world.broken_nodes, chaos.world.full_nodes])
    name = chaos.rng.choice(list(chaos.world.nodes))
    chaos.for_a_while(lambda: nodes.add(name), lambda: nodes.discard(name))


def agents_do_not_start(chaos: Chaos) -> None:
    """Elements end before their agent has said hello, as with a broken prologue; three pause a pool."""
    world = chaos.world
    chaos.for_a_while(
        lambda: setattr(world, "agents_start", False), lambda: setattr(world, "agents_start", True), 100.0
    )


def a_try_is_out_of_sight(chaos: Chaos) -> None:
    """It is neither listed nor cancelled, for longer than anybody waits, also when all else is calm."""
    if (name := chaos.try_()) is None:
        return
    world, for_s = chaos.world, chaos.rng.uniform(GONE_S, 3 * GONE_S)
    world.saw("unseen", name, f"for {for_s:.0f} s")
    world.batch.out_of_sight.add(name)
    world.clock.after(for_s, lambda: world.batch.out_of_sight.discard(name))


def command_is_ended(chaos: Chaos) -> None:
    """SIGTERM of a command that is the daemon as well; somebody goes on with what it interrupted."""
    chaos.world.daemon.interrupt()
    chaos.world.clock.after(chaos.rng.choice([1.0, 40.0, 700.0]), chaos.go_on)


def a_twin_says_hello(chaos: Chaos) -> None:
    """A second agent claims an element, as after a copied script."""
    if (agent := chaos.agent()) is None:
        return
    name = chaos.world.new_incarnation()
    twin = SimulatedAgent(chaos.world, agent.try_name, agent.element, agent.restart, name, agent.job_id)
    twin.node, twin.is_stray = agent.node, True
    chaos.world.agents[name] = twin
    chaos.world.saw("agent", twin, "is a twin")
    twin.hello()


def a_person_meddles(chaos: Chaos) -> None:
    """Cancels, resumes or retries."""
    chaos.order(chaos.rng.choice(["run.cancel", "run.resume", "run.retry", "run.resume"]))


TROUBLE: tuple[Trouble, ...] = (
    daemon_is_killed,
    daemon_is_killed_at_a_write,
    agent_is_killed,
    node_is_lost,
    agent_comes_back_too_late,
    agent_gets_sigterm,
    element_is_preempted,
    somebody_cancels,
    controller_forgets,
    ended_ones_are_forgotten,
    sbatch_is_not_heard,
    squeue_fails,
    squeue_is_stale,
    squeue_hides,
    scancel_fails,
    clock_is_set,
    disk_is_full,
    disk_is_full_for_a_moment,
    commits_are_slow,
    spool_is_unreadable,
    spool_is_lost,
    shared_folder_is_full,
    node_is_broken,
    agents_do_not_start,
    a_try_is_out_of_sight,
    command_is_ended,
    a_twin_says_hello,
    a_person_meddles,
)
KINDS = {each.__name__.replace("_", " "): each for each in TROUBLE}
LATE = "agent comes back too late"
