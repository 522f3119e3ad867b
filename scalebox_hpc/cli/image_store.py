"""Find the image store that a command means: that of a site and of the nearest home."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from scalebox_hpc.cli.options import PIPELINE
from scalebox_hpc.cli.say import remark

if TYPE_CHECKING:
    from scalebox_hpc.containers.images import ImageStore
    from scalebox_hpc.domain.site import Site


def store_of(site_name: str | None) -> ImageStore:
    """The store of a site; default: that of the pipeline here, else `local`. Raises UsageError."""
    from scalebox_hpc.config.site import load_site, search_path, usual_site
    from scalebox_hpc.containers.images import ImageStore
    from scalebox_hpc.containers.runtime import SpythonRuntime
    from scalebox_hpc.containers.store import directory_for

    site = load_site(site_name or usual_site(Path(PIPELINE)), search_path(Path.cwd()))
    if site.ssh is not None:  # images for it are made here; a run puts them there
        site = replace(site, images=None, shared=None)
    directory = directory_for(site.images, _shared(site))
    return ImageStore(directory, SpythonRuntime(site.containers.runtime), say=remark)


def _shared(site: Site) -> Path:
    """The shared folder, made with its home where there is none: a run here will use both."""
    from scalebox_hpc.client import home_here
    from scalebox_hpc.daemon.home import create, make_private, shared_path

    path = home_here(Path.cwd() / PIPELINE)
    if site.images is not None and not path.exists() and os.access(site.images, os.W_OK):
        return path / "shared"  # of no use: the site's own directory is taken
    shared = shared_path(create(path), site.shared)
    make_private(shared, "set `paths.shared` in the site file to a directory that you may write")
    return shared
