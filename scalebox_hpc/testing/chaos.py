"""What goes wrong in a simulated world: when, what and for how long, all drawn from the seed.

Each seed has some of the kinds of trouble, not all, so that what hides another does not hide it for
ever. It ends after a while; from then on the world behaves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from scalebox_hpc.daemon.desk import Command, Submit
from scalebox_hpc.daemon.events import Call
from scalebox_hpc.domain.allocation import Ending, Phase
from scalebox_hpc.errors import BatchProblem, SubmitLimited, SubmitUnconfirmed
from scalebox_hpc.testing.agent import SimulatedAgent
from scalebox_hpc.testing.batch import Crash
from scalebox_hpc.testing.latecomer import Latecomer
from scalebox_hpc.testing.ledger import NoRoom
from scalebox_hpc.testing.network import LATENCY_S

if TYPE_CHECKING:
    from scalebox_hpc.testing.world import World

SHARE = 0.35  # of the kinds of trouble that a seed has
HELD_S = 40_000.0  # an element that waits for so long starts when somebody lets it


@dataclass(slots=True)
class Chaos:
    """Trouble for one world."""

    world: World
    seed: int
    run: str  # the run that a person meddles with
    rng: Random = field(init=False)
    late: Latecomer = field(init=False)
    kinds: list[str] = field(default_factory=list)
    ends_s: float = 0.0
    is_over: bool = False
    resumes: int = 0  # by a person, so far

    def __post_init__(self) -> None:
        self.rng = Random(f"{self.seed} chaos")
        self.late = Latecomer(self.world, self.seed)

    def begin(self) -> None:
        """Draw what this seed has, and let it come."""
        rng, world = self.rng, self.world
        self.ends_s = world.clock.mono_s + rng.choice([60.0, 300.0, 900.0, 2000.0])
        self.kinds = [kind for kind in KINDS if rng.random() < SHARE]
        world.queue_s = self._queue_s
        if LATE in self.kinds:
            if rng.random() < 0.5:
                self.kinds = [LATE]  # alone: much else ends the agent before it is back
            self.ends_s += 4 * world.site.lost_after_s
            self.late.begin()
        if rng.random() < 0.5:
            world.hands.pace = self._pace
        if rng.random() < 0.4:
            losses, doubles, delays = (rng.choice([0.0, 0.02, 0.2]) for _ in range(3))
            world.network.weather = partial(self._weather, losses, doubles, delays)
        world.nodes = [f"n{number}" for number in range(rng.choice([2, 6, 30]))]
        if self.kinds:
            self._later(rng.choice([3.0, 15.0, 60.0]))
        world.clock.after(self.ends_s - world.clock.mono_s, self.end)

    def describe(self) -> str:
        """Say it in a line."""
        weather = " in bad weather" if self.world.network.weather is not None else ""
        return f"{', '.join(self.kinds) or 'no trouble'}{weather}, for {self.ends_s - 1000.0:.0f} s"

    def _later(self, mean_s: float) -> None:
        self.world.clock.after(self.rng.expovariate(1 / mean_s), partial(self._strike, mean_s))

    def _strike(self, mean_s: float) -> None:
        if self.is_over:
            return
        kind = self.rng.choice(self.kinds)
        KINDS[kind](self)
        self._later(mean_s)

    def end(self) -> None:
        """From now on the world behaves: what was broken is mended, what was held starts."""
        if self.is_over:
            return
        self.is_over = True
        self.late.end()
        world = self.world
        world.saw("calm")
        self.mend()
        world.hands.pace = world.network.weather = None
        world.network.deaf.clear()
        world.faults.at.clear()
        world.faults.always.clear()
        world.broken_nodes.clear()
        world.full_nodes.clear()

    def mend(self) -> None:
        """Take away what was to last for a while."""
        world = self.world
        world.batch.incomplete, world.batch.cancel_problem = "", None
        world.batch.before_submit = world.batch.after_submit = None
        world.batch.hidden.clear()
        world.batch.stale = None
        world.batch.partial = False
        world.unreadable.clear()
        world.shared_is_full, world.daemon.commit_s = False, None
        world.faults.always.pop("commit", None)

    def _for_a_while(self, begin: Callable[[], None], end: Callable[[], None], most_s: float = 300.0) -> None:
        begin()
        self.world.clock.after(self.rng.uniform(1.0, most_s), lambda: None if self.is_over else end())

    # how long things take

    def _queue_s(self) -> float:
        if self.is_over:
            return self.rng.uniform(0.5, 20.0)
        return HELD_S if self.rng.random() < 0.1 else 0.5 * 400 ** self.rng.random()

    def _pace(self, command: Command) -> tuple[float, float]:
        slow = 30.0 if isinstance(command, Submit) else 8.0
        return 0.05 * (slow / 0.05) ** self.rng.random(), 0.01 * 100 ** self.rng.random()

    def _weather(self, losses: float, doubles: float, delays: float) -> Sequence[float]:
        rng = self.rng
        if rng.random() < losses:
            return ()
        count = 2 if rng.random() < doubles else 1
        return [0.3 * 200 ** rng.random() if rng.random() < delays else LATENCY_S for _ in range(count)]

    # who is struck

    def _agent(self) -> SimulatedAgent | None:
        living = [agent for agent in self.world.living() if agent is not self.late.agent]
        return self.rng.choice(living) if living else None

    def _try(self) -> str | None:
        alive = sorted(self.world.batch.alive())
        return self.rng.choice(alive) if alive else None

    # kinds of trouble

    def daemon_is_killed(self) -> None:
        """Kill -9 between two turns."""
        if self.world.core is not None:
            self.world.crash(self.rng.choice([0.5, 5.0, 100.0]))

    def daemon_is_killed_at_a_write(self) -> None:
        """Kill -9 after a write, before or after a commit, or around a call of the batch system."""
        faults = self.world.faults
        faults.at[faults.passed + self.rng.randint(1, 40)] = Crash()

    def agent_is_killed(self) -> None:
        """Kill -9 of an agent; its wrapper says so."""
        if (agent := self._agent()) is not None:
            self.world.kill(agent)

    def node_is_lost(self) -> None:
        """An agent falls silent; it dies with its node, or is back after a while."""
        if (agent := self._agent()) is None:
            return
        world, rng = self.world, self.rng
        world.saw("node", agent, "is cut off")
        world.network.deaf.add(agent.incarnation)
        if rng.random() < 0.5:
            ending = rng.choice([Ending.NODE_LOST, Ending.FAILED, None])
            world.clock.after(rng.uniform(0.1, 60.0), partial(self._lose, agent, ending))
        else:
            back_s = rng.choice([5.0, 70.0, world.site.lost_after_s + rng.uniform(5.0, 60.0), 600.0])
            world.clock.after(back_s, lambda: world.network.deaf.discard(agent.incarnation))

    def _lose(self, agent: SimulatedAgent, ending: Ending | None) -> None:
        if agent.over:
            return
        if ending is None and self.world.is_current(agent) and agent.try_name in self.world.batch.tries:
            self.world.requeue(agent)
        else:
            self.world.kill(agent, word=False, ending=ending or Ending.NODE_LOST)

    def agent_comes_back_too_late(self) -> None:
        """An agent was given up, and is back with a result when its task is at work elsewhere."""
        self.late.lie_in_wait()

    def agent_gets_sigterm(self) -> None:
        """SIGTERM out of nowhere."""
        if (agent := self._agent()) is not None:
            agent.terminate()

    def element_is_preempted(self) -> None:
        """With a warning or without, to be started again or not."""
        agent, rng = self._agent(), self.rng
        if agent is None or agent.try_name not in self.world.batch.tries:
            return
        if rng.random() < 0.5:
            agent.terminate()
        after_s, again = rng.choice([0.0, 2.0, 30.0]), rng.random() < 0.6
        self.world.clock.after(after_s, partial(self._preempt, agent, again))

    def _preempt(self, agent: SimulatedAgent, again: bool) -> None:
        listed = self.world.batch.tries.get(agent.try_name)
        if listed is None or listed.elements[agent.element].phase is not Phase.ACTIVE:
            return
        if not self.world.is_current(agent):
            return
        if again:
            self.world.requeue(agent)
        else:
            self.world.kill(agent, word=False, ending=Ending.PREEMPTED)

    def somebody_cancels(self) -> None:
        """`scancel` by hand: a whole try or one element, pending or at work."""
        if (name := self._try()) is None:
            return
        batch = self.world.batch
        living = [
            index for index, seen in batch.tries[name].elements.items() if seen.phase is not Phase.ENDED
        ]
        batch.end(name, Ending.CANCELLED, *(living if self.rng.random() < 0.3 else [self.rng.choice(living)]))
        self.world.saw("scancel", name)
        self.world.terminate(name)

    def controller_forgets(self) -> None:
        """A slurmctld that lost its state: a try is gone, and its job id is given again."""
        if (name := self._try()) is None:
            return
        world = self.world
        world.saw("forgotten", name)
        lives_on = self.rng.random() < 0.5
        world.batch.next_job_id = int(world.batch.tries[name].job_id)
        world.batch.forget(name)
        for agent in world.living():
            if agent.try_name == name and not lives_on:
                world.kill(agent, word=False)

    def ended_ones_are_forgotten(self) -> None:
        """Tries that are over are listed no more, and accounting is down."""
        batch = self.world.batch
        batch.hidden.update(batch.tries.keys() - batch.alive().keys())

    def sbatch_is_not_heard(self) -> None:
        """The answer is lost, the allocation is there; or it never arrived."""
        fault = SubmitUnconfirmed("no answer in 30 s")
        if self.rng.random() < 0.6:
            self.world.batch.after_submit = fault
        else:
            self.world.batch.before_submit = self.rng.choice(
                [fault, BatchProblem("try again"), SubmitLimited("too many")]
            )

    def squeue_fails(self) -> None:
        """Looks fail, or show a part only."""
        batch = self.world.batch
        if self.rng.random() < 0.5:
            self._for_a_while(
                lambda: setattr(batch, "incomplete", "it does not answer"),
                lambda: setattr(batch, "incomplete", ""),
                600.0,
            )
        else:
            self._for_a_while(
                lambda: setattr(batch, "partial", True), lambda: setattr(batch, "partial", False), 600.0
            )

    def squeue_is_stale(self) -> None:
        """Looks show what was so a while ago."""
        batch = self.world.batch
        self._for_a_while(batch.freeze, lambda: setattr(batch, "stale", None), 100.0)

    def squeue_hides(self) -> None:
        """A try is listed no more for a while, as if it had never been."""
        if (name := self._try()) is not None:
            hidden = self.world.batch.hidden
            self._for_a_while(lambda: hidden.add(name), lambda: hidden.discard(name), 900.0)

    def scancel_fails(self) -> None:
        """No order to cancel is taken."""
        batch = self.world.batch
        self._for_a_while(
            lambda: setattr(batch, "cancel_problem", BatchProblem("it does not answer")),
            lambda: setattr(batch, "cancel_problem", None),
        )

    def clock_is_set(self) -> None:
        """The wall clock steps, forwards or backwards."""
        self.world.clock.step_wall(self.rng.choice([-7200.0, -100.0, -1.0, 1.0, 100.0, 7200.0]))

    def disk_is_full(self) -> None:
        """The ledger cannot be written."""
        always = self.world.faults.always
        self._for_a_while(lambda: always.update(commit=NoRoom()), self._there_is_room, 100.0)

    def _there_is_room(self) -> None:
        self.world.faults.always.pop("commit", None)

    def disk_is_full_for_a_moment(self) -> None:
        """One write finds no room."""
        faults = self.world.faults
        faults.at[faults.passed + self.rng.randint(1, 40)] = NoRoom()

    def commits_are_slow(self) -> None:
        """Messages pile up meanwhile."""
        rng = self.rng
        self._for_a_while(
            lambda: setattr(self.world.daemon, "commit_s", lambda: 0.01 * 1000 ** rng.random()),
            lambda: setattr(self.world.daemon, "commit_s", None),
            60.0,
        )

    def spool_is_unreadable(self) -> None:
        """The spools of some agents cannot be read."""
        world = self.world
        names = {name for name in world.agents if self.rng.random() < 0.5}
        self._for_a_while(
            lambda: world.unreadable.update(names), lambda: world.unreadable.difference_update(names), 400.0
        )

    def spool_is_lost(self) -> None:
        """Somebody tidied up; or a spool is torn."""
        spools = self.world.spools
        if not spools:
            return
        name = self.rng.choice(sorted(spools))
        if self.rng.random() < 0.5:
            del spools[name]
        else:
            lines = spools[name]
            lines.insert(self.rng.randint(0, len(lines)), {"incarnation": "torn"})

    def shared_folder_is_full(self) -> None:
        """Neither spools nor last words can be written."""
        world = self.world
        self._for_a_while(
            lambda: setattr(world, "shared_is_full", True),
            lambda: setattr(world, "shared_is_full", False),
            200.0,
        )

    def node_is_broken(self) -> None:
        """No program starts on a node, or its disk is full."""
        nodes = self.rng.choice([self.world.broken_nodes, self.world.full_nodes])
        name = self.rng.choice(list(self.world.nodes))
        self._for_a_while(lambda: nodes.add(name), lambda: nodes.discard(name))

    def a_twin_says_hello(self) -> None:
        """A second agent claims an element, as after a copied script."""
        if (agent := self._agent()) is None:
            return
        name = f"{len(self.world.agents) + 1:016x}"
        twin = SimulatedAgent(self.world, agent.try_name, agent.element, agent.restart, name, agent.job_id)
        twin.node, twin.is_stray = agent.node, True
        self.world.agents[name] = twin
        self.world.saw("agent", twin, "is a twin")
        twin.hello()

    def a_person_meddles(self) -> None:
        """Cancels, resumes or retries."""
        self.order(self.rng.choice(["run.cancel", "run.resume", "run.retry", "run.resume"]))

    def order(self, verb: str) -> None:
        """Ask something of the daemon, and do not care what it answers."""
        if verb != "run.cancel":
            self.resumes += 1
        some = {"cause": "exit"} if verb == "run.retry" else {}  # what was refused stays so, unless asked for
        self.world.daemon.arrive(Call(verb, {"run": self.run, **some}, lambda reply: None))


TROUBLE: tuple[Callable[[Chaos], None], ...] = (
    Chaos.daemon_is_killed,
    Chaos.daemon_is_killed_at_a_write,
    Chaos.agent_is_killed,
    Chaos.node_is_lost,
    Chaos.agent_comes_back_too_late,
    Chaos.agent_gets_sigterm,
    Chaos.element_is_preempted,
    Chaos.somebody_cancels,
    Chaos.controller_forgets,
    Chaos.ended_ones_are_forgotten,
    Chaos.sbatch_is_not_heard,
    Chaos.squeue_fails,
    Chaos.squeue_is_stale,
    Chaos.squeue_hides,
    Chaos.scancel_fails,
    Chaos.clock_is_set,
    Chaos.disk_is_full,
    Chaos.disk_is_full_for_a_moment,
    Chaos.commits_are_slow,
    Chaos.spool_is_unreadable,
    Chaos.spool_is_lost,
    Chaos.shared_folder_is_full,
    Chaos.node_is_broken,
    Chaos.a_twin_says_hello,
    Chaos.a_person_meddles,
)
KINDS = {each.__name__.replace("_", " "): each for each in TROUBLE}
LATE = "agent comes back too late"
