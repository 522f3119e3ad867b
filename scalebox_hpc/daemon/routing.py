"""Messages become tasks, or members of a gather's parts.

Called inside a turn, with messages of a recorded success or with seeds; their task rows, member
rows and counters come into the ledger in that turn's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count as count_from

from scalebox_hpc.daemon import firing, placing
from scalebox_hpc.daemon.desk import Desk
from scalebox_hpc.daemon.headers import headers_text, same_content, staged_at
from scalebox_hpc.daemon.state import ModuleState, RunState
from scalebox_hpc.domain.task import Cause, TaskState
from scalebox_hpc.engine import gather as gathering
from scalebox_hpc.engine.keys import MARKS

Message = tuple[str, str, Mapping[str, str] | None]
"""To, body, headers that the sender wrote."""

Item = tuple[int, str, Mapping[str, str] | None]
"""Position, body, headers."""

Sizes = dict[tuple[str, str], int]
"""What the members of one report say that the size of a group is, by module and group."""

SEED = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages of one sender, in order."""

    run: RunState
    sender: int  # attempt_id, or SEED
    first: int  # position of the first one
    inherited: Mapping[str, str]  # `_` headers of the sender's task
    messages: Sequence[Message]
    replacing: bool = False  # an earlier success of the task had sent members


def route(desk: Desk, batch: Batch) -> None:
    """Turn the messages of a batch into tasks and members."""
    by_module: dict[str, list[Item]] = {}
    for position, (to, body, headers) in enumerate(batch.messages, batch.first):
        by_module.setdefault(to, []).append((position, body, headers))
    for name, items in by_module.items():
        module = batch.run.modules[name]
        if batch.replacing and module.spec.bound:
            items = _for_new_tasks(desk, batch, module, items)
        if module.gather is None:
            _add_tasks(desk, batch, module, items)
        else:
            _add_members(desk, batch, module, items)


def _for_new_tasks(desk: Desk, batch: Batch, module: ModuleState, items: Iterable[Item]) -> list[Item]:
    """Take in what says that files of a task were brought once more; return the other messages."""
    others = []
    for position, body, headers in items:
        message_id = desk.ids.take("message")
        known = placing.brought_again(desk, module, batch.sender, message_id, staged_at(headers))
        if known is None:
            others.append((position, body, headers))
            continue
        task_id, is_bound = known
        row = (message_id, batch.sender, position, module.module_id, body, headers_text(headers))
        desk.store.run("add_message", (*row, headers_text(batch.inherited), task_id, None, int(is_bound)))
    return others


def _add_tasks(desk: Desk, batch: Batch, module: ModuleState, items: list[Item]) -> None:
    """Make a task of each message whose key is new; see to the others one by one."""
    mark = MARKS[batch.run.keys]
    keys = [mark(headers.get("sbx_key", body) if headers else body) for _, body, headers in items]
    fresh: dict[bytes, Item] = {}
    repeats: list[tuple[bytes, Item]] = []
    for key, item in zip(keys, items, strict=True):
        if key in fresh:
            repeats.append((key, item))
        else:
            fresh[key] = item
    repeats = _insert_fresh(desk, batch, module, fresh) + repeats
    for key, item in repeats:
        _repeat(desk, batch, module, key, item)


def _insert_fresh(
    desk: Desk, batch: Batch, module: ModuleState, fresh: Mapping[bytes, Item]
) -> list[tuple[bytes, Item]]:
    """Insert tasks in bulk and return those whose key was there already."""
    count, now = len(fresh), desk.now.wall_us
    first_task, first_message = desk.ids.take("task", count), desk.ids.take("message", count)
    numbers = zip(
        count_from(first_task), count_from(module.next_n), count_from(first_message), fresh, strict=False
    )
    ready = (module.module_id, TaskState.READY)
    added = desk.store.many(
        "add_task",
        ((task, ready[0], n, ready[1], "", message, key, now, now) for task, n, message, key in numbers),
    )
    pairs = list(enumerate(fresh.items()))
    repeats: list[tuple[bytes, Item]] = []
    if added < count:
        came = {row[0] for row in desk.store.rows("tasks_between", (first_task, first_task + count - 1))}
        repeats = [pair for i, pair in pairs if first_task + i not in came]
        pairs = [(i, pair) for i, pair in pairs if first_task + i in came]
    placed = [(first_message + i, first_task + i, item) for i, (_, item) in pairs]
    _insert_messages(desk, batch, module, placed)
    if module.spec.bound:
        desk.store.many(
            "bind_task", [(staged_at(headers), task_id) for _, task_id, (_, _, headers) in placed]
        )
    module.next_n += count
    module.due_us = 0
    module.restless = bool(module.broken)
    module.moved(None, TaskState.READY, added)
    return repeats


