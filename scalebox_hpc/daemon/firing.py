"""Parts of a gather: how they fill, when they fire, and what they fire.

A full part fires in the turn that filled it; what is left fires when everything upstream is
quiet. A part that fired and then lost or won members fires again as a new generation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scalebox_hpc.daemon.desk import Desk
from scalebox_hpc.daemon.headers import headers_text, read_headers
from scalebox_hpc.daemon.state import ModuleState
from scalebox_hpc.domain.task import Cause, TaskEvent, TaskState, advance
from scalebox_hpc.engine import gather as gathering
from scalebox_hpc.ledger.store import Row

PAGE = 5000
PAGE_TEXT = 1 << 20  # characters of a page of tasks
ROW_TEXT = 40  # of numbers and names


@dataclass(slots=True)
class Part:
    """One part of a group, while a turn works on it."""

    part_id: int
    part: int
    size: int | None
    members: int
    agreed: dict[str, str] | None  # None: no member yet
    state: str
    task_id: int | None
    generation: int
    group: str

    @property
    def is_full(self) -> bool:
        return self.size is not None and self.members >= self.size

    def join(self, headers: Mapping[str, str]) -> None:
        """Take one member, with its written and inherited headers."""
        self.agreed = gathering.agree(self.agreed if self.members else None, headers)
        self.members += 1


def open_parts(desk: Desk, module: ModuleState, group: str, *, changed: bool) -> list[Part]:
    """Parts of a group that may have room: those that lost members, then the newest."""
    key = (module.module_id, gathering.digest(group))
    rows = desk.store.rows("changed_parts", key) if changed else []
    rows += [row for row in desk.store.rows("newest_part", key) if row not in rows]
    return [_part(row, group) for row in rows]


def _part(row: tuple[object, ...], group: str) -> Part:
    part_id, part, size, members, agreed, state, task_id, generation = row
    return Part(
        part_id=part_id,  # type: ignore[arg-type]
        part=part,  # type: ignore[arg-type]
        size=size,  # type: ignore[arg-type]
        members=members,  # type: ignore[arg-type]
        agreed=json.loads(str(agreed)),
        state=str(state),
        task_id=task_id,  # type: ignore[arg-type]
        generation=generation,  # type: ignore[arg-type]
        group=group,
    )


def new_part(desk: Desk, module: ModuleState, group: str, size: int | None) -> Part:
    """Begin a part of a group: the one after its newest."""
    digest = gathering.digest(group)
    newest = desk.store.one("newest_part", (module.module_id, digest))
    part = Part(desk.ids.take("part"), newest[1] + 1 if newest else 1, size, 0, None, "open", None, 0, group)
    desk.store.run(
        "add_part", (part.part_id, module.module_id, digest, group, part.part, size, 0, "{}", "open")
    )
    module.waiting_parts += 1
    return part


def save_part(desk: Desk, module: ModuleState, part: Part) -> None:
    """Write a part whose members changed; fire it if it is full."""
    if part.state == "fired":
        part.state = "changed"
        module.waiting_parts += 1
    agreed = json.dumps(part.agreed or {}, ensure_ascii=False)
    desk.store.run("fill_part", (part.size, part.members, agreed, part.state, part.part_id))
    if part.is_full and _may_fire(desk, part):
        fire(desk, module, part, missing=0)


def _may_fire(desk: Desk, part: Part) -> bool:
    """A part whose task is still at work fires again only once that is over."""
    if part.task_id is None:
        return True
    row = desk.store.one("task_state", (part.task_id,))
    return row is not None and row[0] in (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED)


def fire(desk: Desk, module: ModuleState, part: Part, *, missing: int) -> None:
    """Make the task of a part, or send it round again. `missing`: failed tasks upstream."""
    gather = module.gather
    assert gather is not None
    incomplete = missing > 0 and gather.missing == "fail"
    agreed = part.agreed if part.state == "open" else _agreed_anew(desk, part)
    headers = gathering.fired_headers(gather, part.group, agreed or {})
    message_id = desk.ids.take("message")
    task_id = part.task_id or desk.ids.take("task")
    _add_part_message(desk, module, part, (message_id, task_id, headers))
    if part.task_id is None:
        _first_task(desk, module, task_id, message_id, incomplete=incomplete)
    else:
        _task_again(desk, module, (task_id, message_id, part.generation + 1), incomplete=incomplete)
    desk.store.run("fire_part", (task_id, part.generation + 1, missing, part.part_id))
    module.waiting_parts -= 1
    module.fired_once = True
    module.due_us = 0
    part.state = "fired"
    if incomplete:
        module.run.note(
            f"{module.spec.name}: incomplete, because {missing} task(s) before it failed; "
            f"`sbx retry` or `sbx resume` runs them again and then this one"
        )


def _agreed_anew(desk: Desk, part: Part) -> dict[str, str] | None:
    agreed: dict[str, str] | None = None
    for headers, inherited in desk.store.rows("member_headers", (part.part_id,)):
        every = read_headers(inherited, headers)
        agreed = gathering.agree(agreed, every)
    return agreed


def _add_part_message(
    desk: Desk, module: ModuleState, part: Part, what: tuple[int, int, dict[str, str]]
) -> None:
    message_id, task_id, headers = what
    place = (message_id, -part.part_id, part.generation, module.module_id, part.group)
    desk.store.run("add_message", (*place, headers_text(headers), None, task_id, None, 1))


def _first_task(desk: Desk, module: ModuleState, task_id: int, message_id: int, *, incomplete: bool) -> None:
    state = TaskState.FAILED if incomplete else TaskState.READY
    cause = Cause.INCOMPLETE if incomplete else ""
    now = desk.now.wall_us
    desk.store.run(
        "add_task", (task_id, module.module_id, module.next_n, state, cause, message_id, None, now, now)
    )
    module.next_n += 1
    module.moved(None, state)


def _task_again(desk: Desk, module: ModuleState, what: tuple[int, int, int], *, incomplete: bool) -> None:
    task_id, message_id, generation = what
    row = desk.store.one("task_state", (task_id,))
    assert row is not None, "a fired part has a task"
    source = TaskState(row[0])
    if incomplete:
        desk.store.run("fail_gather_task", (message_id, generation, task_id))
        if source is not TaskState.FAILED:
            module.moved(source, TaskState.FAILED)
        return
    advance(source, TaskEvent.REFIRED, f"{module.spec.name} task {task_id}")
    desk.store.run("refire_task", (message_id, desk.now.wall_us, generation, task_id))
    module.moved(source, TaskState.READY)


def drop_earlier(desk: Desk, task_id: int) -> None:
    """Take back the members that earlier successes of a task had sent."""
    for part_id, count in desk.store.rows("earlier_members", {"task": task_id}):
        row = desk.store.one("part_state", (part_id,))
        assert row is not None
        state, module_id = row
        desk.store.run("shrink_part", (count, part_id))
        if state == "fired":
            desk.world.modules[module_id].waiting_parts += 1
    desk.store.run("drop_earlier_members", {"task": task_id})


def fire_what_is_left(desk: Desk, module: ModuleState) -> int:
    """Fire, at closing, the parts that wait; return how many there were."""
    gather = module.gather
    assert gather is not None
    if gather.by == "all" and not module.fired_once and module.waiting_parts == 0:
        new_part(desk, module, gathering.ALL, None)
    failed = sum(
        each.counts[TaskState.FAILED] + each.counts[TaskState.CANCELLED]
        for each in module.run.upstream(module)
    )
    touched: Mapping[str | None, int] | None = None
    fired = after = 0
    while rows := desk.store.rows("waiting_parts", (module.module_id, after, PAGE)):
        if touched is None:  # counted once, however many parts there are
            touched = _groups_touched(desk, module) if failed else {}
        for row in rows:
            _fire_as_it_is(desk, module, _part(row[:8], row[8]), (failed, touched))
        fired, after = fired + len(rows), rows[-1][0]
    return fired


def _fire_as_it_is(
    desk: Desk, module: ModuleState, part: Part, bad: tuple[int, Mapping[str | None, int]]
) -> None:
    """Fire a part, full or not; but a group that has lost all its members fires no more."""
    assert module.gather is not None
    if part.members == 0 and module.gather.by != "all":
        desk.store.run("fire_part", (part.task_id, part.generation, 0, part.part_id))
        module.waiting_parts -= 1
        return
    fire(desk, module, part, missing=_missing(module, part, *bad))


def _missing(module: ModuleState, part: Part, failed: int, touched: Mapping[str | None, int]) -> int:
    """How many failed tasks upstream may be missing in a part."""
    assert module.gather is not None
    if part.is_full or not failed:
        return 0
    if module.gather.by == "all" or part.size is not None:
        return failed
    return touched.get(part.group, 0) + touched.get(None, 0)


def _groups_touched(desk: Desk, module: ModuleState) -> dict[str | None, int]:
    """Which groups the failed tasks upstream would belong to, where that matters; None: they cannot say."""
    gather, touched = module.gather, dict[str | None, int]()
    assert gather is not None
    if gather.by == "all" or gather.size is not None:
        return touched
    for _, _, task, body, headers, inherited, _ in failed_upstream(desk, module):
        spec = module.run.modules[task.rpartition(".")[0]].spec
        # The body of a transfer that gathers is the name of a task, and says nothing of groups.
        is_mute = spec.inserted is not None and spec.gather is not None
        group = None if is_mute else gathering.group_of(gather, body, read_headers(inherited, headers))
        touched[group] = touched.get(group, 0) + 1
    return touched


def failed_upstream(desk: Desk, module: ModuleState) -> Iterator[Row]:
    """Every failed or cancelled task that can reach a module, as `missing_page` tells it."""
    for source in module.run.upstream(module):
        after, more = 0, True
        while more:
            where = (source.spec.name, source.module_id, after, PAGE)
            rows, cut = desk.store.some("missing_page", where, PAGE_TEXT, row_text)
            yield from rows
            after, more = rows[-1][1] if rows else 0, cut or len(rows) == PAGE


def row_text(row: Row) -> int:
    """About how many characters a row of a member, or of what is missing, holds."""
    return ROW_TEXT + len(row[3]) + len(row[4] or "") + len(row[5] or "")
