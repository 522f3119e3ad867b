"""Image files made by hand, small and well-formed, and a container runtime that is a script."""

from __future__ import annotations

import struct
from pathlib import Path

NO_TABLE = (1 << 64) - 1

# `apptainer [--quiet] pull|build ... TARGET/SOURCE`: counts itself, waits while a file is there, copies.
FAKE_RUNTIME = """#!/bin/sh
here=$(dirname "$0")
echo "$@" >>"$here/calls"
echo $$ >"$here/pid"
while [ -e "$here/wait" ]; do sleep 0.02; done
target= source=
while [ $# -gt 0 ]; do
    case $1 in
        --name) target=$2; shift ;;
        -*|pull|build) ;;
        *) if [ -z "$target" ]; then target=$1; else source=$1; fi ;;
    esac
    shift
done
if [ -e "$here/says" ]; then cat "$here/says" >&2; exit 255; fi
head -c 100 "$here/image.sif" >"$target"
while [ -e "$here/stall" ]; do sleep 0.02; done
cp "$here/image.sif" "$target"
"""


def squashfs(content: bytes = b"content", *, cut: int = 0) -> bytes:
    """The superblock of a squashfs and something behind it."""
    used = 96 + len(content)
    start = struct.pack(
        "<4sIIIIHHHHHHQQQQQQQQ", b"hsqs", 1, 0, 131072, 0, 1, 17, 0, 1, 4, 0, 0, used, *[NO_TABLE] * 6
    )
    return (start + content)[: used - cut]


def sif(
    content: bytes = b"content", *, arch: bytes = b"02", root: bytes | None = None, role: int = 2
) -> bytes:
    """A SIF file with one section, its root file system."""
    root = squashfs(content) if root is None else root
    table, data = 128, 1024
    name, extra = b"root".ljust(128, b"\0"), (struct.pack("<ii", 1, role) + arch + b"\0").ljust(384, b"\0")
    times = (0, 0, 0, 0)
    section = struct.pack(
        "<i?IIIqqqqqqq128s384s", 0x4004, True, 1, 1, 0, data, len(root), len(root), *times, name, extra
    )
    launch = b"#!/usr/bin/env run-singularity\n".ljust(32, b"\0")
    numbers = (0, 0, 0, 1, table, len(section), data, len(root))
    head = struct.pack("<32s10s3s3s16sqqqqqqqq", launch, b"SIF_MAGIC\0", b"01\0", arch + b"\0", b"", *numbers)
    return (head + section).ljust(data, b"\0") + root


def elf(machine: int = 62) -> bytes:
    """The first bytes of an ELF program."""
    return b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack("<HH", 2, machine) + b"\0" * 44


def fake_runtime(folder: Path, image: bytes) -> Path:
    """A directory for PATH with an `apptainer` that makes this image of anything."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "apptainer"
    program.write_text(FAKE_RUNTIME)
    program.chmod(0o755)
    (folder / "image.sif").write_bytes(image)
    return folder


def calls(folder: Path) -> list[str]:
    """What the script was called with, a line each."""
    path = folder / "calls"
    return path.read_text().splitlines() if path.exists() else []
