"""The pipeline named on the command line: where its file is, and what `-p` says."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

from scalebox_hpc.cli.options import PIPELINE
from scalebox_hpc.errors import UsageError


def pipeline_file(named: str) -> Path:
    """The pipeline's file, as it was named; a directory stands for the `pipeline.toml` in it.

    Raises UsageError where there is none.
    """
    path = Path(named)
    if path.is_dir():
        path = path / PIPELINE
    if not path.is_file():
        raise UsageError(
            f"there is no file {path}", "name the pipeline's file: sbx run PIPELINE, or go to its directory"
        )
    return path


def pipeline_path(named: str) -> Path:
    """The pipeline's file, absolute. A link to a file counts where it lies. Raises UsageError."""
    path = pipeline_file(named)
    return path.parent.resolve() / path.name


def params_of(words: Sequence[str] | None) -> dict[str, str]:
    """Parameters given as NAME=VALUE; the last word on a name counts."""
    params = {}
    for word in words or ():
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise UsageError(f"-p {word} sets nothing", "write -p NAME=VALUE, such as -p limit=1000")
        params[name] = value
    return params


def seeds_from_stdin(pipeline: Path) -> bool:
    """Whether a module of it takes its seeds from standard input.

    A glance, no check: of a file that cannot be read the daemon says what is wrong.
    """
    try:
        modules = tomllib.loads(pipeline.read_text("utf-8")).get("modules", {})
        seeds = [module.get("seed") for module in modules.values() if isinstance(module, dict)]
    except (OSError, ValueError, AttributeError):
        return False
    return any(isinstance(seed, dict) and seed.get("stdin") is True for seed in seeds)
