"""`GET /v1/runs/{run}/attempts`: attempts in order of recording, for exports."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from scalebox_hpc.daemon.events import Call
from scalebox_hpc.daemon.handlers.finding import run_of
from scalebox_hpc.daemon.headers import read_headers

if TYPE_CHECKING:
    from scalebox_hpc.daemon.core import Core

PAGE_MOST: Final = 2000
_NAMES: Final = """
    attempt_id run_id task_id module n attempt body headers inherited outcome cause exit_code signal site host
    slot
    allocation job_id element epoch lease_n created_us ready_us leased_us received_us setup_us check_us
    container_us started_us ended_us collected_us reported_us recorded_us cpu_user_s cpu_system_s
    max_rss_mib
    input_bytes output_bytes messages_sent sent_to user_text user_times image stdout stderr stdout_cut
    stderr_cut note logs generation reported incarnation
"""
COLUMNS: Final = tuple(_NAMES.split())
"""The columns of the view attempt_seen, in its order."""


def handle(core: Core, call: Call) -> None:
    args, store = call.args, core.desk.store
    run = run_of(core, args["run"])
    until = args.get("until")
    if until is None:
        row = store.one("last_attempt", (run.run_id,))
        until = row[0] if row is not None and row[0] is not None else 0
    limit = max(1, min(int(args.get("limit") or PAGE_MOST), PAGE_MOST))
    rows = store.rows("attempts_page", (run.run_id, int(args.get("after") or 0), until, limit))
    core.desk.answer(
        call,
        {
            "attempts": [attempt_json(run.name, row) for row in rows],
            "next": rows[-1][0] if len(rows) == limit else None,
            "until": until,
        },
    )


def attempt_json(run: str, row: tuple[Any, ...]) -> dict[str, Any]:
    """An attempt as the API shows it."""
    found = dict(zip(COLUMNS, row, strict=True))
    del found["run_id"], found["task_id"]  # numbers of the ledger, of use to nobody else
    headers = read_headers(found.pop("inherited"), found["headers"])
    epoch, number = found.pop("epoch"), found.pop("lease_n")
    logs, times = found["logs"], found.pop("user_times")
    found.update(
        run=run,
        task=f"{found['module']}.{found.pop('n')}",
        key=headers.get("sbx_key", found["body"]),
        headers=headers,
        lease=f"{epoch}.{number}",
        logs=json.loads(logs) if logs else None,
        user_timestamps=json.loads(times) if times else {},
        stdout=found["stdout"] or "",
        stderr=found["stderr"] or "",
        stdout_cut=bool(found["stdout_cut"]),
        stderr_cut=bool(found["stderr_cut"]),
        reported=bool(found["reported"]),
    )
    return found
