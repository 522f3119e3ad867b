"""The JSON Schema of pipeline.toml, for editors; `sbx schema` prints it.

It is made from the same table of keys that reading goes by. It cannot say everything that
`sbx check` finds.
"""

from __future__ import annotations

from typing import Any

from scalebox_hpc.config import keys


def pipeline_schema() -> dict[str, Any]:
    """Return the schema as plain data."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pipeline.toml, version 1",
        "type": "object",
        "properties": dict(keys.TOP),
        "required": ["sbx", "pipeline", "modules"],
        "patternProperties": {"^x-": {"type": "object"}},
        "additionalProperties": False,
    }
