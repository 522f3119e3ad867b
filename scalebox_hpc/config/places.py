"""Where settings, site files and standard modules may lie, and paths that people write.

It does not ask whether they are there.
"""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Mapping
from pathlib import Path

from scalebox_hpc import _data


def folders(directory: Path | None, name: str, in_settings: str) -> tuple[Path, ...]:
    """Return the folders to search, in order: beside the pipeline, the user's, the one of the package.

    `directory` is the pipeline's, None where there is no pipeline. `in_settings` is what the
    folder called `name` elsewhere is called in the user's settings.
    """
    beside = [directory / name] if directory is not None else []
    return (*beside, settings_folder() / in_settings, installed(name))


def settings_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of what a person settles for all pipelines."""
    return Path(environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "sbx"


def installed(name: str) -> Path:
    """Return the folder of that name that came with the package."""
    return Path(_data.__path__[0]) / name


def filled(text: str) -> str:
    """Fill `~` and variables of this machine into a path; unknown variables stay as they are."""
    user = re.sub(r"\$(?:USER\b|\{USER\})", getpass.getuser(), text)  # a daemon may have no $USER
    return os.path.expandvars(os.path.expanduser(user))
