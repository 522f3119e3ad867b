"""The plain successes of a sync, recorded as sets: one statement reads, one settles, one writes the rows.

Plain is a success of a task that its agent holds, with the lease that it has now, whose messages are all in
the report and can be routed whatever else the sync brings. All others are judged one by one, by `recording`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from scalebox_hpc.daemon.attempt_row import Made, Of, attempt_row, output_row, sent_to
from scalebox_hpc.daemon.desk import Desk
from scalebox_hpc.daemon.headers import inherited_by, read_headers
from scalebox_hpc.daemon.routing import Batch, route, sizes_problem
from scalebox_hpc.daemon.state import ModuleState
from scalebox_hpc.domain.task import HELD, Lease, TaskEvent, TaskState, advance
from scalebox_hpc.engine.launches import Streak
from scalebox_hpc.wire.messages import Outcome, Result

SOURCES: Final = {
    state.value: state for state in HELD if advance(state, TaskEvent.SUCCEEDED) is TaskState.SUCCEEDED
}


class Plain(NamedTuple):
    """A plain success, and what is known of its task."""

    result: Result
    module: ModuleState
    source: TaskState
    task: Of
    inherited: dict[str, str]


def record(desk: Desk, agent_id: int, results: Sequence[Result]) -> set[Lease]:
    """Record the plain successes among an agent's reports; return their leases."""
    likely = {each.lease.task_id: each for each in results if each.outcome is Outcome.OK and not each.chunks}
    if not likely:
        return set()
    found = desk.store.rows("held_tasks", (json.dumps(list(likely)),))
    plain = [each for row in found if (each := _plain(desk, agent_id, row, likely[row[0]])) is not None]
    if plain:
        desk.store.run("succeed_tasks", (json.dumps([each.task.task_id for each in plain]),))
        _count(desk, agent_id, plain)
        _write(desk, agent_id, plain)
    return {each.result.lease for each in plain}


def _plain(desk: Desk, agent_id: int, row: tuple[Any, ...], result: Result) -> Plain | None:
    task_id, state, epoch, number, module_id, holder, attempts, created_us, ready_us, leased_us, *about = row
    headers, inherited = about
    module, source = desk.world.modules.get(module_id), SOURCES.get(state)
    if source is None or module is None or module.gather is not None or module.feeds is not None:
        return None
    if result.lease != (task_id, epoch, number) or holder != agent_id:
        return None
    passed = inherited_by(read_headers(headers), read_headers(inherited)) if headers or inherited else {}
    if result.messages and not _routes(desk, module, result, passed):
        return None
    times = (created_us, ready_us, leased_us)
    task = Of(task_id, module.run.run_id, attempts + 1, 1, *times, module.image_digest)
    return Plain(result, module, source, task, passed)


def _routes(desk: Desk, module: ModuleState, result: Result, inherited: dict[str, str]) -> bool:
    """Whether its messages go where they may. Sizes have to be compared with those of others, one by one."""
    modules = module.run.modules
    for name in {message.to for message in result.messages}:
        if name not in module.spec.to or ((gather := modules[name].gather) and gather.size is not None):
            return False
    return not sizes_problem(desk, Batch(module.run, 0, 0, inherited, result.messages), {})


def _count(desk: Desk, agent_id: int, plain: Iterable[Plain]) -> None:
    moves: dict[tuple[int, TaskState], int] = {}
    for each in plain:
        place = (each.module.module_id, each.source)
        moves[place] = moves.get(place, 0) + 1
        each.module.took(each.result.times)
    for (module_id, source), count in moves.items():
        module = desk.world.modules[module_id]
        module.moved(source, TaskState.SUCCEEDED, count)
        module.rate.add(count, desk.now.mono_s)
        module.streak = Streak()
        if module.spec.places and (row := desk.store.one("node_of_agent", (agent_id,))) is not None:
            module.succeeded_at(row[1], count)


def _write(desk: Desk, agent_id: int, plain: Sequence[Plain]) -> None:
    now_us, first = desk.now.wall_us, desk.ids.take("attempt", len(plain))
    rows, outputs = [], []
    for attempt_id, each in enumerate(plain, first):
        messages = each.result.messages
        made = Made(attempt_id, agent_id, now_us, sent=len(messages), sent_to=sent_to(messages))
        rows.append(attempt_row(each.task, each.result, made))
        if (output := output_row(attempt_id, each.result)) is not None:
            outputs.append(output)
    desk.store.many("add_attempt", rows)
    desk.meters.attempts[""] += len(rows)
    if outputs:
        desk.store.many("add_output", outputs)
    for attempt_id, each in enumerate(plain, first):
        if each.result.messages:
            route(desk, Batch(each.module.run, attempt_id, 0, each.inherited, each.result.messages))
