"""The files of an image store: images by their digest, and what each source was when it was fetched.

```
<store>/sha256-<hex>.sif      an image, read-only (.sqfs: a plain squashfs file)
<store>/.refs/<key>.json      what a source is known to be: digest, time, and what it looked like
<store>/.locks/<key>          who fetches it
<store>/.tmp/<key>.<random>   half fetched; the next one who fetches it removes what a crash left
```

It fetches nothing. Whoever may read the directory may use what is in it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from scalebox_hpc.containers import formats
from scalebox_hpc.disk import problem_with, sync, write_whole
from scalebox_hpc.domain.image import Image
from scalebox_hpc.errors import ImageCorrupt

OLD_NS: Final = 24 * 3600 * 10**9  # nothing is fetched for that long
SUFFIXES: Final = {"sif": ".sif", "squashfs": ".sqfs"}
REMEDY: Final = "check who owns the image store, and whether there is room; `paths.images` sets its place"
_NAME: Final = re.compile(r"sha256-([0-9a-f]{64})\.(sif|sqfs)")


@dataclass(frozen=True, slots=True)
class Reference:
    """What a source was known to be when it was last fetched."""

    source: str
    digest: str
    name: str  # of the file in the store; "" for a sandbox
    arch: str
    at_us: int
    seen: str = ""  # what the source looked like from outside; "": it cannot be seen


@dataclass(frozen=True, slots=True)
class Stored:
    """One file of the store."""

    path: str
    digest: str
    kind: str
    arch: str
    size_bytes: int
    at_us: int  # when it came
    sources: tuple[str, ...]
    problem: str = ""  # why it cannot be used


class Shelf:
    """The directory of a store."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def lock(self, key: str) -> Path:
        """The lock of a source; its folder is made."""
        return self._folder(".locks") / key

    def _folder(self, name: str) -> Path:
        path = self.directory / name
        try:
            path.mkdir(mode=0o755, parents=True, exist_ok=True)
        except OSError as error:
            raise problem_with(path, error, "make the directory", REMEDY) from error
        return path

    def temporary(self, key: str) -> Path:
        """A new name for a half-fetched image; what crashes left of this source, or days ago, is removed."""
        folder = self._folder(".tmp")
        for left in folder.iterdir():
            if left.name.startswith(f"{key}.") or _is_old(left):
                left.unlink(missing_ok=True)
        return folder / f"{key}.{secrets.token_hex(4)}.sif"

    def image_of(self, reference: Reference) -> Image | None:
        """The image that a source was known to be; None where it is no longer there whole."""
        path = self.directory / reference.name
        try:
            kind = formats.look(path).kind
        except (OSError, ImageCorrupt):
            return None
        return Image(str(path), reference.digest, kind, reference.arch, reference.source)

    def keep(self, temporary: Path, digest: str, look: formats.Look) -> Path:
        """Put a fetched image in its place; one that is there already and whole stays."""
        target = self.directory / f"sha256-{digest.removeprefix('sha256:')}{SUFFIXES[look.kind]}"
        try:
            if _is_whole(target, look):
                temporary.unlink()
                return target
            temporary.chmod(0o444)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, target)
            sync(self.directory)
        except OSError as error:
            raise problem_with(target, error, "write", REMEDY) from error
        return target

    def recall(self, source: str) -> Reference | None:
        """What a source is known to be; None where nothing is known, or what is known cannot be read."""
        try:
            return Reference(**json.loads(self._reference(source).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def remember(self, reference: Reference) -> None:
        path = self._folder(".refs") / self._reference(reference.source).name
        try:
            write_whole(path, json.dumps(asdict(reference)), 0o644)
        except OSError as error:
            raise problem_with(path, error, "write", REMEDY) from error

    def _reference(self, source: str) -> Path:
        return self.directory / ".refs" / f"{key_of(source)}.json"

    def references(self) -> list[Reference]:
        """All that can be read, in the order of their sources."""
        found = []
        for path in (self.directory / ".refs").glob("[!.]*.json"):
            try:
                found.append(Reference(**json.loads(path.read_text())))
            except (OSError, ValueError, TypeError):
                continue  # removed meanwhile, or of another version: fetched anew when it is asked for
        return sorted(found, key=lambda each: each.source)

    def all(self) -> list[Stored]:
        """Every image of the store, the newest first. Raises EnvironmentProblem."""
        sources: dict[str, list[str]] = {}
        for reference in self.references():
            sources.setdefault(reference.digest, []).append(reference.source)
        found = [self._stored(path, digest, sources.get(digest, ())) for path, digest in self._files()]
        return sorted(found, key=lambda each: (-each.at_us, each.digest))

    def _files(self) -> Iterator[tuple[Path, str]]:
        try:
            names = os.listdir(self.directory)
        except FileNotFoundError:
            return
        except OSError as error:
            raise problem_with(self.directory, error, "read", REMEDY) from error
        for name in names:
            if match := _NAME.fullmatch(name):
                yield self.directory / name, f"sha256:{match[1]}"

    def _stored(self, path: Path, digest: str, sources: list[str] | tuple[str, ...]) -> Stored:
        kind = next(kind for kind, suffix in SUFFIXES.items() if suffix == path.suffix)
        arch, problem, size, at_us = "", "", 0, 0
        try:
            found = path.stat()
            size, at_us = found.st_size, found.st_mtime_ns // 1000
            arch = formats.look(path).arch
        except OSError as error:
            problem = f"cannot be read: {error.strerror}"
        except ImageCorrupt as error:
            problem = error.fact
        return Stored(str(path), digest, kind, arch, size, at_us, tuple(sources), problem)

    def own(self, path: Path) -> str | None:
        """The digest of a file of this store, by its name; None for any other file."""
        match = _NAME.fullmatch(path.name)
        if match is None or not _same(path.parent, self.directory):
            return None
        return f"sha256:{match[1]}"

    def remove(self, stored: Stored) -> None:
        """Forget an image and all that its sources were known to be. Raises EnvironmentProblem."""
        try:
            for reference in self.references():
                if reference.digest == stored.digest:
                    self._reference(reference.source).unlink(missing_ok=True)
            Path(stored.path).unlink(missing_ok=True)
        except OSError as error:
            raise problem_with(Path(stored.path), error, "remove", REMEDY) from error


def key_of(source: str) -> str:
    """A name for files about a source."""
    return hashlib.sha256(os.fsencode(source)).hexdigest()[:32]


def digest_of(path: Path) -> str:
    """The digest of a file's bytes. Raises OSError."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _is_whole(target: Path, look: formats.Look) -> bool:
    try:
        return formats.look(target).size == look.size
    except (OSError, ImageCorrupt):
        return False


def _is_old(path: Path) -> bool:
    try:
        return time.time_ns() - path.stat().st_mtime_ns > OLD_NS
    except OSError:
        return False


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def directory_for(images: str | None, shared: Path) -> Path:
    """Where a site's images are kept: `paths.images` if writable, else `images` in the shared folder."""
    if images is None:
        return shared / "images"
    path = Path(images)
    nearest = next(each for each in (path, *path.parents) if each.exists())
    return path if os.access(nearest, os.W_OK | os.X_OK) else shared / "images"
