"""`GET /v1/runs/{run}/tasks/{task}/log`: a piece of what an attempt wrote, while it runs too."""

from __future__ import annotations

import codecs
import json
from typing import TYPE_CHECKING, Any

from scalebox_hpc.daemon.events import Call
from scalebox_hpc.daemon.handlers.finding import run_of, task_of
from scalebox_hpc.errors import NotFound, UsageError

if TYPE_CHECKING:
    from scalebox_hpc.daemon.core import Core

PIECE_MOST = 1 << 20
OFFSET_MOST = 1 << 60


def handle(core: Core, call: Call) -> None:
    run, store, args = run_of(core, call.args["run"]), core.desk.store, call.args
    task_id = task_of(core, run, args["task"])
    stream = args.get("stream") or "stdout"
    if stream not in ("stdout", "stderr"):
        raise UsageError(f"stream is stdout or stderr, not {stream!r}")
    encoding = args.get("encoding") or "utf-8"
    if encoding not in ("utf-8", "latin-1"):
        raise UsageError(f"encoding is utf-8 or latin-1, not {encoding!r}")
    attempts = store.rows("logs_of_task", (task_id,))
    live = store.one("live_attempt", (task_id,))
    number = args.get("attempt") or (live[0] if live is not None else attempts[-1][0] if attempts else None)
    if number is None:
        raise NotFound(f"{args['task']} has not been tried yet", "`sbx show` tells what it waits for")
    place = _recorded_place(attempts, number, stream)
    if place is None and live is not None and live[0] == number:
        place = _live_place(core, run.name, args["task"], live, stream)
    offset = min(max(0, int(args.get("offset") or 0)), OFFSET_MOST)
    limit = max(1, min(int(args.get("limit") or PIECE_MOST), PIECE_MOST))
    piece = _piece(core, place, offset, limit, encoding)
    if place is None and (live is None or live[0] != number):
        piece["done"] = True  # it is over and wrote nothing that was kept
    core.desk.answer(call, {"attempt": number, **piece})


def _recorded_place(
    attempts: list[tuple[Any, ...]], number: int, stream: str
) -> tuple[str, int, int | None] | None:
    for attempt, logs in attempts:
        if attempt == number and logs:
            first = 0 if stream == "stdout" else 3
            path, start, end = json.loads(logs)[first : first + 3]
            return path, start, end
    return None


def _live_place(
    core: Core, run: str, task: str, live: tuple[Any, ...], stream: str
) -> tuple[str, int, int | None] | None:
    """Find the attempt's frame in the segments of the agent that holds it."""
    _, incarnation, pool_id, epoch, lease_n, task_id = live
    pool = core.desk.world.pools.get(pool_id)
    if pool is None:
        return None
    shared = core.desk.sites[pool.spec.site].launch.shared
    lease = f"{task_id}.{epoch}.{lease_n}"
    return core.settings.find_frame(shared, incarnation, lease, stream)


def _piece(
    core: Core, place: tuple[str, int, int | None] | None, offset: int, limit: int, encoding: str
) -> dict[str, Any]:
    if place is None:
        return {"text": "", "offset": offset, "end": offset, "done": False, "path": ""}
    path, start, end = place
    most = limit if end is None else max(0, min(limit, end - start - offset))
    data = core.settings.read_log(path, start + offset, most)
    done = end is not None and (start + offset + len(data) >= end or not data)
    text, length = _whole_characters(data, encoding, last=done)
    return {"text": text, "offset": offset, "end": offset + length, "done": done, "path": path}


def _whole_characters(data: bytes, encoding: str, *, last: bool) -> tuple[str, int]:
    """Decode a piece; a character that it cuts is left for the next, unless there is none."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    text = decoder.decode(data, final=last)
    return text, len(data) - len(decoder.getstate()[0])
