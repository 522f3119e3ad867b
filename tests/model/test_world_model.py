"""Agents against the daemon, whatever the network, the batch system and kill -9 do to them.

At any moment the books agree; and when the world behaves again every task ends, each once.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from scalebox_hpc.agent.lease import DOOMED, GONE
from scalebox_hpc.daemon.state import RunPhase
from scalebox_hpc.domain.allocation import Ending
from scalebox_hpc.domain.pipeline import RetryRule
from scalebox_hpc.errors import SubmitUnconfirmed
from scalebox_hpc.testing.agent import Json, Played
from scalebox_hpc.testing.audit import audit, look
from scalebox_hpc.testing.batch import Crash
from scalebox_hpc.testing.postgres import Postgres, PostgresBooks
from scalebox_hpc.testing.world import World
from tests.fault.pipelines import in_order, ledger, player, sums, tasks, totals

TASKS = 8
RETRY = RetryRule(on=("exit",), retries=2, delay_s=2.0)
DELAYS = st.sampled_from([0.0, 0.01, 0.02, 0.3, 3.0, 40.0])
MESSAGES = st.lists(st.lists(DELAYS, max_size=2), min_size=1, max_size=12)
CALM = RunPhase.RUNNING, RunPhase.LOADING


def uneven(offer: Json, _: list[Json]) -> Played:
    """A count that takes longer for greater numbers; every third one fails at its first attempt."""
    number = int(offer["body"])
    if number % 3 == 0 and offer["attempt"] == 1:
        return Played(cause="exit", exit_code=1)
    return Played([("total", offer["body"])], run_s=0.3 * number**2)


class WorldUnderFire(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.world = World(self.folder, player(count=uneven).play)
        self.cancelled = False

    @initialize()
    def begin(self) -> None:
        self.world.start()
        self.world.accept(sums(retry=[RETRY]), [("scatter", str(TASKS))])

    @rule(seconds=st.sampled_from([0.02, 0.5, 2.0, 7.0, 40.0, 200.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.run(for_s=seconds)

    @rule(copies=MESSAGES)
    def the_next_messages_are_lost_doubled_or_delayed(self, copies: list[list[float]]) -> None:
        self.world.network.mischief = list(copies)

    @rule(down_s=st.sampled_from([0.5, 5.0, 100.0]))
    @precondition(lambda self: self.world.core is not None)
    def the_daemon_is_killed(self, down_s: float) -> None:
        self.world.crash(down_s)

    @rule(ahead=st.integers(1, 30))
    def the_daemon_will_be_killed_within_a_turn(self, ahead: int) -> None:
        self.world.faults.at[self.world.faults.passed + ahead] = Crash()

    @rule(index=st.integers(0, 3), word=st.booleans(), ending=st.sampled_from([None, *Ending]))
    @precondition(lambda self: self.world.living())
    def an_agent_is_killed(self, index: int, word: bool, ending: Ending | None) -> None:
        living = self.world.living()
        if ending is Ending.OOM:
            ending = Ending.FAILED  # it would be the user's own fault
        agent = living[index % len(living)]
        self.world.kill(agent, word=word or ending is None, ending=ending)

    @rule(index=st.integers(0, 3))
    @precondition(lambda self: self.world.living())
    def an_element_starts_again(self, index: int) -> None:
        living = self.world.living()
        agent = living[index % len(living)]
        if agent.try_name in self.world.batch.alive():
            self.world.requeue(agent)

    @rule(index=st.integers(0, 3))
    @precondition(lambda self: self.world.living())
    def an_agent_gets_sigterm(self, index: int) -> None:
        living = self.world.living()
        living[index % len(living)].terminate()

    @rule(index=st.integers(0, 3))
    @precondition(lambda self: self.world.living())
    def an_agent_is_cut_off(self, index: int) -> None:
        living = self.world.living()
        self.world.network.deaf.add(living[index % len(living)].incarnation)

    @rule()
    def the_network_is_whole_again(self) -> None:
        self.world.network.deaf.clear()

    @rule()
    def an_answer_of_sbatch_will_be_lost(self) -> None:
        self.world.batch.after_submit = SubmitUnconfirmed("no answer in 30 s")

    @rule(down=st.booleans())
    def the_batch_system_comes_and_goes(self, down: bool) -> None:
        self.world.batch.incomplete = "it does not answer" if down else ""

    @rule(seconds=st.sampled_from([-100.0, -1.0, 10.0]))
    def the_wall_clock_is_set(self, seconds: float) -> None:
        self.world.clock.step_wall(seconds)

    @rule()
    @precondition(lambda self: self.world.core is not None and not self.world.faults.at)
    def a_person_cancels_and_resumes(self) -> None:
        if self.world.phase() in CALM:
            self.world.network.mischief.clear()
            self.cancelled = True
            self.world.command("run.cancel", run="run-1")
            self.world.command("run.resume", run="run-1")

    @invariant()
    def the_books_agree(self) -> None:
        if self.world.books.exists():
            assert audit(ledger(self.world)) == []

    @invariant()
    def no_lease_is_good_in_the_hands_of_two(self) -> None:
        hands: dict[str, int] = {}
        for agent in self.world.living():
            for lease, one in agent.session.held.items() if agent.session is not None else ():
                if one.state not in (DOOMED, GONE):
                    hands[lease] = hands.get(lease, 0) + 1
        assert all(count == 1 for count in hands.values())

    def teardown(self) -> None:
        try:
            if self.world.books.exists():
                self.all_ends_well()
        finally:
            self.world.end()
            shutil.rmtree(self.folder)

    def all_ends_well(self) -> None:
        world = self.world
        world.network.mischief.clear()
        world.network.deaf.clear()
        world.faults.at.clear()
        world.batch.incomplete = ""
        world.batch.after_submit = None
        end = world.finish()
        if end is RunPhase.PAUSED:  # three elements in a row ended without a hello
            world.command("run.resume", run="run-1")
            end = world.finish()
        assert end is RunPhase.SUCCEEDED
        in_order(world)
        assert totals(world)[-1] == str(sum(range(1, TASKS + 1)))
        done = {name: rows for name, rows in tasks(world).items()}
        assert done["count"] == [(TASKS, "SUCCEEDED", "")]
        assert done["total"] == [(1, "SUCCEEDED", "")]
        successes = look(ledger(world), "SELECT count(*) FROM attempt WHERE outcome = 'SUCCEEDED'")
        assert successes == [(TASKS + 2,)]


TestWorldUnderFire = WorldUnderFire.TestCase
TestWorldUnderFire.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class WorldUnderFireInPostgres(WorldUnderFire):
    """The same over Postgres, whose sessions are cut as well."""

    server: ClassVar[Postgres]

    def __init__(self) -> None:
        super().__init__()
        self.books = self.world.books = PostgresBooks(self.server)

    @rule(ahead=st.integers(1, 30))
    def the_ledger_will_be_lost_within_a_turn(self, ahead: int) -> None:
        self.world.faults.do[self.world.faults.passed + ahead] = self.server.cut

    def teardown(self) -> None:
        self.world.faults.do.clear()
        try:
            super().teardown()
        finally:
            self.books.close()


@pytest.fixture
def machine_with_server(server: Postgres) -> None:
    WorldUnderFireInPostgres.server = server


@pytest.mark.usefixtures("machine_with_server")
class TestWorldUnderFireInPostgres(WorldUnderFireInPostgres.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(TestWorldUnderFire.settings, max_examples=15)
