"""`POST /v1/runs/remove`: runs that are over go, with all that is known of them; or what would go is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalebox_hpc.daemon import removing
from scalebox_hpc.daemon.desk import Clear, Desk, Measure
from scalebox_hpc.daemon.events import Call
from scalebox_hpc.errors import ConflictError

if TYPE_CHECKING:
    from scalebox_hpc.daemon.core import Core

MEASURED = 5000  # agents of a run whose files are added up


def handle(core: Core, call: Call) -> None:
    desk, args = core.desk, call.args
    results, dry_run = bool(args.get("results")), bool(args.get("dry_run"))
    if results and core.settings.is_copy:
        raise ConflictError(
            "this home is a copy: the results of its runs may be the original's",
            "leave out `--results`, and delete by hand what is yours alone",
        )
    wanted = removing.Wanted(
        tuple(args.get("runs") or ()), args.get("older_than_s"), args.get("state"), args.get("keep")
    )
    runs = removing.choose(desk, wanted)
    body = {"dry_run": dry_run, "runs": [removing.summary(desk, run) for run in runs]}
    if dry_run:
        orders = tuple(_files_of(desk, run, results=results) for run in runs)
        desk.commands.append(Measure(call, body, orders))
        return
    removing.begin(desk, runs, results=results)
    desk.answer(call, body)


def _files_of(desk: Desk, run: removing.Ended, *, results: bool) -> Clear:
    """All files of a run, as far as their owners can be listed in a moment."""
    row = desk.store.one("run_by_name", (run.name,))
    assert row is not None
    agents = desk.store.rows("some_agents", (run.run_id, MEASURED))
    tries = desk.store.rows("some_tries", (run.run_id, MEASURED))
    return Clear(run.run_id, run.name, row[7] if results else "", tuple(agents), tuple(tries))
