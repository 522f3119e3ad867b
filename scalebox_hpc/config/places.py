"""Where site files and standard modules may lie. It names folders; whether they exist it does not ask."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path


def folders(directory: Path | None, name: str, in_settings: str) -> tuple[Path, ...]:
    """Return the folders to search, in order: beside the pipeline, the user's, the one of the package.

    `directory` is the pipeline's, None where there is no pipeline. `in_settings` is what the
    folder called `name` elsewhere is called in the user's settings.
    """
    beside = [directory / name] if directory is not None else []
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return (*beside, settings / "sbx" / in_settings, installed(name))


def installed(name: str) -> Path:
    """Return the folder of that name that came with the package."""
    return Path(str(resources.files("scalebox_hpc._data"))) / name