def _insert_messages(
    desk: Desk, batch: Batch, module: ModuleState, placed: Iterable[tuple[int, int, Item]]
) -> None:
    """Insert the messages of new tasks: (message_id, task_id, item) each."""
    inherited, module_id = headers_text(batch.inherited), module.module_id
    desk.store.many(
        "add_message",
        (
            (
                *(message_id, batch.sender, position, module_id, body, headers_text(headers)),
                inherited,
                task_id,
                None,
                1,
            )
            for message_id, task_id, (position, body, headers) in placed
        ),
    )


def _repeat(desk: Desk, batch: Batch, module: ModuleState, key: bytes, item: Item) -> None:
    """See to a message whose key exists, as the module's `repeat` says."""
    position, body, headers = item
    row = desk.store.one("task_by_key", (module.module_id, key))
    assert row is not None, "a repeated key has a task"
    task_id, known_body, known_headers = row
    same = known_body == body and same_content(known_headers, headers_text(headers))
    message_id = desk.ids.take("message")
    live = not (same or module.spec.repeat == "ignore")
    if live:
        again = module.spec.repeat == "again"
        if again:
            desk.store.run("release_key", (task_id,))
        task_id = _further_task(desk, module, message_id, key if again else None)
        if module.spec.bound:
            desk.store.run("bind_task", (staged_at(headers), task_id))
    else:
        module.ignored += 1
        module.dirty = True
    desk.store.run(
        "add_message",
        (
            *(message_id, batch.sender, position, module.module_id, body, headers_text(headers)),
            *(headers_text(batch.inherited), task_id, None, int(live)),
        ),
    )


def _further_task(desk: Desk, module: ModuleState, message_id: int, key: bytes | None) -> int:
    """Add a task beside the one that has the key: READY with the key, or refused without."""
    state = TaskState.READY if key is not None else TaskState.FAILED
    cause = "" if key is not None else Cause.REFUSED
    task_id, now = desk.ids.take("task"), desk.now.wall_us
    desk.store.run(
        "add_task", (task_id, module.module_id, module.next_n, state, cause, message_id, key, now, now)
    )
    module.next_n += 1
    module.due_us = 0
    module.moved(None, state)
    if state is TaskState.FAILED:
        module.run.note(
            f"{module.spec.name}: messages with a known key but other content were refused; "
            f'see `sbx ps --cause refused`, or set repeat = "ignore" or "again"'
        )
    return task_id


def _add_members(desk: Desk, batch: Batch, module: ModuleState, items: Iterable[Item]) -> None:
    """Put each message into the part of its group that has room; fire what is full."""
    gather = module.gather
    assert gather is not None
    groups: dict[str, list[Item]] = {}
    for item in items:
        group = gathering.group_of(gather, item[1], {**batch.inherited, **(item[2] or {})})
        assert group is not None, "agents refuse messages without a group"
        groups.setdefault(group, []).append(item)
    for group, members in groups.items():
        _fill_group(desk, batch, module, group, members)
    module.dirty = True


def _fill_group(desk: Desk, batch: Batch, module: ModuleState, group: str, items: list[Item]) -> None:
    gather = module.gather
    assert gather is not None
    parts = firing.open_parts(desk, module, group, changed=batch.replacing)
    inherited = headers_text(batch.inherited)
    rows, filled = [], {}
    for position, body, headers in items:
        every = {**batch.inherited, **(headers or {})}
        size = gathering.size_of(gather.size, body, every) if gather.size is not None else None
        while parts and parts[0].is_full:
            parts.pop(0)
        if not parts:
            parts.append(firing.new_part(desk, module, group, size))
        part = parts[0]
        if not part.members:  # it fired empty, when there was nobody to say its size
            part.size = size
        part.join(every)
        filled[part.part_id] = part
        rows.append(
            (
                *(desk.ids.take("message"), batch.sender, position, module.module_id, body),
                *(headers_text(headers), inherited, None, part.part_id, 1),
            )
        )
    desk.store.many("add_message", rows)
    for part in filled.values():
        firing.save_part(desk, module, part)


def sizes_problem(desk: Desk, batch: Batch, agreed: Sizes) -> str:
    """Say what is wrong with the sizes that members give, before any of them is taken; or "".

    `agreed` is what earlier batches of the same report said, and learns what this one says.
    """
    for to, body, headers in batch.messages:
        module = batch.run.modules.get(to)
        if module is None:
            return f"module {to!r} is not in this pipeline"
        if module.gather is None:
            continue
        every = {**batch.inherited, **(headers or {})}
        group = gathering.group_of(module.gather, body, every)
        if group is None:
            return f"a message to {to!r} has no group"
        if module.gather.size is None:
            continue
        try:
            size = gathering.size_of(module.gather.size, body, every)
        except ValueError as error:
            return f"a message to {to!r}: {error}"
        known = agreed.get((to, group)) or _known_size(desk, module, group) or size
        if known != size:
            return f"members of group {group!r} of {to!r} disagree on its size: {known} and {size}"
        agreed[to, group] = size
    return ""


def _known_size(desk: Desk, module: ModuleState, group: str) -> int | None:
    row = desk.store.one("group_size", (module.module_id, gathering.digest(group)))
    return row[0] if row is not None else None
