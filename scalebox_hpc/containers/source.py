"""What a person writes for an image, taken apart: a file, a directory, or the address of one elsewhere.

Nothing is opened here but for the first bytes of a file, to know what it is.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scalebox_hpc.containers import formats
from scalebox_hpc.errors import ImageCorrupt, ImageMissing, ImageProblem, ImageUnreadable

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(//)?(.*)", re.DOTALL)
REGISTRIES: Final = ("docker", "library", "oras", "shub", "http", "https")
ARCHIVES: Final = ("oci-archive", "docker-archive", "oci")
OTHERS: Final = ("docker-daemon",)


@dataclass(frozen=True, slots=True)
class Source:
    """Where an image comes from."""

    text: str  # with paths made absolute: the same image has the same text
    kind: str  # "sif" "squashfs" "sandbox" "def", or the word before the colon of an address
    path: Path | None = None  # of a file or directory here


def source_of(text: str, base: Path) -> Source:
    """Take a text apart; relative paths start at `base`.

    Raises ImageProblem, ImageMissing, ImageUnreadable, ImageCorrupt.
    """
    match = _SCHEME.fullmatch(text)
    if match is not None and not os.path.lexists(base / text):
        return _address(text, match, base)
    path = Path(os.path.abspath(base / Path(text).expanduser()))
    return Source(str(path), kind_of(path), path)


def _address(text: str, match: re.Match[str], base: Path) -> Source:
    scheme, rest = match[1], match[3]
    if scheme in ARCHIVES:
        name, _, tag = f"{match[2] or ''}{rest}".partition(":")
        path = Path(os.path.abspath(base / Path(name).expanduser()))
        _must_be_there(path, text)
        return Source(f"{scheme}:{path}" + (f":{tag}" if tag else ""), scheme, path)
    if scheme in REGISTRIES and not match[2]:
        raise ImageProblem(f"{text} lacks //", f"write {scheme}://{rest}")
    if scheme not in (*REGISTRIES, *OTHERS):
        known = ", ".join((*REGISTRIES, *ARCHIVES, *OTHERS))
        raise ImageProblem(f"{text} has an unknown kind of address", f"kinds of address: {known}")
    return Source(text, scheme)


def _must_be_there(path: Path, name: str) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise missing_or_unreadable(path, error, name) from error


def missing_or_unreadable(path: Path, error: OSError, name: str = "") -> ImageProblem:
    """The error for an image that could not be opened."""
    name = name or str(path)
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        if path.is_symlink():
            return ImageMissing(f"the image {name} is a link to {os.readlink(path)}, which is not there")
        return ImageMissing(f"there is no image {name}", "look at its spelling and directory")
    if error.errno in (errno.EACCES, errno.EPERM):
        return ImageUnreadable(
            f"the image {name} may not be read by you",
            f"ask its owner for `chmod a+r {path}`, and for `a+x` on the directories above it",
        )
    return ImageUnreadable(
        f"the image {name} cannot be read: {error.strerror}", "look at its file system, or copy it elsewhere"
    )


def kind_of(path: Path) -> str:
    """What a file or directory is. Raises ImageMissing, ImageUnreadable, ImageCorrupt."""
    found = _must_be_there(path, str(path))
    if stat.S_ISDIR(found.st_mode):
        if (path / "oci-layout").is_file():
            raise ImageProblem(f"{path} is an OCI layout", f"write oci:{path}")
        return "sandbox"
    if not stat.S_ISREG(found.st_mode):
        raise ImageCorrupt(f"{path} is neither a file nor a directory", "name an image")
    if path.suffix == ".def":
        return "def"
    try:
        with path.open("rb") as file:
            start = file.read(formats.ENOUGH)
    except OSError as error:
        raise missing_or_unreadable(path, error) from error
    kind = formats.kind_of(start)
    if kind == "tar":
        raise ImageProblem(
            f"{path} is a tar archive", f"write oci-archive:{path} or docker-archive:{path}, as it was made"
        )
    if not kind:
        raise ImageCorrupt(
            f"{path} is no image: it begins like none ({_shown(start)})",
            "name a .sif or squashfs file; one cut off at its start has to be copied or pulled again",
        )
    return kind


def _shown(start: bytes) -> str:
    return repr(start[:12].decode("ascii", "replace")) if start else "it is empty"
