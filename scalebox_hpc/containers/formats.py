"""What an image file says of itself: SIF and squashfs headers, and the processor of ELF programs.

Only headers are read, and checked against the file's size; contents are never unpacked.

SIF: https://github.com/apptainer/sif/blob/main/pkg/sif/sif.go (version 01, little-endian).
Squashfs: https://dr-emann.github.io/squashfs/ (version 4.0).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from scalebox_hpc.errors import ImageCorrupt

ENOUGH: Final = 512  # bytes that tell what a file is

_SIF_LAUNCH: Final = 32
_SIF_MAGIC: Final = b"SIF_MAGIC\0"
_SIF: Final = struct.Struct("<32s10s3s3s16sqqqqqqqq")  # launch magic version arch id created modified ...
_DESCRIPTOR: Final = struct.Struct("<i?IIIqqqqqqq128s384s")
_PARTITION: Final = 0x4004
_PRIMARY: Final = 2  # the partition that is the root file system
_FILE_SYSTEMS: Final = {1: "squashfs", 2: "ext3", 3: "archive", 4: "raw", 5: "encrypted squashfs"}
_MOST_DESCRIPTORS: Final = 10_000
_ARCHES: Final = {
    b"01": "386", b"02": "amd64", b"03": "arm", b"04": "arm64", b"05": "ppc64", b"06": "ppc64le",
    b"07": "mips", b"08": "mipsle", b"09": "mips64", b"10": "mips64le", b"11": "s390x", b"12": "riscv64",
}  # fmt: skip

_SQUASHFS_MAGIC: Final = b"hsqs"
_SQUASHFS: Final = struct.Struct("<4sIIIIHHHHHHQQQQQQQQ")
_ABSENT: Final = (1 << 64) - 1  # where a squashfs table is left out

_ELF_MACHINES: Final = {
    3: "386", 8: "mips", 20: "ppc", 21: "ppc64", 22: "s390x", 40: "arm", 62: "amd64", 183: "arm64",
    243: "riscv64",
}  # fmt: skip
_MACHINES: Final = {
    "x86_64": "amd64", "i386": "386", "i686": "386", "aarch64": "arm64", "armv7l": "arm", "armv8l": "arm",
}  # fmt: skip
_ALSO_RUNS: Final = {"amd64": ("386",)}


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a SIF file."""

    kind: str
    offset: int
    size: int
    name: str


@dataclass(frozen=True, slots=True)
class Look:
    """What a file's headers say."""

    kind: str  # "sif" | "squashfs"
    arch: str
    size: int
    sections: tuple[Section, ...] = ()


def kind_of(start: bytes) -> str:
    """What a file is that begins so: sif, squashfs, tar, or "" for none of these."""
    if start[_SIF_LAUNCH : _SIF_LAUNCH + len(_SIF_MAGIC)] == _SIF_MAGIC:
        return "sif"
    if start[:4] == _SQUASHFS_MAGIC:
        return "squashfs"
    if start[257:262] == b"ustar" or start[:2] == b"\x1f\x8b":
        return "tar"
    return ""


def look(path: Path, name: str = "") -> Look:
    """Read and check the headers of an image file, called `name` in errors. Raises ImageCorrupt, OSError."""
    name = name or str(path)
    with path.open("rb") as file:
        start = file.read(ENOUGH)
        size = file.seek(0, 2)
        match kind_of(start):
            case "sif":
                return _look_sif(name, file, size)
            case "squashfs":
                check_squashfs(name, start, size)
                return Look("squashfs", "", size)
    raise _corrupt(name, "it begins neither like a SIF nor like a squashfs file")


def _corrupt(name: str, why: str) -> ImageCorrupt:
    return ImageCorrupt(
        f"the image {name} is damaged: {why}",
        "copy, pull or build it again, and see whether the disk was full",
    )


