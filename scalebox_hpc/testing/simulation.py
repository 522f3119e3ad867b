"""One seed, one world, from the submission of its runs to their ends: the same every time.

Trouble comes for a while; then the world behaves, and all runs have to end as they must.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from random import Random

from scalebox_hpc.daemon.core import SLICE_S
from scalebox_hpc.daemon.state import ACTIVE, RunPhase
from scalebox_hpc.domain.allocation import Phase
from scalebox_hpc.domain.site import Ssh
from scalebox_hpc.engine.elements import OPEN
from scalebox_hpc.testing.agent import Json, Played
from scalebox_hpc.testing.chaos import Chaos
from scalebox_hpc.testing.clock import BEGINS_S
from scalebox_hpc.testing.invariants import EVERY_TURN, NOW_AND_THEN, Row, Scene
from scalebox_hpc.testing.programs import GATHERS, RETRIES, Outcome
from scalebox_hpc.testing.scenario import Order, Scenario, draw
from scalebox_hpc.testing.witness import Violation, Watch
from scalebox_hpc.testing.world import World

ENDS_S = 6 * 3600.0  # of virtual time, in which a run has to end once the world behaves
TIDY_S = 2 * 3600.0  # and in which everything is given back
STEP_S = 60.0
AGAIN_S = 2.0  # before a person tries again
MOST_RESUMES = 5
REMOTE_SHARE = 0.25  # of the worlds whose site is reached through a link
INFRASTRUCTURE = ("launch", "node_lost", "agent_lost", "walltime", "preempted", "cancelled")


@dataclass(slots=True)
class Simulation:
    """The world of a seed. Raises Violation, or what the daemon dies of."""

    seed: int
    folder: Path
    most_turns: int | None = None
    scenario: Scenario = field(init=False)
    world: World = field(init=False)
    watch: Watch = field(init=False)
    chaos: Chaos = field(init=False)
    resumes: int = 0

    def __post_init__(self) -> None:
        self.scenario = draw(self.seed)
        site = self.scenario.site
        if Random(f"{self.seed} site").random() < REMOTE_SHARE:
            site = replace(site, ssh=Ssh("elsewhere"))
        self.world = World(self.folder, self._play, site=site, has_walltimes=True)
        self.watch = Watch(Scene(self.world, self.scenario.sent), self.most_turns)
        self.world.witness = self.watch
        self.world.daemon.stopwatch_s = _stopwatch(self.seed)
        self.chaos = Chaos(self.world, self.seed, [order.name for order in self.scenario.orders])

    def _play(self, offer: Json, members: list[Json]) -> Played:
        programs = next(order.programs for order in self.scenario.orders if order.name == offer["run"])
        return programs.play(offer, members)

    def run(self) -> None:
        """Let all of it happen."""
        world = self.world
        try:
            self.chaos.begin()
            self.watch.note("scenario", self.scenario.describe())
            self.watch.note("trouble", self.chaos.describe())
            world.start()
            for order in self.scenario.orders:
                world.run(for_s=max(0.0, BEGINS_S + order.at_s - world.clock.mono_s))
                self._submit(order)
            world.run(for_s=max(0.0, self.chaos.ends_s + 1.0 - world.clock.mono_s))
            self._end_well()
        finally:
            world.end()

    def _submit(self, order: Order) -> None:
        """As a person does: again, until the run is there."""
        while self.world.phase(order.name) is None:
            reply = self.world.submit(order.pipeline, order.programs.seeds, order.name)
            if reply.status != 200:
                self.world.run(for_s=AGAIN_S)
            self.world.run(until=lambda: self.world.core is not None or self.world.daemon.has_left)

    def _end_well(self) -> None:
        while True:
            self._wait("every_run_ends", self._all_runs_are_over, ENDS_S)
            problems = {order.name: self._problems(order) for order in self.scenario.orders}
            bad = {name: found for name, found in problems.items() if found}
            self.watch.note("runs", str(bad or "all are as they must be"))
            if not bad:
                break
            if self.resumes == MOST_RESUMES:
                raise Violation(f"runs_end_as_they_must: {str(bad)[:2000]}")
            self.resumes += 1
            for name in bad:
                self.world.command("run.resume", run=name)
        self._wait("everything_is_given_back", self._is_tidy, TIDY_S)
        self.world.run(for_s=2 * STEP_S)
        self.world.start()  # where it has left meanwhile
        self.watch.check(EVERY_TURN + NOW_AND_THEN)
        if rows := self.watch.scene.rows("SELECT * FROM chunk"):
            raise Violation(f"nothing_is_left: chunks {rows[:5]}")

    def _phases(self) -> list[RunPhase | None]:
        """Where the runs stand; None while the daemon is down."""
        return [self.world.phase(order.name) for order in self.scenario.orders]

    def _all_runs_are_over(self) -> bool:
        """Whether all came to their ends, or to where they wait for a person whom the daemon would hear."""
        if self.world.core is not None and self.world.core.leaving:
            return False
        return not any(phase in (None, *ACTIVE) for phase in self._phases())

    def _wait(self, rule: str, is_so: Callable[[], bool], most_s: float) -> None:
        until_s = self.world.clock.mono_s + most_s
        while not is_so():
            if self.world.clock.mono_s > until_s:
                raise Violation(f"{rule}: not within {most_s:.0f} s; {self._state()}")
            if self.world.daemon.has_left:
                self.world.start()  # as the next command of whoever asks how it goes
            self._release()
            self._step(is_so, self.world.clock.mono_s + STEP_S)

    def _step(self, is_so: Callable[[], bool], until_s: float) -> None:
        self.world.run(until=lambda: is_so() or self.world.clock.mono_s >= until_s)

    def _release(self) -> None:
        """Let start what waits in the queue while the run can use it; what it cannot has to be cancelled."""
        world = self.world
        if world.core is None:
            return
        memory = world.core.desk.world
        active = {pool.pool_id for pool in memory.pools.values() if pool.run.phase in ACTIVE}
        wanted = [
            name
            for name, each in memory.tries.items()
            if each.state in OPEN and memory.allocations[each.allocation_id].pool_id in active
        ]
        for name in wanted:
            listed = world.batch.tries.get(name)
            if listed and any(seen.phase is Phase.PENDING for seen in listed.elements.values()):
                world.clock.after(
                    world.queue_s() if world.queue_s else 1.0, partial(world.start_elements, name)
                )

    def _is_tidy(self) -> bool:
        """Whether all is given back."""
        world = self.world
        if world.core is None or world.living() or world.batch.alive():
            return False
        return not world.core.store.rows("open_allocations")

    def _state(self) -> str:
        world = self.world
        if world.core is None:
            return "the daemon is down"
        pools = [(pool.spec.name, pool.state, pool.reason) for pool in world.core.desk.world.pools.values()]
        counts = self.watch.scene.rows(
            "SELECT name, state, t.cause, count(*) FROM task AS t"
            " JOIN module USING (module_id) GROUP BY 1, 2, 3"
        )
        agents = [agent.incarnation.lstrip("0") for agent in world.living()]
        return (
            f"runs {self._phases()}, pools {pools}, tasks {counts}, agents {agents},"
            f" listed {world.batch.alive()}"
        )

    # what must have come of it

    def _rows(self, query: str, order: Order) -> list[Row]:
        """Ask the ledger for what is of one run; `query` has a place for its condition."""
        own = f"run_id = (SELECT run_id FROM run WHERE name = '{order.name}')"
        return self.watch.scene.rows(query.format(own=own))

    def _problems(self, order: Order) -> list[str]:
        """Say what of a run is not as it must be in the end."""
        phase = self.world.phase(order.name)
        if phase not in (RunPhase.SUCCEEDED, RunPhase.FAILED):
            return [f"it is {phase}"]
        outcomes, texts = order.programs.expected()
        tasks: dict[str, Counter[Outcome]] = {name: Counter() for name in order.programs.stages}
        query = (
            "SELECT name, body, t.state, t.cause FROM task AS t JOIN module AS m USING (module_id)"
            " JOIN message USING (message_id) WHERE m.{own}"
        )
        rows = self._rows(query, order)
        for name, *outcome in rows:
            tasks[name][tuple(outcome)] += 1
        problems = [
            f"{name}: lacks {dict(wanted - tasks[name])}, has beside it {dict(tasks[name] - wanted)}"
            for name, wanted in outcomes.items()
            if wanted != tasks[name]
        ]
        problems += self._texts(order, texts)
        problems += [
            f"{name} {body} is {state}, {cause}"
            for name, body, state, cause in rows
            if state == "CANCELLED" or cause in INFRASTRUCTURE
        ]
        is_bad = any(row[2] != "SUCCEEDED" for row in rows)
        if is_bad != (phase is RunPhase.FAILED):
            problems.append(f"the run is {phase}")
        return problems + self._retries(order)

    def _texts(self, order: Order, wanted: dict[str, Counter[str]]) -> list[str]:
        """What gathers worked on is what was sent to them."""
        found: dict[str, Counter[str]] = {}
        query = (
            "SELECT name, user_text FROM attempt AS a"
            " JOIN task AS t USING (task_id) JOIN module AS m USING (module_id)"
            " WHERE outcome = 'SUCCEEDED' AND a.attempt = t.attempts AND t.state = 'SUCCEEDED' AND m.{own}"
        )
        stages = order.programs.stages
        for name, text in self._rows(query, order):
            if stages[name].kind in GATHERS[:2]:
                found.setdefault(name, Counter())[text] += 1
        return [
            f"{name} worked on {dict(found.get(name, {}))}, not on {dict(texts)}"
            for name, texts in wanted.items()
            if stages[name].kind in GATHERS[:2] and texts != found.get(name, Counter())
        ]

    def _retries(self, order: Order) -> list[str]:
        """A task fails for good only after its user's own failures spent what the user allowed."""
        query = (
            "SELECT name, t.n, count(*) FILTER (WHERE a.cause IN ('exit', 'timeout', 'oom', 'output'))"
            " FROM task AS t JOIN module AS m USING (module_id) LEFT JOIN attempt AS a USING (task_id)"
            " WHERE t.state = 'FAILED' AND t.cause = 'exit' AND m.{own} GROUP BY task_id"
        )
        found = []
        for name, n, failures in self._rows(query, order):
            allowed = RETRIES if order.programs.stages[name].retries else 0
            most = (allowed + 1) * (1 + self.resumes + self.chaos.resumes)
            if not allowed < failures <= most:
                found.append(
                    f"{name}.{n} failed after {failures} failures of its own, {allowed} retries are allowed"
                )
        return found


def _stopwatch(seed: int) -> Callable[[], float]:
    """Let the slices of a turn depend on how many there were, not on how fast this machine is."""
    ticks, share = count(), Random(f"{seed} slices").choice([0.01, 0.2, 0.75])
    return lambda: next(ticks) * SLICE_S * share
