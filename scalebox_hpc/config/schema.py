"""The JSON Schemas of pipeline.toml and of site files, for editors; `sbx schema` prints them.

They are made from the same tables of keys that reading goes by. They cannot say everything that
`sbx check` finds.
"""

from __future__ import annotations

from typing import Any

from scalebox_hpc.config import keys, site_keys
from scalebox_hpc.config.key_kinds import Keys


def pipeline_schema() -> dict[str, Any]:
    """Return the schema of pipeline.toml as plain data."""
    return _whole_file("pipeline.toml, version 1", keys.TOP, ["sbx", "pipeline", "modules"])


def site_schema() -> dict[str, Any]:
    """Return the schema of a site file as plain data."""
    return _whole_file("a site file", site_keys.SITE, ["batch"])


def _whole_file(title: str, its: Keys, required: list[str]) -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "type": "object",
        "properties": dict(its),
        "required": required,
        "patternProperties": {"^x-": {"type": "object"}},
        "additionalProperties": False,
    }
