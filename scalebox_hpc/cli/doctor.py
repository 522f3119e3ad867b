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

    from scalebox_hpc.doctor.examine import Examination
    from scalebox_hpc.report.text import Line

SiteExamined = Annotated[
    str | None,
    typer.Option("--site", metavar="NAME", help="For runs there; default: the site of the pipeline here."),
]
STYLES = {"ok": "good", "warn": "title", "fail": "bad"}


def doctor(site: SiteExamined = None, as_json: AsJson = False) -> None:
    """Check what a run needs here.

    One line a check: ok, warn or fail, and below it what to do. Nothing is submitted.
    Exit status 0: runs can work; 4: something failed.

    \b
    Example:
      sbx doctor
      sbx doctor --site hpc1 --json
    """
    from scalebox_hpc.doctor.examine import examine
    from scalebox_hpc.doctor.finding import Verdict

    found = examine(Path.cwd(), site)
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
        say.lines(_shown(found))
    if found.verdict is Verdict.FAIL:
        raise typer.Exit(4)


def _shown(found: Examination) -> Iterator[Line]:
    from scalebox_hpc.report.text import Line, printable

    yield Line(f"site {found.site}, seen from {found.host}", "title")
    for each in found.findings:
        yield Line(f"{each.verdict:<5} {each.check:<11} {printable(each.fact)}", STYLES[each.verdict])
        if each.remedy:
            yield Line(f"{'':<17} {printable(each.remedy)}")
