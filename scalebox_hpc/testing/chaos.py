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
from scalebox_hpc.testing.agent import SimulatedAgent
from scalebox_hpc.testing.clock import NodeClock
from scalebox_hpc.testing.latecomer import Latecomer
from scalebox_hpc.testing.network import LATENCY_S
from scalebox_hpc.testing.trouble import KINDS, LATE

if TYPE_CHECKING:
    from scalebox_hpc.testing.world import World

SHARE = 0.35  # of the kinds of trouble that a seed has
BETWEEN_CUTS_S = 120.0  # of the link, on average
HELD_S = 40_000.0  # an element that waits for so long starts when somebody lets it


@dataclass(slots=True)
class Chaos:
    """Trouble for one world."""

    world: World
    seed: int
    runs: Sequence[str]  # the runs that a person meddles with
    rng: Random = field(init=False)
    late: Latecomer = field(init=False)
    cuts: Random = field(init=False)  # when the link to a remote site is down
    kinds: list[str] = field(default_factory=list)
    ends_s: float = 0.0
    is_over: bool = False
    resumes: int = 0  # by a person, so far

    def __post_init__(self) -> None:
        self.rng = Random(f"{self.seed} chaos")
        self.late = Latecomer(self.world, self.seed)
        self.cuts = Random(f"{self.seed} cuts")

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
        if rng.random() < 0.5:
            world.node_clocks = {node: self._node_clock() for node in world.nodes}
        if self.kinds:
            self._later(rng.choice([3.0, 15.0, 60.0]))
        if world.site.ssh is not None:
            self._cut_later()
        world.clock.after(self.ends_s - world.clock.mono_s, self.end)

    def describe(self) -> str:
        """Say it in a line."""
        weather = " in bad weather" if self.world.network.weather is not None else ""
        weather += " over a link" if self.world.site.ssh is not None else ""
        return f"{', '.join(self.kinds) or 'no trouble'}{weather}, for {self.ends_s - 1000.0:.0f} s"

    def _cut_later(self) -> None:
        self.world.clock.after(self.cuts.expovariate(1 / BETWEEN_CUTS_S), self._cut)

    def _cut(self) -> None:
        """The link is down for a while, which may be as long as an agent waits before it is alone."""
        if self.is_over:
            return
        self.world.cut()
        self.world.clock.after(10 * 100 ** self.cuts.random(), self._link_is_back)

    def _link_is_back(self) -> None:
        if not self.is_over:
            self.world.mend()
            self._cut_later()

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
        if world.network.is_cut:
            world.mend()
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
        world.shared_is_full, world.daemon.commit_s, world.agents_start = False, None, True
        world.faults.always.pop("commit", None)

    def for_a_while(
        self, begin: Callable[[], None], end: Callable[[], object], most_s: float = 300.0
    ) -> None:
        """Let something be so, for so long at most or until all trouble is over."""
        begin()
        self.world.clock.after(self.rng.uniform(1.0, most_s), lambda: self.is_over or end())

    # how long things take

    def _queue_s(self) -> float:
        if self.is_over:
            return self.rng.uniform(0.5, 20.0)
        return HELD_S if self.rng.random() < 0.1 else 0.5 * 400 ** self.rng.random()

    def _node_clock(self) -> NodeClock:
        rng = self.rng
        return NodeClock(rng.choice([0.0, -3600.0, -0.5, 0.5, 3600.0]), rng.choice([0.0, -1e-4, 1e-4, 1e-2]))

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

    def agent(self) -> SimulatedAgent | None:
        living = [agent for agent in self.world.living() if agent is not self.late.agent]
        return self.rng.choice(living) if living else None

    def try_(self) -> str | None:
        alive = sorted(self.world.batch.alive())
        return self.rng.choice(alive) if alive else None

    def order(self, verb: str) -> None:
        """Ask something of the daemon, and do not care what it answers."""
        if verb != "run.cancel":
            self.resumes += 1
        run = self.rng.choice(self.runs)
        some = {"cause": "exit"} if verb == "run.retry" else {}  # what was refused stays so, unless asked for
        self.world.daemon.arrive(Call(verb, {"run": run, **some}, lambda reply: None))

    def go_on(self) -> None:
        """Start the daemon where it has left, and go on with all runs, as somebody who was away."""
        if self.world.daemon.has_left:
            self.world.start()
        for run in self.runs:
            self.resumes += 1
            self.world.daemon.arrive(Call("run.resume", {"run": run}, lambda reply: None))
