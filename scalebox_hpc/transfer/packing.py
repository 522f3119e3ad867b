"""The standard module `pack`: many files of a directory become archives of a bounded size, at the same site.

Each archive holds the checksums of its files, taken before; a file that changed meanwhile is packed again.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from scalebox_hpc.errors import UsageError
from scalebox_hpc.transfer.causes import Cause, TransferFailed, cause_of_command
from scalebox_hpc.transfer.copy import Copied
from scalebox_hpc.transfer.copying import headers_of, read_body
from scalebox_hpc.transfer.ends import Known
from scalebox_hpc.transfer.opening import end_at
from scalebox_hpc.transfer.place import Place, lies_in
from scalebox_hpc.transfer.plan import Entry, folder
from scalebox_hpc.transfer.sizing import cut, read_sizes
from scalebox_hpc.transfer.streams import Streams
from scalebox_hpc.transfer.task import Message, Task
from scalebox_hpc.units import show_count, show_size

ROUNDS: Final = 3  # times that an archive is made of files that change
SUFFIX: Final = ".tar.zst"
HASH: Final = "sha256"  # the one that every site has
_USUAL_LEVEL: Final = 3


@dataclass(frozen=True, slots=True)
class Archive:
    """One that was made."""

    itself: Copied  # its name is its place
    files: int
    content_bytes: int


def run(task: Task) -> None:
    """Pack what the body names. Raises TransferFailed, UsageError."""
    wanted, target = read_body(task.body, task.place("FROM")), task.place("TO")
    if target is None:
        raise UsageError("nothing says where the archives go", 'write env = { TO = "SITE:DIRECTORY" }')
    if target.site != wanted.source.site:
        hint = "pack at one site, and let `copy` move the archives"
        raise UsageError(f"{wanted.source} and {target} are at two sites", hint)
    sizes, level = read_sizes(task), _level(task.text("LEVEL"))
    end = end_at(target.site, task.find_site)
    try:
        need_tools(end)
        if wanted.names is None:
            _refuse_within(end, wanted.source, target)
        entries = _entries(end, wanted.source, wanted.names)
        made: list[Archive] = []
        watch = task.watch()
        watch.expect(sum(each.size_bytes for each in entries))
        temporary = posixpath.join(end.full(target.path), folder(wanted.source, target, wanted.names or ()))
        with Streams({}).alone(f"{target.site}:{temporary}"):
            for part in cut(entries, sizes):
                made.append(_pack(end, wanted.source, part, target, temporary, level))
                watch.report(made[-1].itself.name, made[-1].content_bytes)
        watch.end()
    finally:
        end.close()
    task.send_all(_messages(wanted.source, made))
    content, size = sum(each.content_bytes for each in made), sum(each.itself.size_bytes for each in made)
    task.tell(_summary(made), content, size)


def _level(text: str) -> int:
    if not text:
        return _USUAL_LEVEL
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 19):
        raise UsageError(f"LEVEL = {text!r} is no level of zstd", "write 1, for fast, to 19, for small")
    return int(text)


def need_tools(end: Known) -> None:
    """Raise TransferFailed where tar or zstd is missing."""
    missing = end.ask("tools")
    if missing:
        raise TransferFailed(
            Cause.TOOL, f"{end.title}: there is no {' and no '.join(missing)}", "install it there"
        )


def _refuse_within(end: Known, source: Place, target: Place) -> None:
    """Refuse to put archives among what is packed: the next try would pack them, too."""
    if lies_in(end.full(target.path), end.full(source.path)):
        raise UsageError(f"{target} lies in {source}, all of which is packed", "name a TO outside of it")


def _entries(end: Known, source: Place, names: Sequence[str] | None) -> list[Entry]:
    """What is to be packed: files, links and directories, in the order in which a walk meets them."""
    root = end.full(source.path)
    (shown,) = end.ask("look", [root])
    if shown is None or shown[0] != "d":
        raise TransferFailed(Cause.MISSING, f"{end.title}: there is no directory {root}")
    if names is None:
        found = [Entry(*each) for each in end.ask("walk", root)]
    else:
        shown = end.ask("survey", root, list(names))
        missing = [name for name, each in zip(names, shown, strict=True) if each is None]
        if missing:
            raise TransferFailed(Cause.MISSING, f"{end.title}: not in {root}: {', '.join(missing[:5])}")
        found = [Entry(name, *each) for name, each in zip(names, shown, strict=True)]
    odd = [each.name for each in found if each.kind == "o"]
    if odd:
        raise TransferFailed(Cause.OTHER, f"{end.title}: neither file nor directory: {', '.join(odd[:5])}")
    return [each for each in found if each.name]


def _pack(
    end: Known, source: Place, part: Sequence[Entry], target: Place, temporary: str, level: int
) -> Archive:
    """Make one archive; again, where a file changes meanwhile."""
    root, names = end.full(source.path), [each.name for each in part]
    for _ in range(ROUNDS):
        place = target / archive_name(source, part)
        files = [each.name for each in part if each.kind == "f"]
        sums = end.ask("digest", HASH, root, files, True)
        manifest = "".join(manifest_line(*each) for each in zip(files, sums, strict=True))
        path = end.full(place.path)
        exit_code, said = end.ask("pack_archive", root, path, temporary, manifest, names, level)
        if exit_code > 1:
            raise TransferFailed(cause_of_command(1, said), f"{end.title}: tar: {said}")
        now = end.ask("survey", root, names)
        if None in (*now, *sums):
            raise TransferFailed(Cause.MISSING, f"{end.title}: files of {root} went away meanwhile")
        after = [Entry(name, *each) for name, each in zip(names, now, strict=True)]
        if exit_code == 0 and all(one.is_same(other) for one, other in zip(part, after, strict=True)):
            return _archive(end, place, part)
        end.ask("drop", path)
        part = after
    raise TransferFailed(Cause.CHANGED, f"{end.title}: files of {root} changed while they were packed")


def _archive(end: Known, place: Place, part: Sequence[Entry]) -> Archive:
    path = end.full(place.path)
    (shown,) = end.ask("look", [path])
    (checksum,) = end.ask("digest", HASH, posixpath.dirname(path), [place.name])
    files = [each for each in part if each.kind != "d"]
    copied = Copied(str(place), shown[1], shown[2], f"{HASH}:{checksum}")
    return Archive(copied, len(files), sum(each.size_bytes for each in files))


def archive_name(source: Place, part: Sequence[Entry]) -> str:
    """A name that says what is in it: the same files, unchanged, are packed under the same name again."""
    content = "\0".join(f"{each.name}\0{each.size_bytes}\0{each.mtime_ns}" for each in part)
    digest = sha256(f"{source}\0{content}".encode("utf-8", "surrogatepass")).hexdigest()
    return f"{source.name or 'files'}-{digest[:12]}{SUFFIX}"


def manifest_line(name: str, checksum: str | None) -> str:
    """A file as sha256sum writes it, so that anybody can verify what was unpacked."""
    escaped = name.replace("\\", r"\\").replace("\n", r"\n").replace("\r", r"\r")
    return f"{'' if escaped == name else chr(92)}{checksum}  {escaped}\n"


def _messages(source: Place, made: Sequence[Archive]) -> Iterator[Message]:
    for each in made:
        headers = {"source": str(source), "files": str(each.files), "content": str(each.content_bytes)}
        yield each.itself.name, {**headers, **headers_of(each.itself)}


def _summary(made: Sequence[Archive]) -> str:
    files, content = sum(each.files for each in made), sum(each.content_bytes for each in made)
    size = sum(each.itself.size_bytes for each in made)
    archives = show_count(len(made), "archive")
    return f"{show_count(files, 'file')}, {show_size(content)}, in {archives} of {show_size(size)}"
