"""A run made ready: its pipeline read and checked, its files shipped, its seeds spooled.

Done by a hand, before anything is in the ledger: what is wrong is told at once, and nothing is
half accepted.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from scalebox_hpc.config.pipeline import Checked, load
from scalebox_hpc.config.seeds import read_seed
from scalebox_hpc.config.site import load_site, search_path
from scalebox_hpc.daemon.desk import Compare, Prepare, SiteFacts
from scalebox_hpc.daemon.home import Home
from scalebox_hpc.daemon.images import Fetching, changed_images, must_be_there, with_images
from scalebox_hpc.daemon.runs import Prepared
from scalebox_hpc.daemon.sheets import refuse_secret_binds
from scalebox_hpc.daemon.ship import ship
from scalebox_hpc.daemon.stations import Stations
from scalebox_hpc.disk import open_private, problem_with
from scalebox_hpc.domain.allocation import Launch
from scalebox_hpc.domain.pipeline import Pipeline, ShippedFile
from scalebox_hpc.domain.site import Site
from scalebox_hpc.errors import ConflictError, DigestChanged, EnvironmentProblem, SbxError, UsageError
from scalebox_hpc.sites.depot import Depot

LOCAL_SUBMISSIONS = 600  # a minute; nobody minds them here
NAME_TRIES = 20
REMEDY = "check who owns it, and whether there is room"

Verify = Callable[[SiteFacts, Pipeline], None]
"""Asks a site's batch system whether it would take the first request of each pool."""


def read_pipeline(args: Mapping[str, Any]) -> Checked:
    """Read the pipeline that a request names. Raises PipelineErrors, UsageError."""
    if not args.get("pipeline"):
        raise UsageError("no `pipeline` was named", "give the absolute path of a pipeline.toml")
    path = Path(args["pipeline"])
    cwd = Path(args.get("client_dir") or path.parent)
    return load(path, params=dict(args.get("params") or {}), site=args.get("site"), cwd=cwd)


def prepare(
    home: Home,
    stations: Stations,
    args: Mapping[str, Any],
    verify: Verify,
    fetching: Fetching,
    taken: Collection[str],
) -> Prepared:
    """Do all that must be done before a run is accepted; `taken` are names of runs.

    Raises errors of ours; ImagesPending where it is to be called again.
    """
    checked = read_pipeline(args)
    pipeline = checked.pipeline
    sites = read_sites(home, stations, pipeline.directory, _site_names(pipeline))
    refuse_secret_binds(pipeline, sites.values(), str(home.path))
    pipeline = with_images(pipeline, sites, fetching)
    for facts in sites.values():
        verify(facts, pipeline)
        ship(_shipped_to(pipeline, facts.site.name), stations.depot(facts))
    name, results = draw_name(home, pipeline, taken)
    shared = {site: _directories_of_run(facts, stations.depot(facts), name) for site, facts in sites.items()}
    stdin = Path(args["stdin"]) if args.get("stdin") else None
    seeds = _spool_seeds(home, pipeline, name, stdin)
    notes = tuple(str(warning) for warning in checked.warnings)
    return Prepared(name, pipeline, sites, shared, str(results), str(seeds), notes)


def _site_names(pipeline: Pipeline) -> list[str]:
    return sorted({pool.site for pool in pipeline.pools.values()})


def remote_sites(command: Prepare | Compare) -> list[Site]:
    """The remote sites that a run is to use. Raises PipelineErrors, UsageError."""
    if isinstance(command, Compare):
        directory, names = command.pipeline, list(command.sites)
    else:
        pipeline = read_pipeline(command.call.args).pipeline
        directory, names = pipeline.directory, _site_names(pipeline)
    sites = [load_site(name, search_path(Path(directory))) for name in names]
    return [site for site in sites if site.ssh is not None]


def read_sites(home: Home, stations: Stations, directory: str, names: Iterable[str]) -> dict[str, SiteFacts]:
    """Read site files as they are now, beside the pipeline first, and make their shared folders."""
    return {name: _site_facts(home, stations, directory, name) for name in names}


def _site_facts(home: Home, stations: Stations, directory: str, name: str) -> SiteFacts:
    read_s = time.monotonic()
    site = load_site(name, search_path(Path(directory)))
    depot = stations.open(site)
    scratch = site.scratch
    if site.ssh is not None:
        scratch = None if scratch is None else depot.expand(scratch)
        images = depot.expand(site.images) if site.images else f"{depot.path}/images"
        site = replace(site, scratch=scratch, images=images)
    launch = Launch(home.id, depot.path, site.python or sys.executable, site.prologue, scratch)
    if site.batch != "local":
        return SiteFacts(site, launch, read_s=read_s)
    limits = replace(site.limits, submissions_per_minute=LOCAL_SUBMISSIONS)
    site = replace(site, limits=limits)
    return SiteFacts(site, launch, cpus=_cpus(site), memory_mib=_memory_mib(site), read_s=read_s)


