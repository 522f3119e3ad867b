"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

NEWEST = "newest"
PIPELINE = "pipeline.toml"

RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="The run's id; the newest if not given.", show_default=False)
]
RunOption = Annotated[
    str,
    typer.Option("--run", metavar="RUN", help="The run's id; the newest if not given.", show_default=False),
]
PipelineArgument = Annotated[
    str,
    typer.Argument(
        metavar="PIPELINE",
        help=f"The pipeline's file or directory; default: {PIPELINE}.",
        show_default=False,
    ),
]
Params = Annotated[
    list[str] | None,
    typer.Option("-p", "--param", metavar="NAME=VALUE", help="Set a parameter; may be repeated."),
]
SiteOption = Annotated[
    str | None, typer.Option("--site", metavar="NAME", help="Run there instead of the pipeline's own site.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
ModuleOption = Annotated[str | None, typer.Option("--module", metavar="NAME", help="Only of this module.")]
CauseOption = Annotated[
    str | None, typer.Option("--cause", metavar="CAUSE", help="Only with this cause: exit, timeout, oom, ...")
]
Keep = Annotated[
    bool, typer.Option("--keep/--move", help="Keep the source, or remove it once its copy is verified.")
]
Limit = Annotated[str | None, typer.Option("--limit", metavar="SIZE", help="Most bytes a second, as in 10M.")]
Streams = Annotated[
    int | None, typer.Option("--streams", min=1, help="Streams at once; default: the site's.")
]
VerifyAll = Annotated[
    bool, typer.Option("--verify-all", help="Verify also what was there already, by size and time.")
]
