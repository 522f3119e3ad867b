"""`sbx site check`: prove that a site works, one thing after the other."""

from __future__ import annotations

from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scalebox_hpc.cli import say
from scalebox_hpc.cli.doctor import probing_of, shown
from scalebox_hpc.cli.options import PIPELINE, AsJson

if TYPE_CHECKING:
    from scalebox_hpc.doctor.finding import Finding

SiteName = Annotated[str, typer.Argument(metavar="NAME", help="The site.", show_default=False)]
Probe = Annotated[
    bool, typer.Option("--probe/--no-probe", help="Send one small element to a compute node at the end.")
]
MachineProbed = Annotated[
    str | None,
    typer.Option("--machine", metavar="NAME", help="Where the element goes; default: the default machine."),
]
Wait = Annotated[str, typer.Option("--wait", metavar="DURATION", help="How long to wait for the element.")]


def check(
    name: SiteName,
    probe: Probe = True,
    machine: MachineProbed = None,
    wait: Wait = "5m",
    as_json: AsJson = False,
) -> None:
    """Prove in order that a site can be used.

    The way there, the login, Python, the shared folder, Slurm and each machine; at the end one small
    element calls home from a compute node. One line a check; after the first that fails the others are
    not asked. Exit status 0: runs can work there; 4: something failed; 2: the site file is wrong.

    \b
    Example:
      sbx site check hpc1
      sbx site check hpc1 --no-probe --json
    """
    from scalebox_hpc.config.site import find_sites, load_site, search_path
    from scalebox_hpc.doctor import judge
    from scalebox_hpc.doctor.examine import check_site
    from scalebox_hpc.doctor.finding import Verdict, worst

    pipeline = Path.cwd() / PIPELINE
    search = search_path(pipeline.parent)
    site = load_site(name, search)
    probing = probing_of(probe, machine, wait)
    found: list[Finding] = []
    first = judge.site(site, str(find_sites(search)[name]), name)
    for each in chain([first], check_site(site, pipeline, probing)):  # shown as it is found
        found.append(each)
        if not as_json:
            say.lines(shown(each))
    verdict = worst(found)
    if as_json:
        say.json_object({"site": name, "verdict": verdict, "checks": [asdict(each) for each in found]})
    if verdict is Verdict.FAIL:
        raise typer.Exit(4)
