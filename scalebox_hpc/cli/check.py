"""`sbx check`: find what is wrong in a pipeline before anything is submitted."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from scalebox_hpc.cli import say
from scalebox_hpc.cli.loading import load
from scalebox_hpc.cli.options import PIPELINE, AsJson, Params, PipelineArgument, SiteOption
from scalebox_hpc.errors import PipelineErrors

if TYPE_CHECKING:
    from scalebox_hpc.domain.pipeline import Pipeline


def check(
    pipeline: PipelineArgument = PIPELINE,
    param: Params = None,
    site: SiteOption = None,
    as_json: AsJson = False,
) -> None:
    """Check a pipeline and its site.

    All problems are told at once, and what is probably not meant.
    Exit status 0: no problems (warnings are allowed); 2: problems.

    \b
    Example:
      sbx check pipeline.toml
      sbx check pipeline.toml -p limit=1000 --site hpc1 --json
    """
    from scalebox_hpc.units import show_count

    try:
        loaded = load(pipeline, param, site)
    except PipelineErrors as error:
        if not as_json:
            raise
        say.json_object({"problems": [asdict(problem) for problem in error.problems], "warnings": []})
        raise typer.Exit(error.exit_code) from None
    if as_json:
        warnings = [asdict(warning) for warning in loaded.warnings]
        say.json_object({"problems": [], "warnings": warnings, "sites": _sites(loaded.pipeline)})
        return
    for warning in loaded.warnings:
        say.remark(f"warning: {warning}")
    also = f", {show_count(len(loaded.warnings), 'warning')}" if loaded.warnings else ""
    inserted = sum(module.inserted is not None for module in loaded.pipeline.modules.values())
    modules = show_count(len(loaded.pipeline.modules) - inserted, "module")
    modules += f" and {show_count(inserted, 'inserted transfer')}" if inserted else ""
    sites = sorted({pool.site for pool in loaded.pipeline.pools.values()})
    where = f"site {sites[0]}" if len(sites) == 1 else f"sites {', '.join(sites)}"
    say.text(f"{loaded.pipeline.name}: no problems in {modules} at {where}{also}")


def _sites(pipeline: Pipeline) -> dict[str, str]:
    """Where each module runs."""
    return {name: ", ".join(pipeline.sites_of(module)) for name, module in pipeline.modules.items()}