def _cpus(site: Site) -> int:
    here = len(os.sched_getaffinity(0))
    machine = site.default_machine()
    return min(here, machine.cpus) if machine is not None and machine.cpus else here


def _memory_mib(site: Site) -> int:
    here = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    machine = site.default_machine()
    return min(here, machine.memory_mib) if machine is not None and machine.memory_mib else here


def _shipped_to(pipeline: Pipeline, site: str) -> set[ShippedFile]:
    """The files that modules at a site need."""
    there = [each for each in pipeline.modules.values() if site in pipeline.sites_of(each)]
    return {*pipeline.bin, *(file for module in there for file in module.files)}


def draw_name(home: Home, pipeline: Pipeline, taken: Collection[str]) -> tuple[str, Path]:
    """Find a name that no run has, and make its results directory.

    Not one of `taken`, nor one whose seeds are spooled: that run is about to be accepted. Raises
    EnvironmentProblem where none was free in NAME_TRIES, or the directory cannot be made.
    """
    for _ in range(NAME_TRIES):
        name = f"{pipeline.name}-{secrets.token_hex(2)}"
        if name in taken or _seeds_of(home, name).exists():
            continue
        results = Path(pipeline.directory) / "results" / name
        try:
            results.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise problem_with(results, error, "make the directory", REMEDY) from error
        return name, results
    raise EnvironmentProblem(
        f"no free run name for {pipeline.name} in {NAME_TRIES} tries", "remove old directories in results/"
    )


def _directories_of_run(facts: SiteFacts, depot: Depot, run: str) -> str:
    """Make the run's shared directory at a site, at a remote one its results too; return the first."""
    names = [f"runs/{run}/shared", *([f"results/{run}"] if facts.is_remote else [])]
    try:
        depot.make(names)
    except OSError as error:
        raise problem_with(Path(depot.path, names[0]), error, "make the directory", REMEDY) from error
    return f"{depot.path}/{names[0]}"


def _spool_seeds(home: Home, pipeline: Pipeline, run: str, stdin: Path | None) -> Path:
    """Write all seeds as lines of [to, body, headers]; complete, or not there at all.

    Raises ConflictError where another hand has drawn the same name meanwhile and spooled its seeds.
    """
    target = _seeds_of(home, run)
    temporary = target.with_name(f".{run}.{secrets.token_hex(4)}.part")
    try:
        target.parent.mkdir(mode=0o700, exist_ok=True)
        with open_private(temporary) as file:
            file.writelines(_seed_lines(pipeline, stdin))
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, target)
    except FileExistsError as error:
        raise ConflictError(f"there is a run {run} already", "submit it again") from error
    except OSError as error:
        raise problem_with(temporary, error, "write", REMEDY) from error
    finally:
        temporary.unlink(missing_ok=True)
    return target


def _seeds_of(home: Home, run: str) -> Path:
    return home.path / "seeds" / f"{run}.jsonl"


def _seed_lines(pipeline: Pipeline, stdin: Path | None) -> Iterable[str]:
    for module in pipeline.modules.values():
        if module.seed is None:
            continue
        for seed in read_seed(module.seed, Path(pipeline.directory), stdin):
            yield json.dumps([module.name, seed.body, dict(seed.headers) or None], ensure_ascii=False) + "\n"


def compare(
    command: Compare, args: Mapping[str, Any], sites: Mapping[str, SiteFacts], fetching: Fetching
) -> None:
    """Raise DigestChanged where a module is no longer what the run has, and is not to be kept.

    Raises ImageMissing where an image of the run is gone for good, ImagesPending.
    """
    digests, kept = command.digests, set(args.get("keep") or ())
    unknown = kept - set(digests)
    if unknown:
        raise UsageError(
            f"--keep: the run has no module {', '.join(sorted(unknown))}", f"it has {', '.join(digests)}"
        )
    if not kept >= set(digests):
        changes = _changes(command, args, sites, fetching)
        if told := [change for name, change in changes.items() if name not in kept]:
            raise DigestChanged(told)
    here = {name: image for name, image in command.images.items() if name not in command.remote}
    must_be_there(here)


def _changes(
    command: Compare, args: Mapping[str, Any], sites: Mapping[str, SiteFacts], fetching: Fetching
) -> dict[str, str]:
    """Modules that are no longer what the run has, and how they differ."""
    try:
        now = read_pipeline(args).pipeline
    except SbxError as error:
        where = command.pipeline
        raise DigestChanged([f"the pipeline in {where} cannot be read any more: {error.fact}"]) from error
    modules = changed_images(now, command.images, sites, fetching)
    changes = {}
    for name, digest in command.digests.items():
        if name not in modules:
            changes[name] = f"{name}: removed"
        elif modules[name][0].digest != digest:
            changes[name] = f"{name}: {modules[name][1] or 'changed'}"
    return changes
