"""The image store: makes sure that an image is there, whole and for this kind of processor.

Each image is fetched once, whoever asks, and kept by its content: a run goes on with what it began
with, whatever becomes of the file or the tag. It does not run anything.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from scalebox_hpc.containers import formats, sandbox
from scalebox_hpc.containers.definition import definition_seen
from scalebox_hpc.containers.flight import WAIT_S, Say, alone
from scalebox_hpc.containers.runtime import Runtime, SpythonRuntime
from scalebox_hpc.containers.source import Source, missing_or_unreadable, source_of
from scalebox_hpc.containers.store import REMEDY, Reference, Shelf, Stored, digest_of, key_of
from scalebox_hpc.disk import problem_with
from scalebox_hpc.domain.image import Image
from scalebox_hpc.errors import ImageCorrupt, ImageMissing, ImageProblem, WrongArchitecture
from scalebox_hpc.holder import Processes, ProcFs

PIECE_BYTES: Final = 1 << 20
_FILES: Final = ("sif", "squashfs")
_LEAST_PREFIX: Final = 6  # hex digits that name an image


def _nothing(text: str) -> None:
    del text


class ImageStore:
    """Images of one directory. Safe for any number of processes, threads and hosts at once."""

    def __init__(
        self,
        directory: Path,
        runtime: Runtime | None = None,
        *,
        say: Say = _nothing,
        processes: Processes | None = None,
        machine: str = "",
        wait_s: float = WAIT_S,
    ) -> None:
        """`machine`: for which processor, as uname says it; default: this one."""
        self.shelf = Shelf(Path(os.path.abspath(directory)))
        self._runtime = runtime or SpythonRuntime()
        self._say, self._processes, self._wait_s = say, processes or ProcFs(), wait_s
        self._here = formats.arch_of_machine(machine or os.uname().machine)

    def ensure(self, text: str, base: Path, *, refresh: bool = False, no_https: bool = False) -> Image:
        """Return the image that `text` names, fetched first where the store lacks it.

        Relative paths start at `base`. An address of a registry means what it meant when it was last
        fetched, until `refresh`. Raises ImageProblem, RuntimeAbsent, RegistryUnreachable,
        StorageFull, EnvironmentProblem.
        """
        source = source_of(text, base)
        return self._known(source, refresh=refresh) or self._fetch(source, refresh, no_https)

    def find(self, text: str, base: Path) -> Image | None:
        """What the store has for `text`, without fetching; None where it has nothing. Raises ImageProblem."""
        return self._known(source_of(text, base), refresh=False)

    def build(self, text: str, base: Path, *, refresh: bool = False) -> Image:
        """Like `ensure`, but a sandbox becomes a file of the store too."""
        source = source_of(text, base)
        if source.kind != "sandbox":
            return self._known(source, refresh=refresh) or self._fetch(source, refresh, False)
        packed = Source(f"sandbox:{source.text}", "sandbox", source.path)
        return (None if refresh else self._remembered(packed)) or self._fetch(packed, refresh, False)

    def _known(self, source: Source, *, refresh: bool) -> Image | None:
        if source.kind == "sandbox":
            return self._sandbox(source)
        if source.path is not None and (digest := self.shelf.own(source.path)) is not None:
            look = formats.look(source.path)
            return self._fit(Image(source.text, digest, look.kind, look.arch, source.text))
        return None if refresh else self._remembered(source)

    def _remembered(self, source: Source) -> Image | None:
        reference = self.shelf.recall(source.text)
        if reference is None or reference.seen != _seen(source):
            return None
        image = self.shelf.image_of(reference)
        return None if image is None else self._fit(image)

    def _fit(self, image: Image) -> Image:
        if not formats.runs_on(image.arch, self._here):
            raise WrongArchitecture(
                f"the image {image.source} is for {image.arch} processors, and this machine has {self._here}",
                f"build or pull it for {self._here}",
            )
        return image

    def _sandbox(self, source: Source) -> Image:
        """A directory, used where it is; its files are read again only where they seem to have changed."""
        assert source.path is not None
        try:
            seen = sandbox.tree_seen(source.path)
            known = self.shelf.recall(source.text)
            if known is None or known.seen != seen:
                arch, digest = sandbox.arch_of_tree(source.path), sandbox.tree_digest(source.path)
                known = Reference(source.text, digest, "", arch, _now_us(), seen)
                self.shelf.remember(known)
        except OSError as error:
            raise missing_or_unreadable(source.path, error) from error
        return self._fit(Image(source.text, known.digest, "sandbox", known.arch, source.text))

    def _fetch(self, source: Source, refresh: bool, no_https: bool) -> Image:
        asked_us = _now_us()
        key = key_of(source.text)
        with alone(self.shelf.lock(key), source.text, self._processes, self._say, self._wait_s):
            known = self.shelf.recall(source.text)
            if known is not None and (not refresh or known.at_us >= asked_us):
                image = self._remembered(source)
                if image is not None:
                    return image
            temporary = self.shelf.temporary(key)
            try:
                return self._made(source, temporary, no_https)
            except OSError as error:
                raise problem_with(temporary, error, "write", REMEDY) from error
            finally:
                temporary.unlink(missing_ok=True)

    def _made(self, source: Source, temporary: Path, no_https: bool) -> Image:
        seen = _seen(source)
        if source.kind in _FILES:
            assert source.path is not None
            digest = _copy(source.path, temporary)
        else:
            self._say(f"making {source.text}")
            self._runtime.make(source, temporary, no_https=no_https)
            digest = digest_of(temporary)
        look = formats.look(temporary, source.text)
        self._fit(Image("", digest, look.kind, look.arch, source.text))
        if seen != _seen(source):
            raise ImageProblem(f"{source.text} changed while it was read", "try again when it is at rest")
        path = self.shelf.keep(temporary, digest, look)
        self.shelf.remember(Reference(source.text, digest, path.name, look.arch, _now_us(), seen))
        return Image(str(path), digest, look.kind, look.arch, source.text)

    def stored(self, text: str, base: Path) -> Stored:
        """The file that a digest, its beginning, a path or a source names. Raises ImageMissing."""
        everything = self.shelf.all()
        wanted = text.removeprefix("sha256:").removeprefix("sha256-")
        names = {text, os.path.abspath(base / text), text.replace("://", ":")}
        found = [each for each in everything if each.path in names or names & set(each.sources)]
        if not found and len(wanted) >= _LEAST_PREFIX:
            found = [each for each in everything if each.digest.removeprefix("sha256:").startswith(wanted)]
        if len(found) == 1:
            return found[0]
        fact = f"{text} means {len(found)} images" if found else f"the store has no image {text}"
        raise ImageMissing(f"{fact} ({self.shelf.directory})", "`sbx image ls` lists what there is")

    def verify(self, stored: Stored) -> None:
        """Read an image of the store completely. Raises ImageCorrupt, ImageUnreadable."""
        path = Path(stored.path)
        try:
            formats.look(path)
            if digest_of(path) != stored.digest:
                raise ImageCorrupt(
                    f"the image {path} is damaged: its content is not that of its name",
                    f"`sbx image rm {stored.digest[:19]}`, then pull or build it again",
                )
        except OSError as error:
            raise missing_or_unreadable(path, error) from error

    def inspect(self, path: str) -> dict[str, Any]:
        """Labels, definition and the like, as the runtime tells them; empty where there is none."""
        return self._runtime.inspect(Path(path))


def describe(text: str, base: Path) -> dict[str, Any]:
    """What an image file or sandbox is, read from itself. Raises ImageProblem."""
    source = source_of(text, base)
    path = source.path
    if path is None or source.kind not in (*_FILES, "sandbox"):
        raise ImageMissing(f"the store has nothing for {text}", f"`sbx image pull {text}` fetches it")
    try:
        if source.kind == "sandbox":
            arch, digest = sandbox.arch_of_tree(path), sandbox.tree_digest(path)
            return {"path": str(path), "digest": digest, "kind": "sandbox", "arch": arch}
        look = formats.look(path)
        about = {"path": str(path), "digest": digest_of(path), "kind": look.kind, "arch": look.arch}
    except OSError as error:
        raise missing_or_unreadable(path, error) from error
    return {**about, "size_bytes": look.size, "sections": [asdict(each) for each in look.sections]}


def _copy(path: Path, temporary: Path) -> str:
    """Copy an image and return its digest: it is read once."""
    content = hashlib.sha256()
    try:
        source = path.open("rb")
    except OSError as error:
        raise missing_or_unreadable(path, error) from error
    with source, temporary.open("xb") as copy:
        while piece := source.read(PIECE_BYTES):
            content.update(piece)
            copy.write(piece)
    return f"sha256:{content.hexdigest()}"


def _seen(source: Source) -> str:
    """What a source looks like from outside; it changes whenever the source may have changed."""
    path = source.path
    if path is None:
        return ""
    try:
        if source.kind == "def":
            return definition_seen(path)
        return sandbox.tree_seen(path) if path.is_dir() else _file_seen(path.stat())
    except OSError as error:
        raise missing_or_unreadable(path, error, source.text) from error


def _file_seen(found: os.stat_result) -> str:
    return f"{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}:{found.st_ino}"


def _now_us() -> int:
    return time.time_ns() // 1000
