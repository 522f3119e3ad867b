"""Find site files and read them strictly: every problem at once.

A site file says how to reach a cluster and what it lets us do; nothing is asked of the cluster.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from scalebox_hpc.config import keys, site_keys
from scalebox_hpc.config.container import read_containers
from scalebox_hpc.config.notes import did_you_mean, read_toml
from scalebox_hpc.config.places import filled, folders
from scalebox_hpc.config.remote import path_there, read_ssh, read_transfers
from scalebox_hpc.config.rules import read_env
from scalebox_hpc.config.table import Table, kind_of
from scalebox_hpc.domain.site import Limits, Machine, Site
from scalebox_hpc.errors import UsageError

USUAL_SITE: Final = "local"
_ONLY_HERE: Final = {
    "local": "tasks would run on this machine",
    "slurm_api": "pyslurm asks the Slurm of this machine",
}
_TEMPLATE: Final = "template"  # a file to copy, not a site
_OURS: Final = re.compile(
    r"--(?:job-name|array|output|error|parsable|wrap|test-only|export|export-file|chdir|requeue|no-requeue|signal|"
    r"open-mode|comment|time|hold|dependency)(?:=|$)|-[JaoetDHd](?:\b|$)"
)


def search_path(directory: Path | None) -> tuple[Path, ...]:
    """Return the folders that are searched for site files, first match wins."""
    return folders(directory, "site-configs", "sites")


def usual_site(pipeline: Path) -> str:
    """The site that a pipeline names, else `local`. A glance, no check: what is wrong `sbx check` says."""
    try:
        name = tomllib.loads(pipeline.read_text("utf-8"))["pipeline"]["site"]
    except (OSError, ValueError, LookupError, TypeError):
        name = None
    return name if isinstance(name, str) and name else USUAL_SITE


def find_sites(search: Sequence[Path]) -> dict[str, Path]:
    """Return name and file of every site that can be found, in order of name."""
    found: dict[str, Path] = {}
    for folder in search:
        if folder.is_dir():
            for path in sorted(folder.glob("*.toml")):
                if path.stem != _TEMPLATE:
                    found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def load_site(name: str, search: Sequence[Path]) -> Site:
    """Read the site of that name.

    Raises UsageError for an unknown name, listing those there are; PipelineErrors with all
    problems of its file.
    """
    found = find_sites(search)
    if name not in found:
        raise UsageError(f"there is no site {name!r}", did_you_mean(name, found, "sites"))
    return read_site(found[name])


def read_site(path: Path) -> Site:
    """Read a site file; the site is called after it. Raises PipelineErrors with all problems."""
    data, notes = read_toml(path)
    top = Table(data, (), notes)
    top.allow(site_keys.SITE, ())
    if "batch" not in data:
        top.problem("batch", "is missing", f"write one of {', '.join(site_keys.BATCHES)}")
    usual = Site(name="")
    batch = top.choice("batch", site_keys.BATCHES, usual.batch)
    is_local = batch == "local"
    paths = top.table("paths")
    paths.allow(site_keys.PATHS)
    ssh = read_ssh(top)
    read_path = _path if ssh is None else path_there
    site = Site(
        name=path.stem,
        batch=batch,
        python=top.text("python") or ("" if is_local else usual.python),
        prologue=_prologue(top),
        env=read_env(top, None),
        shared=read_path(paths, "shared"),
        scratch=read_path(paths, "scratch"),
        images=read_path(paths, "images"),
        advertise=_advertise(top),
        ports=_ports(top),
        interval_s=top.duration_s("interval", usual.interval_s, least=0.1),
        lost_after_s=top.duration_s("lost_after", usual.lost_after_s, least=1.0),
        limits=_limits(top),
        containers=read_containers(top, filled, is_here=is_local, is_remote=ssh is not None),
        machines={str(table.path[-1]): _machine(table) for table in top.tables("machines")},
        ssh=ssh,
        transfers=read_transfers(top),
    )
    _check_defaults(top, site)
    _check_batch(top, site)
    notes.raise_problems()
    return site


def _prologue(top: Table) -> tuple[str, ...]:
    value = top.data.get("prologue")
    if isinstance(value, str):
        return tuple(value.strip("\n").splitlines())
    return top.texts("prologue")


def _path(paths: Table, key: str) -> str | None:
    text = paths.text(key)
    if text is None:
        return None
    full = filled(text)
    if "$" in full:
        fact = f"{text} has a variable that is not set here"
        paths.problem(key, fact, "write the path in full; for node-local scratch set TMPDIR in `prologue`")
    elif not os.path.isabs(full):
        paths.problem(key, f"{text or 'an empty text'} is not an absolute path", "begin it with / or ~")
    return full


def _advertise(top: Table) -> tuple[str, ...]:
    value = top.data.get("advertise")
    return (value,) if isinstance(value, str) else top.texts("advertise")


def _ports(top: Table) -> tuple[int, int] | None:
    value = top.data.get("ports")
    if value is None:
        return None
    items = value
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+)-(\d+)", value)):
        items = [int(match[1]), int(match[2])]
    is_pair = isinstance(items, list) and len(items) == 2 and all(type(item) is int for item in items)
    if not is_pair or not 1024 <= items[0] <= items[1] <= 65535:
        shown = kind_of(value) if not isinstance(value, (str, int, list)) else repr(value)
        top.problem(
            "ports", f"{shown} is no range of ports", "write the first and the last: ports = [40000, 40100]"
        )
        return None
    return (items[0], items[1])


def _limits(top: Table) -> Limits:
    table = top.table("limits")
    table.allow(site_keys.LIMITS)
    usual = Limits()
    return Limits(
        elements=table.whole("elements", 0, least=1) or None,
        array_size=table.whole("array_size", 0, least=1) or None,
        submissions_per_minute=table.whole(
            "submissions_per_minute", usual.submissions_per_minute, least=1, most=10
        ),
    )


def _machine(table: Table) -> Machine:
    table.allow(site_keys.MACHINE)
    name = str(table.path[-1])
    if not re.fullmatch(keys.NAME, name):
        table.problem("", f"{name!r} is no name for a machine", "use a-z, 0-9 and -, and begin with a letter")
    return Machine(
        name=name,
        cpus=table.whole("cpus", 0, least=1) or None,
        memory_mib=table.size_mib("memory", 0) or None,
        gpus=table.whole("gpus", 0),
        partition=table.text("partition"),
        account=table.text("account"),
        qos=table.text("qos"),
        constraint=table.text("constraint"),
        exclusive=table.flag("exclusive", False),
        sbatch=_sbatch(table),
        default=table.flag("default", False),
    )


def _sbatch(table: Table) -> tuple[str, ...]:
    options = table.texts("sbatch")
    for index, option in enumerate(options):
        path = table.at("sbatch", index)
        if not option.startswith("-"):
            table.notes.problem(
                path, f"{option!r} is no option", 'write option and value in one: "--nice=100"'
            )
        elif "\n" in option:
            table.notes.problem(path, "holds a line end", "write one option a text")
        elif _OURS.match(option):
            table.notes.problem(path, f"{option} is set by us", "take it out; times are set by the pool")
    return options


def _check_batch(top: Table, site: Site) -> None:
    if site.ssh is not None and site.batch in _ONLY_HERE:
        fact = f"{_ONLY_HERE[site.batch]}, and [ssh] says that the site is another"
        top.problem("batch", fact, 'write batch = "slurm" (Slurm\'s commands there), or take out [ssh]')


def _check_defaults(top: Table, site: Site) -> None:
    marked = [name for name, machine in site.machines.items() if machine.default]
    for name in marked[1:]:
        fact = f"{marked[0]} is the default machine already"
        top.notes.problem(("machines", name, "default"), fact, "mark one machine only")
