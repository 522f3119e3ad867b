"""Read a pipeline here, without the daemon: for `check`, `plan` and `describe`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scalebox_hpc.cli.pipeline_file import params_of, pipeline_file

if TYPE_CHECKING:
    from scalebox_hpc.config.pipeline import Checked


def load(named: str, param: Sequence[str] | None, site: str | None) -> Checked:
    """The checked pipeline with its warnings. Raises PipelineErrors, UsageError."""
    from scalebox_hpc.config import pipeline

    return pipeline.load(pipeline_file(named), params=params_of(param), site=site, cwd=Path.cwd())
