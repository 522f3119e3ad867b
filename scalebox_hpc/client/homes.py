"""Where the home is: `SBX_HOME`, else `.sbx/` beside the pipeline or nearest above.

It looks and never creates.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from scalebox_hpc.errors import DaemonAbsent

HOME_NAME = ".sbx"


def home_of_pipeline(pipeline: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """The home that runs this pipeline file, absolute, whether it exists or not."""
    if named := environ.get("SBX_HOME"):
        return Path(named).resolve()
    return pipeline.parent.resolve() / HOME_NAME


def home_here(pipeline: Path) -> Path:
    """The home that a command beside this pipeline file means: the nearest, else the one a run would make."""
    try:
        return find_home(pipeline.parent)
    except DaemonAbsent:
        return home_of_pipeline(pipeline)


def find_home(start: Path | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """The home for a command given in `start` (default: the current directory), absolute.

    Raises DaemonAbsent where neither that directory nor one above it has a `.sbx/`.
    """
    if named := environ.get("SBX_HOME"):
        return Path(named).resolve()
    here = (start or Path.cwd()).resolve()
    for directory in (here, *here.parents):
        if (directory / HOME_NAME).is_dir():
            return directory / HOME_NAME
    raise DaemonAbsent(
        f"there is no {HOME_NAME}/ in {here} or above it",
        "go to the directory of the pipeline, or set SBX_HOME; `sbx run PIPELINE` makes one",
    )
