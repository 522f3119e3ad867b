"""`sbx check`: find what is wrong in a pipeline before anything is submitted."""

from __future__ import annotations

from dataclasses import asdict

import typer

from scalebox_hpc.cli import say
from scalebox_hpc.cli.loading import load
from scalebox_hpc.cli.options import PIPELINE, AsJson, Params, PipelineArgument, SiteOption
from scalebox_hpc.errors import PipelineErrors


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
    from scalebox_hpc.report.text import count

    try:
        loaded = load(pipeline, param, site)
    except PipelineErrors as error:
        if not as_json:
            raise
        say.json_object({"problems": [asdict(problem) for problem in error.problems], "warnings": []})
        raise typer.Exit(error.exit_code) from None
    if as_json:
        say.json_object({"problems": [], "warnings": [asdict(warning) for warning in loaded.warnings]})
        return
    for warning in loaded.warnings:
        say.remark(f"warning: {warning}")
    also = f", {count(len(loaded.warnings), 'warning')}" if loaded.warnings else ""
    modules = count(len(loaded.pipeline.modules), "module")
    say.text(f"{loaded.pipeline.name}: no problems in {modules}{also}")
