"""The command lines of rsync, and what it says while it runs. Pure: it starts nothing.

Each transfer goes from one directory, or file, to another. rsync itself keeps links, modes and times;
owner and group are those of who copies.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_KEEP: Final = ("--perms", "--times")
FAST_CIPHER: Final = ("-o", "Ciphers=^aes128-gcm@openssh.com")  # first of what both know; else the next
_OWN_LINK: Final = ("-o", "ControlPath=none", "-o", "ControlMaster=no")
_SILENCE_S: Final = 120
_PROGRESS: Final = re.compile(
    r"\s*([\d.,]+)\s+\d+%\s+[\d.,]+\w*/s\s+[\d:?]+(?:\s+\(xfe?r#\d+, (?:to|ir)-chk=\d+/\d+\))?"
)


@dataclass(frozen=True, slots=True)
class Rsync:
    """What an installed rsync can do."""

    version: tuple[int, ...]
    has_zstd: bool = False
    may_skip_checks: bool = False  # --checksum-choice=none: for who verifies what arrived himself


def read_version(text: str) -> Rsync | None:
    """Read `rsync --version`; None where it is none that we can use."""
    match = re.search(r"^rsync\s+version\s+v?(\d+)\.(\d+)(?:\.(\d+))?", text, re.MULTILINE)
    if match is None:
        return None
    version = tuple(int(part or 0) for part in match.groups())
    choices = text.partition("Checksum list:")[2].partition("Compress list:")
    if version < (3, 1, 0):
        return None  # no --info=progress2
    return Rsync(version, "zstd" in choices[2].split(), "none" in choices[0].split())


class Mode(StrEnum):
    """How the content of files goes over."""

    WHOLE = "whole"  # all of it
    APPEND = "append"  # a file's end, after what an earlier try left
    DELTA = "delta"  # where it differs from what is there
    MANY = "many"  # each under a temporary name of rsync's own, then in one step


@dataclass(frozen=True, slots=True)
class Command:
    """What one run of rsync is to do; `source` and `target` are paths, with the host before a remote one."""

    source: str
    target: str
    mode: Mode
    from_list: bool = False  # names below `source` come by standard input, each ended by NUL
    shell: tuple[str, ...] = ()  # what carries the bytes to the remote side; empty: both are here
    compress: bool = False
    limit_kib_s: int = 0
    temporary_directory: str = ""  # with MANY: on the same file system as the target


def words(command: Command, here: Rsync, there: Rsync) -> list[str]:
    """The command line; `here` is the rsync that is started, `there` the one it talks to."""
    # What is to be moved was decided before; rsync itself would pass over a change within the same second.
    options = [
        *_KEEP,
        "--links" if command.mode is Mode.MANY else "--copy-links",  # one file: what a link leads to
        "--ignore-times",
        "--protect-args",
        "--info=progress2",
        "--no-human-readable",
        "--outbuf=L",
    ]
    if min(here.version, there.version) >= (3, 1, 3):
        options.append("--modify-window=-1")  # times to the nanosecond; older ones know no such word
    options += [f"--timeout={_SILENCE_S}"] if command.shell else []
    options += {
        Mode.WHOLE: ["--whole-file", "--inplace"],
        Mode.APPEND: ["--append"],
        Mode.DELTA: ["--no-whole-file", "--inplace"],
        Mode.MANY: ["--whole-file"],
    }[command.mode]
    if command.mode is Mode.WHOLE and here.may_skip_checks and there.may_skip_checks:
        options.append("--checksum-choice=none")
    if command.temporary_directory:
        options.append(f"--temp-dir={command.temporary_directory}")
    if command.from_list:
        options += ["--files-from=-", "--from0", "--no-implied-dirs"]
    if command.compress:
        options.append("--compress")
        if here.has_zstd and there.has_zstd:
            options += ["--compress-choice=zstd", "--compress-level=1"]
    if command.limit_kib_s:
        options.append(f"--bwlimit={command.limit_kib_s}")
    if command.shell:
        options.append(f"--rsh={shell_text(command.shell)}")
    return ["rsync", *options, command.source, command.target]


def shell_text(shell: Sequence[str]) -> str:
    """The words of a command as rsync takes them apart again: at spaces, outside of quotes."""
    return " ".join(
        word if re.fullmatch(r"[\w@%+=:,./^-]+", word) else "'" + word.replace("'", "''") + "'"
        for word in shell
    )


def own_link(has_master: bool) -> tuple[str, ...]:
    """Options of ssh for a connection of its own, unless only the site's master may connect."""
    return FAST_CIPHER if has_master else (*_OWN_LINK, *FAST_CIPHER)


def shared_link(socket: str) -> tuple[str, ...]:
    """Options of ssh for going through a connection that exists, or else for one of its own."""
    return ("-o", "ControlMaster=no", "-o", f"ControlPath={socket}", *FAST_CIPHER)


def carrier(ssh: Sequence[str], options: Sequence[str]) -> tuple[str, ...]:
    """The words of ssh that carry one stream; the first of two options of one name wins."""
    program, *rest = ssh
    return (program, *options, *rest)


def at_host(host: str, path: str) -> str:
    """A path on the other side. It must exist where it has wildcards, for rsync fills those in."""
    if set(path) & set("*?["):
        path = re.sub(r"([*?\[\\])", r"[\1]", path)
    return f"{host}:{path}"


def progress(line: str) -> tuple[int | None, str]:
    """Split a line: the bytes that `--info=progress2` reports, None where it does not, and what else it says.

    Errors may stand behind a report, which has no line end of its own.
    """
    match = _PROGRESS.match(line)
    if match is None:
        return None, line.strip()
    return int(re.sub(r"[.,]", "", match[1])), line[match.end() :].strip()
