"""`GET /v1/runs/{run}/tasks`: a page of tasks, perhaps of one module, state or cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scalebox_hpc.daemon.events import Call
from scalebox_hpc.daemon.handlers.finding import run_of
from scalebox_hpc.daemon.handlers.progress import of_lease
from scalebox_hpc.daemon.headers import read_headers
from scalebox_hpc.daemon.state import World

if TYPE_CHECKING:
    from scalebox_hpc.daemon.core import Core

PAGE_MOST = 1000


def handle(core: Core, call: Call) -> None:
    args = call.args
    run = run_of(core, args["run"])
    limit = max(1, min(int(args.get("limit") or PAGE_MOST), PAGE_MOST))
    state = args.get("state")
    rows = core.desk.store.rows(
        "tasks_page",
        {
            "run": run.run_id,
            "after": int(args.get("after") or 0),
            "module": args.get("module"),
            "state": state.upper() if state else None,
            "cause": args.get("cause"),
            "limit": limit,
        },
    )
    core.desk.answer(
        call,
        {
            "tasks": [task_json(core.desk.world, row) for row in rows],
            "next": rows[-1][0] if len(rows) == limit else None,
        },
    )


def task_json(world: World, row: tuple[Any, ...]) -> dict[str, Any]:
    """A task as the API shows it."""
    task_id, _, module, n, state, cause, body, headers, inherited, attempts, epoch, lease_n, *rest = row
    ready_us, created_us, incarnation, generation = rest
    return {
        "task": f"{module}.{n}",
        "module": module,
        "n": n,
        "state": state,
        "cause": cause,
        "body": body,
        "headers": read_headers(inherited, headers),
        "attempts": attempts,
        "lease": f"{epoch}.{lease_n}" if lease_n else "",
        "not_before_us": ready_us,
        "created_us": created_us,
        "incarnation": incarnation,
        "generation": generation,
        "progress": of_lease(world, incarnation, f"{task_id}.{epoch}.{lease_n}"),
    }
