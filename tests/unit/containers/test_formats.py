"""Headers are read and checked against the file; each kind of damage is told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from scalebox_hpc.containers.formats import arch_of_machine, elf_arch, kind_of, look, runs_on
from scalebox_hpc.errors import ImageCorrupt
from tests.unit.containers import made


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "image.sif"
    path.write_bytes(content)
    return path


def test_a_sif_tells_its_architecture_and_sections(tmp_path: Path) -> None:
    found = look(written(tmp_path, made.sif(arch=b"04")))
    assert (found.kind, found.arch) == ("sif", "arm64")
    (section,) = found.sections
    assert (section.kind, section.name, section.offset) == ("squashfs", "root", 1024)


def test_a_squashfs_tells_no_architecture(tmp_path: Path) -> None:
    found = look(written(tmp_path, made.squashfs()))
    assert (found.kind, found.arch, found.sections) == ("squashfs", "", ())


WHOLE = made.sif(b"x" * 5000)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (WHOLE[:100], "header is cut off"),
        (WHOLE[:-1], r"cut off: 6119 bytes of 6120"),
        (WHOLE[:900], "cut off"),
        (WHOLE[:42] + b"02" + WHOLE[44:], "SIF version"),
        (WHOLE[:88] + b"\xff" * 8 + WHOLE[96:], "garbled"),
        (made.sif(root=b"nothing at all" * 20), "no squashfs"),
        (made.sif(root=made.squashfs(cut=3)), "squashfs is cut off"),
        (made.sif(role=3), "no root file system"),
        (made.squashfs(cut=2), "squashfs is cut off"),
        (made.squashfs()[:50], "squashfs header is cut off"),
        (b"", "begins neither"),
        (b"x" * 5000, "begins neither"),
    ],
)
def test_damage_is_said(tmp_path: Path, content: bytes, why: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(ImageCorrupt, match=why) as refused:
        look(path)
    assert str(path) in refused.value.fact
    assert refused.value.hint


def test_every_cut_of_a_sif_is_seen(tmp_path: Path) -> None:
    whole = made.sif()
    path = written(tmp_path, whole)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ImageCorrupt):
            look(path)


def test_the_first_bytes_tell_the_kind() -> None:
    assert kind_of(made.sif()) == "sif"
    assert kind_of(made.squashfs()) == "squashfs"
    assert kind_of(b"\0" * 257 + b"ustar") == "tar"
    assert kind_of(b"hello") == ""


def test_processors() -> None:
    assert elf_arch(made.elf(62)) == "amd64"
    assert elf_arch(made.elf(183)) == "arm64"
    assert elf_arch(b"#!/bin/sh\n") == ""
    assert arch_of_machine("x86_64") == "amd64"
    assert arch_of_machine("riscv64") == "riscv64"
    assert runs_on("", "amd64")
    assert runs_on("386", "amd64")
    assert not runs_on("arm64", "amd64")
