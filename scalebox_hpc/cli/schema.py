"""`sbx schema`: the JSON Schema of pipeline.toml, or of site files."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from scalebox_hpc.cli import say


class Described(StrEnum):
    """A kind of file that people write."""

    PIPELINE = "pipeline"
    SITE = "site"


Kind = Annotated[Described, typer.Argument(metavar="KIND", help="`pipeline` or `site`.")]


def schema(kind: Kind = Described.PIPELINE) -> None:
    """Print the JSON Schema of pipeline.toml, or of site files.

    For editors that complete and check while one types.

    \b
    Example:
      sbx schema > pipeline.schema.json
      sbx schema site > site.schema.json
    """
    from scalebox_hpc.config.schema import pipeline_schema, site_schema

    found = site_schema() if kind is Described.SITE else pipeline_schema()
    say.text(json.dumps(found, indent=2))
