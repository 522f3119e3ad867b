"""Where data lies: a site and a path, and how people and messages write it. It asks nobody.

`b:/scratch/x` is a path at site b, `/scratch/x` one on this machine. A text that begins with `"` is a
JSON string of the same, for names that no line of text can hold: with a line end, or not UTF-8.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from dataclasses import dataclass, replace
from typing import Final

from scalebox_hpc.errors import UsageError

_AT_SITE: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]*):(.*)", re.DOTALL)
_UNSPEAKABLE: Final = re.compile("[\0-\x1f\x7f\u0085\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Place:
    """A file or directory at a site. Names are as `os.fsdecode` gives them."""

    site: str  # "": the machine that moves the data
    path: str  # absolute; at a site also `~` or `~/...`: below the home directory there

    @property
    def name(self) -> str:
        """The last part of the path, "" for a home or root directory."""
        return "" if self.path == "~" else posixpath.basename(self.path)

    def __truediv__(self, name: str) -> Place:
        return replace(self, path=posixpath.join(self.path, name))

    def __str__(self) -> str:
        return written(f"{self.site}:{self.path}" if self.site else self.path)


def copy_in(directory: Place, name: str) -> Place:
    """The place of a copy below a directory. Raises UsageError for a path that leads elsewhere."""
    if not name or ".." in name.split("/"):
        raise UsageError(f"{name!r} is no name for a copy in {directory}", "name the copy itself")
    return directory / name


def lies_in(path: str, root: str) -> bool:
    """Whether a path is a directory or, by its name, below it. Both are absolute and tidy."""
    return f"{path}/".startswith(root.rstrip("/") + "/")


def written(text: str) -> str:
    """A place or a name as one line of text: a JSON string where it could not be read back as it is."""
    return json.dumps(text) if text.startswith('"') or _UNSPEAKABLE.search(text) else text


def plain(text: str) -> str:
    """What `written` made a line of. Raises UsageError."""
    if not text.startswith('"'):
        return text
    try:
        value = json.loads(text)
    except ValueError as error:
        fact = f"{text} begins as a JSON string and is none: {error}"
        raise UsageError(fact, 'write ./ before a name that begins with "') from error
    if not isinstance(value, str):
        raise UsageError(f"{text} is no JSON string", "write SITE:PATH or PATH")
    return value


def read_place(text: str, base: Place | None = None) -> Place:
    """Read `SITE:PATH` or `PATH`; a relative path is below `base`. Raises UsageError.

    Without `base` it is below the home directory of its site, and on this machine below the current one.
    """
    whole = plain(text)
    match = _AT_SITE.fullmatch(whole)
    site, path = (match[1], match[2]) if match else ("", whole)
    if not whole or not is_path(path):
        raise UsageError(f"{text!r} names no place", "write SITE:PATH or PATH")
    if base is not None and not match and not _is_anchored(path):
        return _tidy(base / path)
    if not site:
        path = os.path.abspath(os.path.expanduser(path))
    elif not _is_anchored(path):
        path = posixpath.join("~", path)
    return _tidy(Place(site, path))


def is_relative(text: str) -> bool:
    """Whether a text names a place only together with another one. Raises UsageError."""
    whole = plain(text)
    return not _AT_SITE.fullmatch(whole) and not _is_anchored(whole)


def is_path(text: str) -> bool:
    """Whether a file could be called so: no NUL, and nothing that could not come from `os.fsdecode`."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _is_anchored(path: str) -> bool:
    return path.startswith("/") or path == "~" or path.startswith("~/")


def _tidy(place: Place) -> Place:
    """No slash at the end, none twice, no `.`; `..` stays, for links lead where they lead."""
    parts = [part for part in place.path.split("/") if part not in ("", ".")]
    start = "/" if place.path.startswith("/") else ""
    return replace(place, path=start + "/".join(parts) or "/")
