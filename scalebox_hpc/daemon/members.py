"""What a gather task works on: pages of its members, or of what is missing, for the agent that has it.

A page is bounded by rows and by text, and so are all pages of a turn together. Rows go out as the
ledger has them; agents put them in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scalebox_hpc.daemon import firing, recording
from scalebox_hpc.daemon.desk import Desk
from scalebox_hpc.daemon.events import Call
from scalebox_hpc.daemon.headers import read_headers
from scalebox_hpc.engine.gather import concerns
from scalebox_hpc.ledger.store import Row
from scalebox_hpc.wire import codec
from scalebox_hpc.wire.messages import MembersPage

PAGE_TEXT = 1 << 19  # characters: half a MiB, so that with quotes and names its JSON stays below one
TURN_ROWS = 10_000  # of all pages of a turn: about 10 ms
LEAST_ROWS = 500  # of a page, however many there were in this turn


def page(desk: Desk, call: Call) -> None:
    """Answer with a page: `rows`, and as `next` what to ask for after it, null where that was all.

    A row of a member is [id, position, sender's task, body, headers written, headers inherited],
    the headers as JSON text or null; one of what is missing [id, n, task, body, headers written,
    headers inherited, cause]. A page may be short, or empty, and yet not the last.
    """
    said = codec.members_page(call.args)
    task = recording.load_task(desk, said.lease.task_id)
    part = desk.store.one("part_of_task", (said.lease.task_id,)) if task is not None else None
    if task is None or part is None or task.lease != said.lease:
        desk.answer(call, {"error": "this lease is no longer valid"}, 404)
        return
    part_id, group, _, missing, _, _ = part
    if not said.missing:
        desk.answer(call, _members(desk, part_id, said))
    elif missing:
        desk.answer(call, _missing(desk, task, group, said))
    else:  # it is complete, whatever failed upstream
        desk.answer(call, {"rows": [], "next": None})


def _members(desk: Desk, part_id: int, said: MembersPage) -> Mapping[str, Any]:
    rows, more = _read(desk, "members_page", (part_id, said.after), said.limit)
    return {"rows": rows, "next": rows[-1][0] if more else None}


def _missing(desk: Desk, task: recording.TaskRow, group: str, said: MembersPage) -> Mapping[str, Any]:
    """A page ends with a module: what the next one has begins another."""
    gather, sources, after_n = task.module.gather, task.module.run.upstream(task.module), 0
    assert gather is not None
    if said.after:
        place = desk.store.one("place_of_task", (said.after,))
        names = [source.module_id for source in sources]
        if place is None or place[0] not in names:
            return {"rows": [], "next": None}
        sources, after_n = sources[names.index(place[0]) :], place[1]
    rows: list[Row] = []
    for source in sources:
        where = (source.spec.name, source.module_id, after_n)
        rows, _ = _read(desk, "missing_page", where, said.limit)
        if rows:
            break
        after_n = 0
    following = rows[-1][0] if rows else None
    if gather.by != "all" and gather.size is None:
        rows = [row for row in rows if concerns(gather, group, row[3], read_headers(row[5], row[4]))]
    return {"rows": rows, "next": following}


def _read(desk: Desk, name: str, where: tuple[Any, ...], limit: int) -> tuple[list[Row], bool]:
    """Read a page as large as this turn still bears, and tell whether there may be more."""
    most_rows = min(limit, max(LEAST_ROWS, TURN_ROWS - desk.paged))
    most_text = PAGE_TEXT * most_rows // TURN_ROWS
    rows, cut = desk.store.some(name, (*where, most_rows), most_text, firing.row_text)
    desk.paged += len(rows)
    return rows, cut or len(rows) == most_rows
