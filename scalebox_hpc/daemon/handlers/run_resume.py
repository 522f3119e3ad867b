"""`POST /v1/runs/{run}/resume`: go on with a run, whatever stopped it; what succeeded stays.

Its files are compared first, by a hand: a module whose digest changed must be kept by name, for
the run goes on with what it had.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalebox_hpc.daemon import runs, site_files
from scalebox_hpc.daemon.desk import Compare, SiteFacts
from scalebox_hpc.daemon.events import Call
from scalebox_hpc.daemon.handlers.finding import run_of
from scalebox_hpc.daemon.loading import Frozen, write_frozen
from scalebox_hpc.daemon.state import ACTIVE
from scalebox_hpc.errors import ConflictError

if TYPE_CHECKING:
    from scalebox_hpc.daemon.core import Core


def handle(core: Core, call: Call) -> None:
    run = run_of(core, call.args["run"])
    paused = any(pool.run is run and pool.state == "paused" for pool in core.desk.world.pools.values())
    if run.phase in ACTIVE and not paused:
        raise ConflictError(f"run {run.name} is {run.phase} already", "`sbx status` shows how it is doing")
    digests = {name: module.spec.digest for name, module in run.modules.items()}
    images = {name: module.image for name, module in run.modules.items() if module.image is not None}
    again = {"pipeline": run.pipeline.file, "params": dict(run.pipeline.params), "site": run.pipeline.site}
    pools, sites = run.pipeline.pools, core.desk.sites
    remote = {name for name, module in run.modules.items() if sites[pools[module.spec.pool].site].is_remote}
    names, where = tuple(run.shared), run.pipeline.directory
    core.desk.commands.append(
        Compare(call, run.name, where, digests, names, again, images, frozenset(remote))
    )


def compared(core: Core, call: Call, sites: dict[str, SiteFacts]) -> None:
    """The files are as they were, or kept as they were; the sites are as their files say now."""
    desk, run = core.desk, run_of(core, call.args["run"])
    site_files.take_in(desk, sites)
    sites = {name: desk.sites[name] for name in run.shared}
    frozen = write_frozen(Frozen(run.pipeline, sites, dict(run.shared), run.keys))
    desk.store.run("freeze_run", (frozen, run.run_id))
    requeued = runs.resume(desk, run)
    desk.answer(call, {"run": run.name, "state": run.phase, "requeued": requeued})
