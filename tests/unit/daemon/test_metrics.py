"""Metrics are what happened, as Prometheus reads it: judged by its own library."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from scalebox_hpc.daemon.meters import BOUNDS_S, Acts, Timing
from scalebox_hpc.daemon.metrics import render
from scalebox_hpc.domain.pipeline import RetryRule
from scalebox_hpc.testing.agent import Played
from scalebox_hpc.testing.audit import look
from scalebox_hpc.testing.world import HOME, World
from tests.fault.pipelines import Json, count, player, sums

Samples = dict[tuple[str, ...], float]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, player(count=fails_once).play)
    made.start()
    yield made
    made.end()


def fails_once(offer: Json, members: list[Json]) -> Played:
    return Played(cause="exit", exit_code=1) if offer["attempt"] == 1 else count(offer, members)


def samples(world: World, name: str, *labels: str) -> Samples:
    """The samples of a name, by the values of these labels, else of all but the home's."""
    reply = world.command("metrics.show")
    found: Samples = {}
    for family in text_string_to_metric_families(reply.text or ""):
        for sample in family.samples:
            assert sample.labels.pop("home") == HOME
            if sample.name == name:
                found[tuple(sample.labels[label] for label in labels or sample.labels)] = sample.value
    return found


def test_attempts_are_counted_by_outcome_and_cause(world: World) -> None:
    world.accept(sums(retry=[RetryRule(("exit",), 1)]), [("scatter", "5")])
    world.finish()
    query = "SELECT outcome, cause, count(*) FROM attempt GROUP BY outcome, cause"
    recorded = {(outcome, cause): float(number) for outcome, cause, number in look(world.books, query)}
    assert recorded == {("SUCCEEDED", ""): 7.0, ("FAILED", "exit"): 5.0}
    assert samples(world, "sbx_attempts_total", "outcome", "cause") == recorded


def test_tasks_and_elements_are_shown_while_a_run_is_open_and_no_longer(world: World) -> None:
    world.accept(sums(retry=[RetryRule(("exit",), 1)]), [("scatter", "5")])
    world.run(until=lambda: len(world.living()) > 0 and len(samples(world, "sbx_agents")) > 0)
    assert samples(world, "sbx_runs") == {("RUNNING",): 1.0}
    tasks = samples(world, "sbx_tasks", "run", "module", "state")
    query = (
        "SELECT r.name, m.name, t.state, count(*) FROM task AS t JOIN module AS m USING (module_id)"
        " JOIN run AS r USING (run_id) GROUP BY r.name, m.name, t.state"
    )
    counted = {(run, module, state): float(n) for run, module, state, n in look(world.books, query)}
    assert {key: value for key, value in tasks.items() if value} == counted
    assert samples(world, "sbx_agents") == {("sim",): float(len(world.living()))}
    assert sum(samples(world, "sbx_elements").values()) >= 1
    world.finish()
    assert samples(world, "sbx_tasks") == samples(world, "sbx_runs") == samples(world, "sbx_elements") == {}
    assert samples(world, "sbx_run_states_total")["SUCCEEDED",] == 1.0


def test_turns_commits_and_requests_are_counted(world: World) -> None:
    world.accept(sums(), [("scatter", "2")])
    world.run(until=lambda: "commit" in world.faults.names)
    assert world.core is not None
    turns = world.core.turns
    buckets = samples(world, "sbx_commit_seconds_bucket")
    assert list(buckets) == [*((str(bound),) for bound in BOUNDS_S), ("+Inf",)]
    assert buckets["+Inf",] == samples(world, "sbx_commit_seconds_count")[()] - 1 >= turns
    assert samples(world, "sbx_requests_total")["metrics.show",] == 3.0


def test_every_metric_is_in_the_manual(world: World) -> None:
    world.accept(sums(), [("scatter", "2")])
    world.run(until=lambda: len(world.living()) > 0)
    manual = (Path(__file__).resolve().parents[3] / "docs" / "operations.md").read_text()
    assert world.core is not None
    for family in text_string_to_metric_families(render(world.core)):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert f"`{name}`" in manual
        assert all(
            f"`{label}`" in manual for sample in family.samples for label in sample.labels if label != "le"
        )


def test_counters_outlive_a_memory_that_is_read_again(world: World) -> None:
    world.accept(sums(), [("scatter", "2")])
    world.run(until=lambda: bool(samples(world, "sbx_attempts_total")))
    assert world.core is not None
    before = samples(world, "sbx_attempts_total")
    world.core.load(world.clock.now())
    assert samples(world, "sbx_attempts_total") == before


def test_a_daemon_that_waits_for_its_ledger_says_so_without_asking_it(world: World) -> None:
    world.accept(sums(), [("scatter", "2")])
    assert world.core is not None
    assert samples(world, "sbx_paused") == {(): 0.0}
    assert samples(world, "sbx_ledger_bytes") == {(): 0.0}

    def away() -> int:
        raise AssertionError("the ledger was asked")

    world.core.settings.ledger_bytes = away
    text = render(world.core, paused=True)
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["sbx_paused"].samples[0].value == 1.0
    assert "sbx_ledger_bytes" not in families


@pytest.mark.parametrize(("took_s", "bucket"), [(0.0005, 0), (0.001, 0), (0.0011, 1), (99.0, len(BOUNDS_S))])
def test_a_timing_falls_into_the_first_bucket_that_holds_it(took_s: float, bucket: int) -> None:
    timing = Timing()
    timing.add(took_s)
    assert [count for _, count in timing.buckets()] == [float(n >= bucket) for n in range(len(BOUNDS_S) + 1)]


def test_calls_of_batch_systems_are_counted_by_site_and_kind() -> None:
    acts = Acts()
    acts.note("hpc1", "submit", 1.5, well=True)
    acts.note("hpc1", "submit", 0.5, well=False)
    acts.note("local", "observe", 0.25, well=True)
    assert acts.rows() == [("hpc1", "submit", 2, 1, 2.0), ("local", "observe", 1, 0, 0.25)]
