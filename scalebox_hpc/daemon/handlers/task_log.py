"""`GET /v1/runs/{run}/tasks/{task}/log`: a piece of what an attempt wrote, while it runs too."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from scalebox_hpc.daemon.desk import ReadLog
from scalebox_hpc.daemon.events import Call
from scalebox_hpc.daemon.handlers.finding import run_of, task_of
from scalebox_hpc.daemon.reading import LogPiece, read_piece
from scalebox_hpc.errors import NotFound, UsageError
from scalebox_hpc.relay.folder import Frame

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
    is_live = live is not None and live[0] == number
    frame, live_site = _frame(core, live, stream) if live is not None and is_live else (None, "")
    place, site = _recorded_place(attempts, number, stream)
    asked = LogPiece(
        attempt=number,
        place=place,
        frame=frame,
        offset=min(max(0, int(args.get("offset") or 0)), OFFSET_MOST),
        limit=max(1, min(int(args.get("limit") or PIECE_MOST), PIECE_MOST)),
        encoding=encoding,
        over=not is_live,
    )
    _answer(core, call, site or live_site, asked)


def _answer(core: Core, call: Call, site: str, asked: LogPiece) -> None:
    """Read the piece at once where it is on this machine; else a hand does, and answers."""
    facts = core.desk.sites.get(site)
    if facts is not None and facts.site.ssh is not None:
        core.desk.commands.append(ReadLog(call, site, asked))
        return
    depot = core.desk.depot_of(facts.launch.shared if facts is not None else "")
    core.desk.answer(call, read_piece(depot, asked))


def _recorded_place(
    attempts: list[tuple[Any, ...]], number: int, stream: str
) -> tuple[tuple[str, int, int | None] | None, str]:
    """Where a report said that the output is, and at which site."""
    for attempt, logs, site in attempts:
        if attempt == number and logs:
            first = 0 if stream == "stdout" else 3
            path, start, end = json.loads(logs)[first : first + 3]
            return (path, start, end), site
    return None, ""


def _frame(core: Core, live: tuple[Any, ...], stream: str) -> tuple[Frame | None, str]:
    """By what the output of an attempt under way is found, and at which site."""
    _, incarnation, pool_id, epoch, lease_n, task_id = live
    pool = core.desk.world.pools.get(pool_id)
    if pool is None:
        return None, ""
    return Frame(incarnation, f"{task_id}.{epoch}.{lease_n}", stream), pool.spec.site