def _look_sif(name: str, file: BinaryIO, size: int) -> Look:
    file.seek(0)
    start = file.read(_SIF.size)
    if len(start) < _SIF.size:
        raise _corrupt(name, "its header is cut off")
    _, _, version, arch, _, _, _, free, total, table, table_size, data, data_size = _SIF.unpack(start)
    if version != b"01\0":
        raise _corrupt(name, f"its SIF version is {version[:2]!r}, known is 01")
    if not 0 <= free <= total <= _MOST_DESCRIPTORS or table < _SIF.size or table_size < 0 or data < 0:
        raise _corrupt(name, "its header is garbled")
    if data + data_size > size:
        raise _corrupt(name, f"it is cut off: {size} bytes of {data + data_size}")
    file.seek(table)
    raw = file.read(total * _DESCRIPTOR.size)
    if len(raw) < total * _DESCRIPTOR.size:
        raise _corrupt(name, "its table of sections is cut off")
    found = [_descriptor(name, file, size, fields) for fields in _DESCRIPTOR.iter_unpack(raw) if fields[1]]
    root = next((section for section, _, is_root in found if is_root), None)
    if root is None:
        raise _corrupt(name, "it has no root file system")
    if root.kind == "squashfs":
        file.seek(root.offset)
        check_squashfs(name, file.read(ENOUGH), root.size)
    own = next(part_arch for _, part_arch, is_root in found if is_root)
    return Look("sif", own or _ARCHES.get(arch[:2], ""), size, tuple(section for section, _, _ in found))


def _descriptor(
    image: str, file: BinaryIO, size: int, fields: tuple[int | bytes, ...]
) -> tuple[Section, str, bool]:
    """A section, its architecture, and whether it is the root file system."""
    kind, offset, length = fields[0], fields[5], fields[6]
    name, extra = fields[12], fields[13]
    assert isinstance(kind, int)
    assert isinstance(offset, int)
    assert isinstance(length, int)
    assert isinstance(name, bytes)
    assert isinstance(extra, bytes)
    shown = name.split(b"\0")[0].decode("utf-8", "replace")
    if offset < 0 or length < 0 or offset + length > size:
        raise _corrupt(image, f"its section {shown or hex(kind)} ends at byte {offset + length} of {size}")
    if kind != _PARTITION:
        return Section(_SECTIONS.get(kind, hex(kind)), offset, length, shown), "", False
    file_system, role = struct.unpack_from("<ii", extra)
    word = _FILE_SYSTEMS.get(file_system, f"file system {file_system}")
    return Section(word, offset, length, shown), _ARCHES.get(extra[8:10], ""), role == _PRIMARY


_SECTIONS: Final = {
    0x4001: "definition", 0x4002: "environment", 0x4003: "labels", 0x4005: "signature", 0x4006: "json",
    0x4007: "other", 0x4008: "encryption", 0x4009: "sbom", 0x400A: "oci index", 0x400B: "oci blob",
}  # fmt: skip


def check_squashfs(name: str, start: bytes, size: int) -> None:
    """Check the superblock of a squashfs against the room it has. Raises ImageCorrupt."""
    if len(start) < _SQUASHFS.size:
        raise _corrupt(name, "its squashfs header is cut off")
    magic, _, _, block, _, _, log, _, _, major, minor, _, used, *tables = _SQUASHFS.unpack_from(start)
    if magic != _SQUASHFS_MAGIC:
        raise _corrupt(name, "its root file system is no squashfs")
    if (major, minor) != (4, 0) or log > 20 or block != 1 << log:
        raise _corrupt(name, "its squashfs header is garbled")
    if used > size:
        raise _corrupt(name, f"its squashfs is cut off: {size} bytes of {used}")
    if any(table != _ABSENT and table > used for table in tables):
        raise _corrupt(name, "its squashfs tables lie outside it")


def elf_arch(start: bytes) -> str:
    """The processor an ELF program is for; "" where these are no bytes of one."""
    if start[:4] != b"\x7fELF" or len(start) < 20:
        return ""
    order = ">" if start[5] == 2 else "<"
    (machine,) = struct.unpack_from(f"{order}H", start, 18)
    if machine == 21 and order == "<":
        return "ppc64le"
    return _ELF_MACHINES.get(machine, "")


def arch_of_machine(machine: str) -> str:
    """What Go calls a machine that uname names so."""
    return _MACHINES.get(machine, machine)


def runs_on(arch: str, here: str) -> bool:
    """Whether programs for `arch` run here; what cannot be told counts as yes."""
    return not arch or not here or arch == here or arch in _ALSO_RUNS.get(here, ())
