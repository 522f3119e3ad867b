"""Pipelines for a simulated world, and what their tasks do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from scalebox_hpc.daemon.state import RunPhase
from scalebox_hpc.domain.pipeline import Command, Gather, Module, Pipeline, Pool, Resources, RetryRule
from scalebox_hpc.testing.agent import Played
from scalebox_hpc.testing.audit import audit, look
from scalebox_hpc.testing.ledger import Books
from scalebox_hpc.testing.world import World

Json = dict[str, Any]
Role = Callable[[Json, list[Json]], Played]

ALL = Gather("all")
COMMAND = Command(words=(("true",),))
SMALL = Resources(cpus=1, memory_mib=1000, time_s=60.0)


def module(
    name: str,
    to: Sequence[str] = (),
    gather: Gather | None = None,
    retry: Sequence[RetryRule] = (),
    repeat: str = "refuse",
) -> Module:
    return Module(
        name, COMMAND, tuple(to), gather=gather, retry=tuple(retry), resources=SMALL, repeat=repeat,
        pool="default", digest=f"digest of {name}",
    )  # fmt: skip


def pipeline(*modules: Module, slots: int = 4, idle_s: float = 5.0) -> Pipeline:
    return Pipeline(
        "sums", "", "/nowhere", "sim", {}, {each.name: each for each in modules},
        {"default": Pool("default", "sim", slots=slots, walltime_s=7200.0, idle_s=idle_s)},
    )  # fmt: skip


def sums(retry: Sequence[RetryRule] = (), gather: Gather = ALL) -> Pipeline:
    """scatter sends numbers to count, count sends each to total, total adds them up."""
    return pipeline(
        module("scatter", ["count"]), module("count", ["total"], retry=retry), module("total", gather=gather)
    )


@dataclass
class Player:
    """Plays tasks by module; remembers each start as (task, attempt, lease)."""

    roles: dict[str, Role] = field(default_factory=dict)
    starts: list[tuple[str, int, str]] = field(default_factory=list)

    def play(self, offer: Json, members: list[Json]) -> Played:
        self.starts.append((offer["task"], offer["attempt"], offer["lease"]))
        return self.roles[offer["task"].split(".")[0]](offer, members)


def scatter(offer: Json, _: list[Json]) -> Played:
    """Send the numbers from 1 to the body."""
    return Played([("count", str(number)) for number in range(1, int(offer["body"]) + 1)])


def count(offer: Json, _: list[Json]) -> Played:
    return Played([("total", offer["body"])])


def total(_: Json, members: list[Json]) -> Played:
    return Played(text=str(sum(int(member["body"]) for member in members)))


def player(**roles: Role) -> Player:
    return Player({"scatter": scatter, "count": count, "total": total, **roles})


TASKS = 7
SEEDS = [("scatter", str(TASKS))]
SUM = str(sum(range(1, TASKS + 1)))


def all_is_well(world: World) -> None:
    """A run of `sums` over SEEDS ended with each task done once and the right total; the books agree."""
    assert world.finish() is RunPhase.SUCCEEDED
    in_order(world)
    assert totals(world) == [SUM]
    done = {"scatter": 1, "count": TASKS, "total": 1}
    assert tasks(world) == {name: [(number, "SUCCEEDED", "")] for name, number in done.items()}


def ledger(world: World) -> Books:
    return world.books


def totals(world: World) -> list[str]:
    """What each success of total said, in the order of recording."""
    query = (
        "SELECT user_text FROM attempt JOIN task USING (task_id) JOIN module AS m USING (module_id)"
        " WHERE m.name = 'total' AND outcome = 'SUCCEEDED' ORDER BY attempt_id"
    )
    return [text for (text,) in look(ledger(world), query)]


def tasks(world: World) -> dict[str, list[tuple[int, str, str]]]:
    """(count, state, cause) of the tasks of each module."""
    found: dict[str, list[tuple[int, str, str]]] = {}
    query = (
        "SELECT m.name, count(*), state, cause FROM task JOIN module AS m USING (module_id)"
        " GROUP BY m.module_id, state, cause ORDER BY m.module_id, state, cause"
    )
    for name, *rest in look(ledger(world), query):
        found.setdefault(name, []).append(tuple(rest))
    return found


def attempts(world: World, task: str) -> list[tuple[str, str]]:
    """(outcome, cause) of a task's attempts."""
    name, n = task.split(".")
    query = (
        "SELECT outcome, a.cause FROM attempt AS a JOIN task USING (task_id)"
        " JOIN module AS m USING (module_id) WHERE m.name = ? AND n = ? ORDER BY attempt"
    )
    return look(ledger(world), query, name, int(n))


def in_order(world: World) -> None:
    """The books agree, nothing is left behind, and no allocation lives on."""
    found = audit(ledger(world))
    assert found == [], found
    assert not world.living()
    assert not world.batch.alive()
    chunks = look(ledger(world), "SELECT count(*) FROM chunk WHERE attempt_id IS NOT NULL")
    assert chunks == [(0,)]
