"""Find the image store that a command means: that of a site and of the nearest home."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from scalebox_hpc.cli.options import PIPELINE
from scalebox_hpc.cli.say import remark

if TYPE_CHECKING:
    from scalebox_hpc.containers.images import ImageStore
    from scalebox_hpc.domain.site import Site


def store_of(site_name: str | None) -> ImageStore:
    """The store of a site; default: that of the pipeline here, else `local`. Raises UsageError."""
    from scalebox_hpc.config.site import load_site, search_path
    from scalebox_hpc.containers.images import ImageStore
    from scalebox_hpc.containers.runtime import SpythonRuntime
    from scalebox_hpc.containers.store import directory_for

    site = load_site(site_name or _usual_site(), search_path(Path.cwd()))
    directory = directory_for(site.images, _shared(site))
    return ImageStore(directory, SpythonRuntime(site.containers.runtime), say=remark)


def _usual_site() -> str:
    try:
        data = tomllib.loads(Path(PIPELINE).read_text())
    except (OSError, ValueError):
        return "local"
    about = data.get("pipeline")
    name = about.get("site") if isinstance(about, dict) else None
    return name if isinstance(name, str) else "local"


def _shared(site: Site) -> Path:
    """The shared folder, made with its home where there is none: a run here will use both."""
    from scalebox_hpc.client import find_home, home_of_pipeline
    from scalebox_hpc.daemon.home import create, make_private, shared_path
    from scalebox_hpc.errors import DaemonAbsent

    try:
        path = find_home()
    except DaemonAbsent:
        path = home_of_pipeline(Path.cwd() / PIPELINE)
    if site.images is not None and not path.exists() and os.access(site.images, os.W_OK):
        return path / "shared"  # of no use: the site's own directory is taken
    shared = shared_path(create(path), site.shared)
    make_private(shared, "set `paths.shared` in the site file to a directory that you may write")
    return shared
