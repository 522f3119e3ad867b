"""Runs that are removed: all of them goes, nothing of others, whatever is killed meanwhile."""

from __future__ import annotations

import shutil
from contextlib import closing
from itertools import count as numbers
from typing import Any

import pytest

from scalebox_hpc.daemon import core, removing
from scalebox_hpc.daemon.state import RunPhase
from scalebox_hpc.domain.pipeline import Gather, RetryRule
from scalebox_hpc.ledger.sqlite import SqliteStore
from scalebox_hpc.testing.agent import Played
from scalebox_hpc.testing.audit import audit, look
from scalebox_hpc.testing.batch import Crash
from scalebox_hpc.testing.ledger import SqliteBooks
from scalebox_hpc.testing.postgres import PostgresBooks
from scalebox_hpc.testing.world import World
from tests.fault.conftest import MakeWorld
from tests.fault.pipelines import Json, count, in_order, player, sums, tasks

TABLES = (
    *("run", "module", "pool", "allocation", "try", "agent", "task", "message", "part"),
    *("chunk", "attempt", "output", "event"),
)
DAY_S = 86400.0
LIVED_IN = "lived-in.db"

Content = dict[str, list[Json]]


def content(world: World) -> Content:
    """All rows of all tables but the home's, as tables of names and values."""
    found: Content = {}
    for table in TABLES:
        kind = "postgres" if isinstance(world.books, PostgresBooks) else "sqlite"
        names = [name for (name,) in look(world.books, _COLUMNS[kind], table)]
        rows = look(world.books, f"SELECT {', '.join(names)} FROM {table}")
        found[table] = [dict(zip(names, row, strict=True)) for row in rows]
    return found


_COLUMNS = {
    "sqlite": "SELECT name FROM pragma_table_info(?)",
    "postgres": "SELECT column_name FROM information_schema.columns"
    " WHERE table_schema = current_schema() AND table_name = ?",
}


def without(found: Content, run: str) -> Content:
    """What must be left of it when a run is gone, worked out from who belongs to whom."""
    (run_id,) = [row["run_id"] for row in found["run"] if row["name"] == run]
    ids = {
        "module": {row["module_id"] for row in found["module"] if row["run_id"] == run_id},
        "pool": {row["pool_id"] for row in found["pool"] if row["run_id"] == run_id},
    }
    ids["task"] = {row["task_id"] for row in found["task"] if row["module_id"] in ids["module"]}
    ids["attempt"] = {row["attempt_id"] for row in found["attempt"] if row["task_id"] in ids["task"]}
    ids["allocation"] = {row["allocation_id"] for row in found["allocation"] if row["pool_id"] in ids["pool"]}
    ids["agent"] = {row["agent_id"] for row in found["agent"] if row["pool_id"] in ids["pool"]}
    ids["run"] = {run_id}
    owner = {
        "run": "run", "module": "run", "pool": "run", "allocation": "pool", "try": "allocation",
        "agent": "pool", "task": "module", "message": "module", "part": "module", "chunk": "task",
        "attempt": "task", "output": "attempt",
    }  # fmt: skip
    left = {
        table: [row for row in found[table] if row[f"{of}_id"] not in ids[of]] for table, of in owner.items()
    }
    left["event"] = [row for row in found["event"] if row["thing_id"] not in ids[row["thing"]]]
    return left


def ordered(found: Content) -> Content:
    return {table: sorted(rows, key=lambda row: str(sorted(row.items()))) for table, rows in found.items()}


def lived_in(make_world: MakeWorld) -> World:
    """Three runs that are over: a failed one with retries, one to go, and one with groups."""
    world = make_world(player(count=lambda offer, _: Played(cause="exit", exit_code=offer["attempt"])))
    world.accept(sums(retry=[RetryRule(("exit",), 1)]), [("scatter", "3")], "run-1")
    assert world.finish("run-1") is RunPhase.FAILED
    world.play = player().play
    world.accept(sums(), [("scatter", "4"), ("scatter", "4"), ("count", "1")], "run-2")
    world.finish("run-2")
    world.accept(sums(gather=Gather("all", size=(("3", ""),))), [("scatter", "4")], "run-3")
    world.finish("run-3")
    assert world.core is not None
    with world.core.store.transaction():
        for attempt_id in (1, 9, 16):
            world.core.store.run("add_output", (attempt_id, "out", "err", 0, 0))
    return world


