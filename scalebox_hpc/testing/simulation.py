"""One seed, one world, from the submission of a run to its end: the same every time.

Trouble comes for a while; then the world behaves, and the run has to end as it must.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from random import Random

from scalebox_hpc.daemon.core import SLICE_S
from scalebox_hpc.daemon.state import ACTIVE, RunPhase
from scalebox_hpc.domain.allocation import Phase
from scalebox_hpc.engine.elements import OPEN
from scalebox_hpc.testing.chaos import Chaos
from scalebox_hpc.testing.invariants import EVERY_TURN, NOW_AND_THEN, Scene
from scalebox_hpc.testing.programs import GATHERS, RETRIES, Outcome
from scalebox_hpc.testing.scenario import Scenario, draw
from scalebox_hpc.testing.witness import Violation, Watch
from scalebox_hpc.testing.world import World

RUN = "run-1"
ENDS_S = 6 * 3600.0  # of virtual time, in which a run has to end once the world behaves
TIDY_S = 2 * 3600.0  # and in which everything is given back
STEP_S = 60.0
MOST_RESUMES = 5
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
        programs = self.scenario.programs
        self.world = World(self.folder, programs.play, site=self.scenario.site, has_walltimes=True)
        self.watch = Watch(Scene(self.world, programs.sent), self.most_turns)
        self.world.witness = self.watch
        self.world.daemon.stopwatch_s = _stopwatch(self.seed)
        self.chaos = Chaos(self.world, self.seed, RUN)

    def run(self) -> None:
        """Let all of it happen."""
        try:
            self.chaos.begin()
            self.watch.note("scenario", self.scenario.describe())
            self.watch.note("trouble", self.chaos.describe())
            self.world.start()
            self._submit()
            self.world.run(for_s=self.chaos.ends_s - self.world.clock.mono_s + 1.0)
            self._end_well()
        finally:
            self.world.end()

    def _submit(self) -> None:
        """As a person does: again, until the run is there."""
        while self.world.phase(RUN) is None:
            self.world.submit(self.scenario.pipeline, self.scenario.programs.seeds, RUN)
            self.world.run(until=lambda: self.world.core is not None)

    def _end_well(self) -> None:
        while True:
            phase = self._run_on()
            problems = self._problems(phase)
            self.watch.note("run", f"{phase} {'; '.join(problems)}")
            if not problems:
                break
            if self.resumes == MOST_RESUMES:
                raise Violation(f"the_run_ends_as_it_must: it is {phase}; {'; '.join(problems[:5])}")
            self.resumes += 1
            self.world.command("run.resume", run=RUN)
        self._wait("everything_is_given_back", self._is_tidy, TIDY_S)
        self.world.run(for_s=2 * STEP_S)
        self.watch.check(EVERY_TURN + NOW_AND_THEN)
        if rows := self.watch.scene.rows("SELECT * FROM chunk"):
            raise Violation(f"nothing_is_left: chunks {rows[:5]}")

    def _run_on(self) -> RunPhase:
        """Let the run come to its end, or to where it waits for a person."""
        self._wait("every_run_ends", lambda: self.world.phase(RUN) not in (None, *ACTIVE), ENDS_S)
        phase = self.world.phase(RUN)
        assert phase is not None
        return phase

    def _wait(self, rule: str, is_so: Callable[[], bool], most_s: float) -> None:
        until_s = self.world.clock.mono_s + most_s
        while not is_so():
            if self.world.clock.mono_s > until_s:
                raise Violation(f"{rule}: not within {most_s:.0f} s; {self._state()}")
            self._release()
            self._step(is_so, self.world.clock.mono_s + STEP_S)

    def _step(self, is_so: Callable[[], bool], until_s: float) -> None:
        self.world.run(until=lambda: is_so() or self.world.clock.mono_s >= until_s)

    def _release(self) -> None:
        """Let start what waits in the queue while the run can use it; what it cannot has to be cancelled."""
        world = self.world
        if world.core is None or world.phase(RUN) not in ACTIVE:
            return
        wanted = [name for name, each in world.core.desk.world.tries.items() if each.state in OPEN]
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
            f"run {world.phase(RUN)}, pools {pools}, tasks {counts}, agents {agents},"
            f" listed {world.batch.alive()}"
        )

    # what must have come of it

    def _problems(self, phase: RunPhase) -> list[str]:
        """Say what is not as it must be in the end."""
        if phase not in (RunPhase.SUCCEEDED, RunPhase.FAILED):
            return [f"it is {phase}"]
        outcomes, texts = self.scenario.programs.expected()
        tasks: dict[str, Counter[Outcome]] = {name: Counter() for name in self.scenario.programs.stages}
        rows = self.watch.scene.rows(
            "SELECT name, body, t.state, t.cause FROM task AS t JOIN module USING (module_id)"
            " JOIN message USING (message_id)"
        )
        for name, *outcome in rows:
            tasks[name][tuple(outcome)] += 1
        problems = [
            f"{name}: lacks {dict(wanted - tasks[name])}, has beside it {dict(tasks[name] - wanted)}"
            for name, wanted in outcomes.items()
            if wanted != tasks[name]
        ]
        problems += self._texts(texts)
        problems += [
            f"{name} {body} is {state}, {cause}"
            for name, body, state, cause in rows
            if state == "CANCELLED" or cause in INFRASTRUCTURE
        ]
        is_bad = any(row[2] != "SUCCEEDED" for row in rows)
        if is_bad != (phase is RunPhase.FAILED):
            problems.append(f"the run is {phase}")
        return problems + self._retries()

    def _texts(self, wanted: dict[str, Counter[str]]) -> list[str]:
        """What gathers worked on is what was sent to them."""
        found: dict[str, Counter[str]] = {}
        query = (
            "SELECT name, user_text FROM attempt AS a"
            " JOIN task AS t USING (task_id) JOIN module USING (module_id)"
            " WHERE outcome = 'SUCCEEDED' AND a.attempt = t.attempts AND t.state = 'SUCCEEDED'"
        )
        for name, text in self.watch.scene.rows(query):
            if self.scenario.programs.stages[name].kind in GATHERS[:2]:
                found.setdefault(name, Counter())[text] += 1
        return [
            f"{name} worked on {dict(found.get(name, {}))}, not on {dict(texts)}"
            for name, texts in wanted.items()
            if self.scenario.programs.stages[name].kind in GATHERS[:2] and texts != found.get(name, Counter())
        ]

    def _retries(self) -> list[str]:
        """A task fails for good only after its user's own failures spent what the user allowed."""
        query = (
            "SELECT name, t.n, count(*) FILTER (WHERE a.cause IN ('exit', 'timeout', 'oom', 'output'))"
            " FROM task AS t JOIN module USING (module_id) LEFT JOIN attempt AS a USING (task_id)"
            " WHERE t.state = 'FAILED' AND t.cause = 'exit' GROUP BY task_id"
        )
        found = []
        for name, n, failures in self.watch.scene.rows(query):
            allowed = RETRIES if self.scenario.programs.stages[name].retries else 0
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
