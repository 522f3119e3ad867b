"""`sbx doctor`: find out whether a run would work here."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scalebox_hpc.cli import say
from scalebox_hpc.cli.options import AsJson

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scalebox_hpc.doctor.facts import Probing
    from scalebox_hpc.doctor.finding import Finding
    from scalebox_hpc.report.text import Line

SiteExamined = Annotated[
    str | None,
    typer.Option("--site", metavar="NAME", help="For runs there; default: the site of the pipeline here."),
]
Probe = Annotated[bool, typer.Option("--probe", help="Send one small element to a compute node, too.")]
MachineProbed = Annotated[
    str | None,
    typer.Option("--machine", metavar="NAME", help="With --probe: of the site; default: its default one."),
]
Wait = Annotated[
    str, typer.Option("--wait", metavar="DURATION", help="With --probe: how long to wait for the element.")
]
STYLES = {"ok": "good", "skip": "dim", "warn": "title", "fail": "bad"}


def doctor(
    site: SiteExamined = None,
    probe: Probe = False,
    machine: MachineProbed = None,
    wait: Wait = "5m",
    as_json: AsJson = False,
) -> None:
    """Check what a run needs here.

    One line a check: ok, warn or fail, and below it what to do. Nothing is submitted, unless
    `--probe` says so: then an element looks around on a compute node, and is gone afterwards.
    Exit status 0: runs can work; 4: something failed.

    \b
    Example:
      sbx doctor
      sbx doctor --site hpc1 --json
      sbx doctor --site hpc1 --probe --machine gpu --wait 10m
    """
    from scalebox_hpc.doctor.examine import examine
    from scalebox_hpc.doctor.finding import Verdict
    from scalebox_hpc.report.text import Line

    found = examine(Path.cwd(), site, probing_of(probe, machine, wait))
    if as_json:
        say.json_object(
            {
                "host": found.host,
                "site": found.site,
                "verdict": found.verdict,
                "checks": [asdict(finding) for finding in found.findings],
            }
        )
    else:
        say.lines([Line(f"site {found.site}, seen from {found.host}", "title")])
        for each in found.findings:
            say.lines(shown(each))
    if found.verdict is Verdict.FAIL:
        raise typer.Exit(4)


def probing_of(probe: bool, machine: str | None, wait: str) -> Probing | None:
    """What is wanted of a probe; None: none. Raises UsageError."""
    from scalebox_hpc.doctor.facts import Probing
    from scalebox_hpc.errors import UsageError
    from scalebox_hpc.units import duration_s

    if not probe:
        if machine is not None:
            raise UsageError("--machine says where a probe goes, and there is none", "ask for a probe, too")
        return None
    try:
        return Probing(machine, duration_s(wait))
    except ValueError as error:
        raise UsageError(f"--wait: {error}") from None


def shown(finding: Finding) -> Iterator[Line]:
    """One check as people read it, with what to do about it below."""
    from scalebox_hpc.report.text import Line, printable

    yield Line(f"{finding.verdict:<5} {finding.check:<12} {printable(finding.fact)}", STYLES[finding.verdict])
    if finding.remedy:
        yield Line(f"{'':<18} {printable(finding.remedy)}")