def remove(world: World, *runs: str, **how: Any) -> Json:
    answer = world.command("run.remove", runs=list(runs), **how)
    assert answer.status == 200, answer.body
    return dict(answer.body)


def names(world: World) -> list[str]:
    return [run["run"] for run in world.command("run.list").body["runs"]]


def is_gone(world: World, run: str) -> bool:
    return look(world.books, "SELECT 1 FROM run WHERE name = ?", run) == []


def test_a_removed_run_takes_all_of_its_own_and_nothing_of_others(make_world: MakeWorld) -> None:
    world = lived_in(make_world)
    before = content(world)
    assert all(before[table] for table in TABLES if table != "chunk")
    left = without(before, "run-2")
    assert all(len(left[table]) < len(before[table]) for table in TABLES if table != "chunk")
    assert remove(world, "run-2")["runs"][0]["tasks"] == 6
    assert names(world) == ["run-3", "run-1"]
    world.run(until=lambda: is_gone(world, "run-2"))
    assert ordered(content(world)) == ordered(left)
    assert sorted(path.name for path in world.runs_folder.iterdir()) == ["run-1", "run-3"]
    in_order(world)
    assert world.command("run.status", run="run-2").status == 404
    assert world.command("run.resume", run="run-1").status == 200
    assert world.finish("run-1") is RunPhase.SUCCEEDED
    in_order(world)


