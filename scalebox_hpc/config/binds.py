"""Read `binds`: what of the host a module's container sees, `SOURCE[:TARGET[:ro|rw]]`.

Looks whether a source is there, as far as this machine can tell; it binds nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from scalebox_hpc.config.notes import did_you_mean
from scalebox_hpc.config.table import Table
from scalebox_hpc.config.toml_lines import KeyPath
from scalebox_hpc.domain.container import Bind

MODES: Final = ("rw", "ro")
_OF_A_NODE: Final = ("/dev", "/proc", "/sys", "/run", "/tmp", "/var")
_FORM: Final = 'write "/source", "/source:/target" or "/source:/target:ro"'


@dataclass(frozen=True, slots=True)
class Sight:
    """What this machine can know of the paths of a site."""

    directory: Path | None  # the pipeline's, which every node sees; None: there is none
    is_here: bool  # tasks run on this machine
    is_remote: bool = False  # nothing of the site can be seen from here

    def lacks(self, path: Path) -> bool | None:
        """Tell whether `path` is missing where tasks run; None where that cannot be known here.

        A missing path is known to be missing on this machine, below the pipeline's directory,
        and on a mounted file system: the root file system and /dev, /tmp and their like may
        differ on a compute node.
        """
        if self.is_remote:
            return None
        nearest = _nearest(path)
        if nearest == path:
            return False
        if nearest is None:
            return None
        if self.is_here or (self.directory is not None and path.is_relative_to(self.directory)):
            return True
        is_of_a_node = any(path.is_relative_to(folder) for folder in _OF_A_NODE)
        is_mounted = nearest.stat().st_dev != os.stat("/").st_dev
        return True if is_mounted and not is_of_a_node else None


def _nearest(path: Path) -> Path | None:
    """Return the longest part of an absolute path that exists; None where one may not look."""
    for part in (path, *path.parents):
        try:
            part.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return None
        return part
    return None


def read_binds(
    owner: Table, fill: Callable[[str, KeyPath], str], base: Callable[[KeyPath], Path | None], sight: Sight
) -> tuple[Bind, ...]:
    """Read the key `binds`; those that are wrong are noted and left out.

    `fill` fills in parameters or variables; `base` says what a relative source is relative to,
    None where it must be absolute.
    """
    found: dict[str, Bind] = {}
    for index, text in enumerate(owner.texts("binds")):
        path = owner.at("binds", index)
        before = len(owner.notes.problems)
        full = fill(text, path)
        if len(owner.notes.problems) > before:
            continue
        try:
            bind = _read(full, base(path))
            _check_source(Path(bind.source), sight)
        except _Doubtful as doubt:
            owner.notes.warn(path, doubt.fact, doubt.remedy)
        except _Wrong as wrong:
            owner.notes.problem(path, wrong.fact, wrong.remedy)
            continue
        if bind.target in found:
            owner.notes.problem(path, f"{bind.target} is bound twice", "take one of them out")
        found[bind.target] = bind
    return tuple(found.values())


class _Wrong(ValueError):
    """A bind that cannot be, and what to write instead."""

    def __init__(self, fact: str, remedy: str) -> None:
        super().__init__(fact)
        self.fact, self.remedy = fact, remedy


class _Doubtful(_Wrong):
    """A bind that this machine cannot judge."""


def _read(text: str, base: Path | None) -> Bind:
    source_text, *rest = text.split(":")
    source = _source(source_text, base)
    if rest and rest[0] in MODES:
        raise _Wrong(f"{text} lacks its target", f'write "{source}:{source}:{rest[0]}"')
    if len(rest) > 2:
        raise _Wrong(f"{text} is no bind", _FORM)
    mode = rest[1] if len(rest) == 2 else "rw"
    if mode not in MODES:
        fact = f"{text} ends in {mode!r}, which is neither ro nor rw"
        raise _Wrong(fact, did_you_mean(mode, MODES, "modes"))
    return Bind(source, _target(rest[0]) if rest else source, mode)


def _source(text: str, base: Path | None) -> str:
    if not text or "\n" in text:
        raise _Wrong("names no source", _FORM)
    if "$" in text:
        raise _Wrong(
            f"{text} has a variable that is not filled in", "write the path in full, or {params.NAME}"
        )
    full = os.path.expanduser(text)
    if not full.startswith("/") and base is None:
        raise _Wrong(f"{text} is not an absolute path", "begin it with / or ~")
    return _clean(str((base or Path("/")) / full))


def _target(text: str) -> str:
    if not text.startswith("/") or ".." in PurePosixPath(text).parts or "\n" in text:
        raise _Wrong(f"{text or 'the target'} is no absolute path in the container", _FORM)
    if _clean(text) == "/":
        raise _Wrong("nothing can be bound over /", "name a directory below it")
    return _clean(text)


def _clean(path: str) -> str:
    """Normalise an absolute path; two slashes at its start, which POSIX lets stand, become one."""
    return "/" + os.path.normpath(path).lstrip("/")


def _check_source(source: Path, sight: Sight) -> None:
    match sight.lacks(source):
        case True:
            names = [str(item) for item in source.parent.iterdir()] if source.parent.is_dir() else []
            raise _Wrong(
                f"there is no {source}", did_you_mean(str(source), names) or "make it, or correct the path"
            )
        case None:
            remedy = "a task whose node lacks it too fails with cause `launch`"
            raise _Doubtful(f"whether there is {source} cannot be seen from this machine", remedy)
