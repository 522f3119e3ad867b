"""`sbx graph`: how the modules of a pipeline hang together, with the transfers that are inserted."""

from __future__ import annotations

from typing import Annotated

import typer

from scalebox_hpc.cli import say
from scalebox_hpc.cli.loading import load
from scalebox_hpc.cli.options import PIPELINE, AsJson, Params, PipelineArgument, SiteOption
from scalebox_hpc.errors import UsageError


def graph(
    pipeline: PipelineArgument = PIPELINE,
    param: Params = None,
    site: SiteOption = None,
    dot: Annotated[bool, typer.Option("--dot", help="Print DOT, for Graphviz.")] = False,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print Mermaid, for Markdown.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show how the modules of a pipeline hang together.

    Each module with its site, what it gathers and which files it stages; transfers that are
    inserted because sites differ are shown as such. Nothing is submitted.

    \b
    Example:
      sbx graph pipeline.toml
      sbx graph pipeline.toml --dot | dot -Tsvg > pipeline.svg
    """
    from scalebox_hpc.cli import graphed

    if dot + mermaid + as_json > 1:
        raise UsageError("--dot, --mermaid and --json are different pictures", "name one of them")
    read = load(pipeline, param, site).pipeline
    if as_json:
        say.json_object(graphed.as_data(read))
        return
    draw = graphed.as_dot if dot else graphed.as_mermaid if mermaid else graphed.as_tree
    say.text("\n".join(draw(read)))