def test_a_crash_after_any_write_of_a_removal_changes_nothing_in_what_comes_of_it(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """In slices of six rows. In Postgres after some of them, which takes as long."""
    monkeypatch.setattr(removing, "ROWS", 6)
    world = lived_in(make_world)
    if isinstance(world.books, SqliteBooks):
        with closing(SqliteStore.reading(world.books.path)) as store:
            store.copy_to(world.folder.parent / LIVED_IN)
    first = world.faults.passed
    remove(world, "run-2")
    world.run(until=lambda: is_gone(world, "run-2"))
    points = world.faults.names[first:]
    assert {"remove_run", "remove_messages", "remove_chunks", "forget_run", "after clear"} <= set(points)
    world.end()
    crashes, every = 0, (29 if "postgres" in request.node.name else 1)
    assert len(points) > 50
    for number in range(1, len(points) + 1, every):
        world = again(world, make_world)
        left = without(content(world), "run-2")
        world.faults.at[world.faults.passed + number] = Crash(points[number - 1])
        while not is_gone(world, "run-2"):
            world.command("run.remove", runs=["run-2"])  # whoever had no answer asks again
            world.run(until=lambda: world.core is not None)  # noqa: B023
            world.run(for_s=10.0)
        world.run(until=lambda: world.core is not None)  # noqa: B023
        crashes += world.crashes
        assert ordered(content(world)) == ordered(left), points[number - 1]
        in_order(world)
        world.end()
    assert crashes >= len(range(1, len(points) + 1, every)) - 2  # slices may fall otherwise into turns


def again(world: World, make_world: MakeWorld) -> World:
    """A world as `lived_in` left it; a file is copied, which is faster than to live again."""
    if isinstance(world.books, PostgresBooks):
        return lived_in(make_world)
    folder = world.folder.with_name(f"{world.folder.name}+")
    shutil.copytree(world.folder, folder, ignore=shutil.ignore_patterns("ledger.db*"))
    shutil.copyfile(folder.parent / LIVED_IN, folder / "ledger.db")
    made = World(folder, player().play)
    made.daemon.lives = world.daemon.lives + 1
    made.start()
    return made


def test_a_run_whose_agents_still_leave_is_removed_when_they_are_gone(make_world: MakeWorld) -> None:
    world = make_world(player())
    world.accept(sums(), [("scatter", "5")])
    world.run(until=lambda: world.phase() is RunPhase.SUCCEEDED)
    assert world.living()
    remove(world, "run-1")
    assert look(world.books, "SELECT count(*) FROM task") == [(7,)]
    world.run(until=lambda: is_gone(world, "run-1"))
    assert not world.living()
    assert {table: rows for table, rows in content(world).items() if rows} == {}


def test_a_run_goes_on_while_another_is_removed_a_slice_a_turn(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(player())
    world.accept(sums(), [("scatter", "40")], "run-1")
    world.finish("run-1")
    ticks = numbers()
    monkeypatch.setattr(removing, "ROWS", 1)
    world.daemon.stopwatch_s = lambda: next(ticks) * core.SLICE_S * 0.75
    world.accept(sums(), [("scatter", "5")], "run-2")
    remove(world, "run-1")
    world.run(until=lambda: tasks(world).get("total", []) != [] and not is_gone(world, "run-1"))
    world.run(until=lambda: is_gone(world, "run-1"))
    assert world.finish("run-2") is RunPhase.SUCCEEDED
    in_order(world)


def test_open_runs_stay_and_nothing_goes_where_one_is_named(make_world: MakeWorld) -> None:
    world = make_world(player())
    world.accept(sums(), [("scatter", "2")], "run-1")
    world.finish("run-1")
    world.accept(sums(), [("scatter", "2")], "run-2")
    answer = world.command("run.remove", runs=["run-1", "run-2"])
    assert answer.status == 409
    assert "run-2 is RUNNING" in answer.body["error"]
    assert "sbx cancel run-2" in answer.body["hint"]
    assert remove(world, keep=0)["runs"][0]["run"] == "run-1"
    assert names(world) == ["run-2"]
    assert world.finish("run-2") is RunPhase.SUCCEEDED


CHOSEN: list[tuple[Json, list[str]]] = [
    ({"keep": 1}, ["run-2", "run-1"]),
    ({"keep": 5}, []),
    ({"state": "FAILED"}, ["run-1"]),
    ({"state": "SUCCEEDED", "keep": 1}, ["run-2"]),
    ({"older_than_s": 1.5 * DAY_S}, ["run-1"]),
    ({"older_than_s": 0.0}, ["run-3", "run-2", "run-1"]),
]


def test_runs_are_chosen_by_age_state_and_number(make_world: MakeWorld) -> None:
    world = ages(make_world)
    for asked, gone in CHOSEN:
        assert [run["run"] for run in remove(world, **asked, dry_run=True)["runs"]] == gone, asked
    assert [run["run"] for run in remove(world, state="SUCCEEDED", keep=1)["runs"]] == ["run-2"]
    assert names(world) == ["run-3", "run-1"]


def ages(make_world: MakeWorld) -> World:
    """Runs that ended two days, one day and no time ago; the oldest one failed."""
    world = make_world(player(count=lambda offer, _: Played(cause="exit", exit_code=1)))
    for name in ("run-1", "run-2", "run-3"):
        world.accept(sums(), [("scatter", "2")], name)
        world.finish(name)
        world.play = player().play
    for days, name in ((2, "run-1"), (1, "run-2")):
        change(world, f"UPDATE run SET ended_us = ended_us - {days * 86_400_000_000} WHERE name = '{name}'")
    return world


def change(world: World, sql: str) -> None:
    """Change the ledger behind the daemon's back."""
    assert world.core is not None
    with world.core.store.transaction():
        world.core.store.store.ask(sql)  # type: ignore[attr-defined]


def test_what_is_not_said_well_removes_nothing(make_world: MakeWorld) -> None:
    world = make_world(player())
    world.accept(sums(), [("scatter", "2")])
    world.finish()
    for asked in ({}, {"runs": ["run-1"], "keep": 1}, {"state": "RUNNING"}, {"runs": ["nobody"]}):
        answer = world.command("run.remove", **asked)
        assert answer.status in (400, 404)
        assert answer.body["hint"]
    assert names(world) == ["run-1"]


def test_a_dry_run_tells_what_would_go_and_removes_nothing(make_world: MakeWorld) -> None:
    world = make_world(player(count=lambda offer, _: Played(cause="exit", exit_code=1)))
    world.accept(sums(), [("scatter", "2")])
    world.finish()
    incarnation = next(iter(world.agents))
    logs = world.folder / "shared" / "logs"
    logs.mkdir()
    (logs / f"{incarnation}.0.out").write_text("x" * 100)
    (logs / ("f" * 16)).write_text("another's")
    (world.runs_folder / "run-1" / "shared" / "data").write_text("y" * 1000)
    before = content(world)
    (run,) = remove(world, "run-1", dry_run=True)["runs"]
    assert (run["tasks"], run["files"], run["bytes"]) == (4, 2, 1100)
    assert content(world) == before
    remove(world, "run-1")
    world.run(until=lambda: is_gone(world, "run-1"))
    assert [path.name for path in logs.iterdir()] == ["f" * 16]
    assert not (world.runs_folder / "run-1").exists()


@pytest.mark.parametrize("results", [False, True])
def test_results_go_only_when_that_is_said(make_world: MakeWorld, results: bool) -> None:
    world = make_world(player())
    world.accept(sums(), [("scatter", "2")])
    world.finish()
    made = world.folder / "results" / "run-1"
    made.mkdir(parents=True)
    change(world, f"UPDATE run SET results = '{made}'")
    remove(world, "run-1", results=results)
    world.run(until=lambda: is_gone(world, "run-1"))
    assert made.exists() is not results


def test_a_copied_home_does_not_remove_the_originals_results(make_world: MakeWorld) -> None:
    world = make_world(player())
    world.accept(sums(), [("scatter", "2")])
    world.finish()
    assert world.core is not None
    world.core.settings.is_copy = True
    answer = world.command("run.remove", runs=["run-1"], results=True)
    assert answer.status == 409
    assert names(world) == ["run-1"]


def test_the_daemon_lets_go_by_itself_what_is_older_than_the_age_limit(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "RETENTION_EVERY_S", 60.0)  # before it leaves
    world = ages(make_world)
    assert world.core is not None
    world.core.settings.keep_runs_s = 1.99 * DAY_S
    world.run(for_s=120.0)
    assert names(world) == ["run-3", "run-2"]
    assert is_gone(world, "run-1")
    assert audit(world.books) == []


def test_messages_of_one_attempt_may_be_many_slices(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removing, "ROWS", 2)
    world = make_world(player(count=count))
    world.accept(sums(), [("scatter", "30")])
    world.finish()
    first = world.faults.passed
    remove(world, "run-1")
    world.run(until=lambda: is_gone(world, "run-1"))
    points = world.faults.names[first:]
    assert points.index("remove_outputs") > points.index("remove_messages") + 5


def test_numbers_of_a_removed_run_are_not_given_out_again_in_the_same_epoch(make_world: MakeWorld) -> None:
    """A lease is a task's number and the epoch: what is left of an old one must not fit a new task."""
    world = make_world(player())
    world.accept(sums(), [("scatter", "5")], "run-1")
    world.finish("run-1")
    old = {number for (number,) in look(world.books, "SELECT task_id FROM task")}
    remove(world, "run-1")
    world.run(until=lambda: is_gone(world, "run-1"))
    assert world.core is not None
    world.core.load(world.clock.now())  # as after a turn that could not be written
    world.accept(sums(), [("scatter", "5")], "run-2")
    world.finish("run-2")
    assert min(number for (number,) in look(world.books, "SELECT task_id FROM task")) > max(old)
    in_order(world)
