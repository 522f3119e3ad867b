"""`sbx schema`: the JSON Schema of pipeline.toml."""

from __future__ import annotations

import json

from scalebox_hpc.cli import say


def schema() -> None:
    """Print the JSON Schema of pipeline.toml.

    For editors that complete and check while one types.

    \b
    Example:
      sbx schema > pipeline.schema.json
    """
    from scalebox_hpc.config.schema import pipeline_schema

    say.text(json.dumps(pipeline_schema(), indent=2))
