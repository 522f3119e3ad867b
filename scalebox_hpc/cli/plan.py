"""`sbx plan`: what would be submitted first."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from scalebox_hpc.cli import say
from scalebox_hpc.cli.loading import load
from scalebox_hpc.cli.options import PIPELINE, AsJson, Params, PipelineArgument, SiteOption
from scalebox_hpc.cli.pipeline_file import pipeline_path
from scalebox_hpc.units import show_duration, show_size

if TYPE_CHECKING:
    from scalebox_hpc.cli.planned import PlannedPool
    from scalebox_hpc.daemon.home import Home
    from scalebox_hpc.domain.site import Site


def plan(
    pipeline: PipelineArgument = PIPELINE,
    param: Params = None,
    site: SiteOption = None,
    as_json: AsJson = False,
) -> None:
    """Print what would be submitted first.

    For each pool the exact script and how many elements it asks for; nothing is submitted.
    Names are drawn later: XXXX and EPOCH stand for what the daemon draws.

    \b
    Example:
      sbx plan pipeline.toml --site hpc1
    """
    from scalebox_hpc.cli.planned import first_submissions

    checked = load(pipeline, param, site)
    home = _home(pipeline_path(pipeline))
    shared = {name: _shared(home, each) for name, each in checked.sites.items()}
    planned = first_submissions(checked.pipeline, checked.sites, home.id, shared)
    if as_json:
        say.json_object({"pools": [asdict(pool) for pool in planned]})
        return
    for pool in planned:
        say.text(_as_text(pool))


def _home(pipeline: Path) -> Home:
    """The pipeline's home, made or not."""
    from scalebox_hpc.client import home_of_pipeline
    from scalebox_hpc.daemon.home import NO_HOME_YET, Home
    from scalebox_hpc.errors import UsageError

    home = Home(home_of_pipeline(pipeline), NO_HOME_YET)
    try:
        return Home(home.path, home.recorded()["id"])
    except UsageError:
        return home  # there is none so far, and a plan makes none


def _shared(home: Home, site: Site) -> str:
    """The shared folder of a site; of a remote one as it is written, for nobody is asked there."""
    from scalebox_hpc.daemon.home import remote_shared, shared_path

    return str(shared_path(home, site.shared)) if site.ssh is None else remote_shared(home, site.shared)


def _as_text(pool: PlannedPool) -> str:
    place = f"{pool.site}, machine {pool.machine}" if pool.machine else pool.site
    head = f"pool {pool.pool} at {place}, for {', '.join(pool.modules)}"
    if pool.problem:
        return f"{head}\n  {pool.problem}\n"
    noun = "element" if pool.elements == 1 else "elements"
    tasks = "a task has one to itself" if pool.ntasks else f"{pool.slots_per_element} tasks at once in each"
    facts = (
        f"  first submission {pool.when}: {pool.elements} {noun} of {_element(pool)}, "
        f"{show_duration(pool.walltime_s)}; {tasks}"
    )
    facts = "\n".join([facts, *(f"  {line}" for line in (*pool.containers, *pool.inserted))])
    script = pool.script or "  started as a process of this machine, without sbatch\n"
    return f"{head}\n{facts}\n{script}"


def _element(pool: PlannedPool) -> str:
    each = show_size(pool.memory_mib << 20) + (f", {pool.gpus} gpus" if pool.gpus else "")
    if not pool.ntasks:
        return f"{pool.cpus} cpus, {each}"
    nodes = "1 node" if pool.nodes == 1 else f"{pool.nodes} nodes"
    return f"{nodes} with {each} each, {pool.ntasks} ranks of {pool.cpus // pool.ntasks} cpus"
