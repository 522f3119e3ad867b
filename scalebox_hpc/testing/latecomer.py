"""An agent that is back too late: given up in silence, it has a result when its task is at work elsewhere.

It makes tasks long enough for that, cuts off one agent at a time, and lets it be heard again at the worst
moment. It draws nothing else that goes wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from random import Random

from scalebox_hpc.testing.agent import Json, Played, SimulatedAgent
from scalebox_hpc.testing.world import World

SHARE = 0.4  # of the tasks that are long
QUEUE_S = 200.0  # that others may need to start
LEFT_S = 5.0  # that the task of one who is cut off has to outlast the time after which it is given up
LOOK_S = 1.0


@dataclass(slots=True)
class Latecomer:
    """Waits for its moments in one world, until it is over."""

    world: World
    seed: int
    rng: Random = field(init=False)
    agent: SimulatedAgent | None = None  # who is cut off now
    is_waiting: bool = False
    is_over: bool = False
    ends_s: dict[str, float] = field(default_factory=dict)  # by lease: when a long task will end

    def __post_init__(self) -> None:
        self.rng = Random(f"{self.seed} late")

    def begin(self) -> None:
        """Let some tasks be long, at each attempt, and wait for one of them."""
        play = self.world.play

        def at_length(offer: Json, members: list[Json]) -> Played:
            return self._at_length(play(offer, members), str(offer["task"]), str(offer["lease"]))

        self.world.play = at_length
        self.lie_in_wait()

    def _at_length(self, played: Played, task: str, lease: str) -> Played:
        if self.is_over or Random(f"{self.seed} length {task}").random() >= SHARE:
            return played
        run_s = self.world.site.lost_after_s * self.rng.uniform(1.2, 3.0) + self.rng.uniform(0.0, QUEUE_S)
        self.ends_s[lease] = self.world.clock.mono_s + run_s
        return replace(played, run_s=run_s)

    def lie_in_wait(self) -> None:
        """Cut off the next agent at a long task, unless that goes on already."""
        if not self.is_waiting:
            self.is_waiting = True
            self._look()

    def end(self) -> None:
        """Make no more tasks long, and cut nobody off."""
        self.is_over, self.agent = True, None

    def _look(self) -> None:
        if self.is_over:
            return
        if self.agent is None:
            self._cut_off()
        elif self.agent.over or _tasks(_kept(self.agent)) & _tasks(self._running_elsewhere(self.agent)):
            self.world.saw("node", self.agent, "is heard again, too late")
            self.world.network.deaf.discard(self.agent.incarnation)
            self.agent, self.is_waiting = None, False
            return
        self.world.clock.after(LOOK_S, self._look)

    def _cut_off(self) -> None:
        long = set(self._running(self.world.site.lost_after_s + LEFT_S))
        busy = [agent for agent in self.world.living() if long.intersection(agent.started)]
        if busy:
            self.agent = self.rng.choice(busy)
            self.world.saw("node", self.agent, "is cut off until it is too late")
            self.world.network.deaf.add(self.agent.incarnation)

    def _running(self, left_s: float = 0.0) -> Iterable[str]:
        """Leases of long tasks that run for so long yet."""
        return (lease for lease, ends_s in self.ends_s.items() if ends_s - self.world.clock.mono_s > left_s)

    def _running_elsewhere(self, agent: SimulatedAgent) -> set[str]:
        started = {lease for other in self.world.living() if other is not agent for lease in other.started}
        return started.intersection(self._running())


def _kept(agent: SimulatedAgent) -> set[str]:
    """Leases whose results the daemon has not judged yet."""
    return agent.results.keys() - agent.judged.union(agent.acknowledged)


def _tasks(leases: Iterable[str]) -> set[str]:
    return {lease.partition(".")[0] for lease in leases}
