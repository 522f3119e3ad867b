"""Read the key `image`: a file, or the address of an image somewhere else.

It looks only whether a file is there; whether it is an image the container runtime says.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from scalebox_hpc.config.notes import did_you_mean
from scalebox_hpc.config.table import Table
from scalebox_hpc.config.templates import Filler
from scalebox_hpc.domain.site import Site

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(//)?")
_ADDRESSES: Final = ("docker", "library", "oras", "shub", "http", "https")
_FILES: Final = ("oci-archive", "docker-archive", "oci")  # what follows is a path
_OTHERS: Final = ("docker-daemon",)


def read_image(module: Table, filler: Filler, directory: Path, site: Site | None) -> str | None:
    """Return the absolute path or the address; None when the module runs on the bare host.

    A relative path is looked for beside the pipeline, then in the site's `paths.images` where that is here.
    """
    text = module.text("image")
    if text is None:
        return None
    text = filler.text(text, module.at("image"))
    if not text:
        module.problem("image", "is empty", "take it out to run on the bare host")
        return None
    match = _SCHEME.match(text)
    if match is not None and not _is_there(directory / text):
        return _address(module, text, match, directory)
    return _file(module, text, directory, site)


def _address(module: Table, text: str, match: re.Match[str], directory: Path) -> str:
    scheme = match[1]
    if scheme in _FILES:
        rest = text[match.end() :]
        return f"{scheme}:{rest}" if rest.startswith("/") else f"{scheme}:{directory / rest}"
    if scheme not in (*_ADDRESSES, *_OTHERS):
        remedy = did_you_mean(scheme, (*_ADDRESSES, *_FILES, *_OTHERS), "kinds of address")
        module.problem("image", f"{text} has an unknown kind of address", remedy)
    elif scheme in _ADDRESSES and not match[2]:
        module.problem("image", f"{text} lacks //", f"write {scheme}://{text[match.end() :]}")
    return text


def _is_there(path: Path) -> bool:
    """What we may not look at counts as there: whoever makes sure of the image says why it is of no use."""
    try:
        path.stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def _file(module: Table, text: str, directory: Path, site: Site | None) -> str:
    is_here = site is not None and site.ssh is None
    folders = [directory] + ([Path(site.images)] if is_here and site is not None and site.images else [])
    candidates = [folder / Path(text).expanduser() for folder in folders]
    for path in candidates:
        if _is_there(path):
            return str(path)
    near = [item.name for folder in folders if folder.is_dir() for item in folder.glob("*.s?f")]
    remedy = did_you_mean(Path(text).name, near) or f"looked for {' and '.join(map(str, candidates))}"
    if "/" in text and not text.startswith((".", "/", "~")) and ":" in text:
        remedy = f"for an image of a registry write docker://{text}"
    module.problem("image", f"there is no file {text}", remedy)
    return str(candidates[0])
