"""Find the files beside pipeline.toml that go with a module: name, digest, whether they can run.

It reads and hashes; the copying is done when the run is submitted.
"""

from __future__ import annotations

import hashlib
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from scalebox_hpc.config.command import Run
from scalebox_hpc.config.notes import Notes, did_you_mean
from scalebox_hpc.config.toml_lines import KeyPath
from scalebox_hpc.domain.pipeline import CONTRACT_FILES, ShippedFile
from scalebox_hpc.units import show_size

MOST_BYTES: Final = 64 << 20
_BLOCK: Final = 1 << 20
_NAMES: Final = re.compile(rb"SBX_(?:BODY|BODIES|HEADER|MEMBERS|PARAM_[A-Z0-9_]+)")


@dataclass(frozen=True, slots=True)
class FileLook:
    """One file once read: how it is shipped, and which of our variables it mentions."""

    shipped: ShippedFile
    mentions: frozenset[str]


@dataclass(slots=True)
class Shelf:
    """The files of one directory, the pipeline's or a standard module's; each is read once."""

    directory: Path
    notes: Notes
    _looks: dict[str, FileLook] = field(default_factory=dict)

    def of_run(self, run: Run, path: KeyPath) -> tuple[FileLook, ...]:
        """Return the files that the words of a `run` name; `path` is where it stands."""
        found: dict[str, FileLook] = {}
        for word in run.words:
            if word.plain and word.place != "target":
                found |= self._of_word(word.text, path)
        return tuple(found.values())

    def of_key(self, name: str, path: KeyPath) -> tuple[FileLook, ...]:
        """Return the file that an item of `files` names: one, or none when it was noted."""
        return tuple(self._of_key(name, path).values())

    def bin(self) -> tuple[FileLook, ...]:
        """Return the files of `bin/` beside the pipeline; hidden ones and directories stay behind."""
        folder = self.directory / "bin"
        if not folder.is_dir():
            return ()
        looks: list[FileLook] = []
        for path in sorted(folder.iterdir()):
            if path.name.startswith(".") or not path.is_file():
                continue
            if path.stat().st_size > MOST_BYTES:
                self.notes.problem(
                    (), f"bin/{path.name} is larger than {show_size(MOST_BYTES)}", "move it out of bin/"
                )
                continue
            look = self._look(path.name, path, ())
            if look is not None:
                looks.append(look)
            if look is not None and not look.shipped.executable:
                self.notes.warn((), f"bin/{path.name} is not executable", f"chmod +x bin/{path.name}")
        return tuple(looks)

    def _of_word(self, word: str, path: KeyPath) -> dict[str, FileLook]:
        if not word or len(word) > 1024 or word.startswith(("/", "~", "-")) or "\n" in word:
            return {}
        try:
            source = self.directory / word
            if source.is_dir():
                self._warn_of_directory(word, path)
                return {}
            if not source.is_file():
                return {}
            size = source.stat().st_size
        except OSError:  # a word that no file can be called
            return {}
        name = normal_name(word)
        if name is None:
            remedy = f'write "$SBX_PIPELINE"/{word}, or move it beside pipeline.toml'
            self.notes.warn(path, f"{word} lies outside the pipeline's directory and is not shipped", remedy)
            return {}
        if size > MOST_BYTES:
            remedy = f'write "$SBX_PIPELINE"/{name}'
            self.notes.warn(path, f"{name} is larger than {show_size(MOST_BYTES)} and is not shipped", remedy)
            return {}
        return self._take(name, source, path)

    def _of_key(self, word: str, path: KeyPath) -> dict[str, FileLook]:
        name = normal_name(word)
        if name is None or Path(word).is_absolute():
            remedy = "name a file below the pipeline's directory; read others by their full path"
            self.notes.problem(path, f"{word} lies outside the pipeline's directory", remedy)
            return {}
        source = self.directory / name
        if source.is_dir():
            remedy = 'list its files, or read it as "$SBX_PIPELINE"/' + name
            self.notes.problem(path, f"{word} is a directory, and only files are shipped", remedy)
        elif not source.is_file():
            beside = sorted(item.name for item in self.directory.iterdir() if item.is_file())
            remedy = did_you_mean(name, beside) or "names are relative to the pipeline's directory"
            self.notes.problem(path, f"there is no file {word}", remedy)
        elif source.stat().st_size > MOST_BYTES:
            remedy = f'read it where it is: "$SBX_PIPELINE"/{name}'
            self.notes.problem(path, f"{word} is larger than {show_size(MOST_BYTES)}", remedy)
        else:
            return self._take(name, source, path)
        return {}

    def _take(self, name: str, source: Path, path: KeyPath) -> dict[str, FileLook]:
        if name in CONTRACT_FILES or name.split("/", maxsplit=1)[0] == "publish":
            remedy = "move it away or call it otherwise: programs write that name in their work directory"
            self.notes.problem(path, f"{name} lies beside the pipeline and cannot be shipped", remedy)
            return {}
        look = self._look(name, source, path)
        return {} if look is None else {name: look}

    def _look(self, name: str, source: Path, path: KeyPath) -> FileLook | None:
        key = str(source)
        if key not in self._looks:
            try:
                self._looks[key] = _read(name, source)
            except OSError as error:
                self.notes.problem(
                    path, f"{name} cannot be read: {error.strerror}", "look at its permissions"
                )
                return None
        return self._looks[key]

    def _warn_of_directory(self, word: str, path: KeyPath) -> None:
        if "/" in word and normal_name(word) not in (None, "."):
            remedy = f'write "$SBX_PIPELINE"/{normal_name(word)}, or name its files'
            self.notes.warn(path, f"{word} is a directory beside the pipeline and is not shipped", remedy)


def _read(name: str, source: Path) -> FileLook:
    digest, names, tail = hashlib.sha256(), set[str](), b""
    with source.open("rb") as stream:
        mode = source.stat().st_mode
        while block := stream.read(_BLOCK):
            digest.update(block)
            names.update(match.decode() for match in _NAMES.findall(tail + block))
            tail = block[-64:]
    executable = bool(mode & (stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH))
    return FileLook(
        ShippedFile(name, str(source.resolve()), digest.hexdigest(), executable), frozenset(names)
    )


def normal_name(word: str) -> str | None:
    """Return a relative name without `.` and `..`, None when it leads out of the directory.

    >>> normal_name("./a/../b.py"), normal_name("../b.py")
    ('b.py', None)
    """
    parts: list[str] = []
    for part in PurePosixPath(word).parts:
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part != "/":
            parts.append(part)
    return "/".join(parts) or "."


def near_name(file: Path) -> str:
    """Return a remedy that names the file beside a missing one that is called most like it; "" for none."""
    names = [item.name for item in file.parent.iterdir() if item.is_file()] if file.parent.is_dir() else []
    return did_you_mean(file.name, names)


def mentions(text: str) -> frozenset[str]:
    """Return which of our variables a text mentions.

    >>> sorted(mentions("echo $SBX_BODY $SBX_PARAM_LIMIT $SBX_WORK"))
    ['SBX_BODY', 'SBX_PARAM_LIMIT']
    """
    return frozenset(match.decode() for match in _NAMES.findall(text.encode()))
