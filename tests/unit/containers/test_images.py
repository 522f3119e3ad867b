"""The store: what is fetched once stays as it was; what cannot be used is said, each in its own words."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from scalebox_hpc.containers.images import ImageStore
from scalebox_hpc.containers.runtime import SpythonRuntime
from scalebox_hpc.containers.store import directory_for
from scalebox_hpc.errors import (
    BuildFailed,
    ImageCorrupt,
    ImageMissing,
    ImageProblem,
    ImageUnreadable,
    RegistryUnreachable,
    RuntimeAbsent,
    StorageFull,
    WrongArchitecture,
)
from tests.unit.containers import made
from tests.unit.containers.conftest import Bench

DEBIAN = "docker://registry.example.org/debian:12"


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_a_local_file_is_copied_by_its_content(bench: Bench) -> None:
    content = made.sif(b"one")
    file = bench.write("tools.sif", content)
    image = bench.store().ensure("tools.sif", bench.root)
    assert image.digest == sha256(content)
    assert image.path == str(bench.directory / f"{image.digest.replace(':', '-')}.sif")
    assert (image.kind, image.arch, image.source) == ("sif", "amd64", str(file))
    assert Path(image.path).read_bytes() == content
    assert os.stat(image.path).st_mode & 0o777 == 0o444
    assert bench.files == [Path(image.path).name]


def test_replacing_the_file_leaves_the_old_content_in_the_store(bench: Bench) -> None:
    old, new = made.sif(b"old"), made.sif(b"new")
    bench.write("tools.sif", old)
    first = bench.store().ensure("tools.sif", bench.root)
    bench.write("tools.sif", new)
    second = bench.store().ensure("tools.sif", bench.root)
    assert Path(first.path).read_bytes() == old
    assert Path(second.path).read_bytes() == new
    assert first.digest != second.digest


def test_a_file_that_seems_unchanged_is_not_read_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.write("tools.sif", made.sif())
    first = bench.store().ensure("tools.sif", bench.root)
    monkeypatch.setattr("scalebox_hpc.containers.images._copy", lambda *_: pytest.fail("read again"))
    assert bench.store().ensure("tools.sif", bench.root) == first
    assert bench.store().find("tools.sif", bench.root) == first


def test_a_file_of_the_store_is_used_where_it_is(bench: Bench) -> None:
    bench.write("tools.sif", made.sif())
    first = bench.store().ensure("tools.sif", bench.root)
    again = bench.store().ensure(first.path, bench.root)
    assert (again.path, again.digest) == (first.path, first.digest)
    assert len(bench.files) == 1


def test_a_plain_squashfs_is_kept_as_one(bench: Bench) -> None:
    bench.write("tools.squashfs", made.squashfs())
    image = bench.store().ensure("tools.squashfs", bench.root)
    assert (image.kind, image.arch, Path(image.path).suffix) == ("squashfs", "", ".sqfs")


def test_a_registry_is_asked_once_until_refresh(bench: Bench) -> None:
    first = bench.store().ensure(DEBIAN, bench.root)
    assert first.digest == sha256(made.sif(b"pulled"))
    (bench.runtime / "image.sif").write_bytes(made.sif(b"newer"))
    assert bench.store().ensure(DEBIAN, bench.root) == first
    assert len(made.calls(bench.runtime)) == 1
    second = bench.store().ensure(DEBIAN, bench.root, refresh=True)
    assert second.digest == sha256(made.sif(b"newer"))
    assert bench.store().ensure(DEBIAN, bench.root) == second
    assert Path(first.path).exists(), "runs that began with it go on with it"
    (call, _) = made.calls(bench.runtime)
    assert call.startswith("--quiet pull --disable-cache --name ")
    assert call.endswith(DEBIAN)


def test_find_fetches_nothing(bench: Bench) -> None:
    assert bench.store().find(DEBIAN, bench.root) is None
    assert made.calls(bench.runtime) == []


def test_a_definition_is_built_again_when_it_or_its_files_changed(bench: Bench) -> None:
    definition = bench.write("a.def", b"Bootstrap: localimage\nFrom: base.sif\n%files\n  note.txt /n\n")
    note = bench.write("note.txt", b"one")
    bench.write("base.sif", made.sif())
    store = bench.store()
    store.ensure("a.def", bench.root)
    store.ensure("a.def", bench.root)
    assert len(made.calls(bench.runtime)) == 1
    note.write_bytes(b"another")
    store.ensure("a.def", bench.root)
    assert len(made.calls(bench.runtime)) == 2
    definition.write_bytes(definition.read_bytes() + b"%post\n  true\n")
    store.ensure("a.def", bench.root)
    assert len(made.calls(bench.runtime)) == 3
    assert "build --disable-cache" in made.calls(bench.runtime)[0]


def test_an_archive_is_built_again_when_it_changed(bench: Bench) -> None:
    archive = bench.write("a.tar", b"one")
    for _ in range(2):
        bench.store().ensure("oci-archive:a.tar", bench.root)
    assert len(made.calls(bench.runtime)) == 1
    assert made.calls(bench.runtime)[0].endswith(f"oci-archive:{archive}")
    archive.write_bytes(b"other")
    bench.store().ensure("oci-archive:a.tar", bench.root)
    assert len(made.calls(bench.runtime)) == 2


def test_a_sandbox_is_used_where_it_is_and_packed_by_build(bench: Bench) -> None:
    bench.write("box/bin/sh", made.elf())
    image = bench.store().ensure("box", bench.root)
    assert (image.path, image.kind, image.arch) == (str(bench.root / "box"), "sandbox", "amd64")
    packed = bench.store().build("box", bench.root)
    assert (packed.kind, packed.digest) == ("sif", sha256(made.sif(b"pulled")))
    assert bench.store().build("box", bench.root) == packed
    assert len(made.calls(bench.runtime)) == 1
    bench.write("box/bin/more", b"x")
    assert bench.store().ensure("box", bench.root).digest != image.digest


def test_the_wrong_architecture_is_refused_and_never_kept(bench: Bench) -> None:
    bench.write("arm.sif", made.sif(arch=b"04"))
    bench.write("box/bin/sh", made.elf(183))
    for name in ("arm.sif", "box"):
        with pytest.raises(WrongArchitecture, match="arm64") as refused:
            bench.store().ensure(name, bench.root)
        assert str(bench.root / name) in refused.value.fact
        assert "amd64" in refused.value.hint
    assert bench.files == []
    assert bench.store("aarch64").ensure("arm.sif", bench.root).arch == "arm64"
    with pytest.raises(WrongArchitecture):
        bench.store().ensure("arm.sif", bench.root)


def test_a_damaged_file_is_named_and_never_kept(bench: Bench) -> None:
    bench.write("cut.sif", made.sif()[:-5])
    with pytest.raises(ImageCorrupt, match=r"cut\.sif is damaged: it is cut off"):
        bench.store().ensure("cut.sif", bench.root)
    assert bench.files == []


def test_what_is_no_image_is_told_apart(bench: Bench) -> None:
    bench.write("text.sif", b"#!/bin/sh\necho hello\n")
    bench.write("a.tar", b"\0" * 257 + b"ustar" + b"\0" * 300)
    bench.write("layout/oci-layout", b"{}")
    (bench.root / "empty").mkdir()
    for name, kind, why in [
        ("text.sif", ImageCorrupt, "begins like none"),
        ("a.tar", ImageProblem, "tar archive"),
        ("layout", ImageProblem, "OCI layout"),
        ("empty", ImageCorrupt, "empty"),
        ("gone.sif", ImageMissing, "there is no image"),
        ("oci-archive:gone.tar", ImageMissing, "there is no image oci-archive:gone"),
        ("docker:debian", ImageProblem, "lacks //"),
        ("dokcer://debian", ImageProblem, "unknown kind of address"),
    ]:
        with pytest.raises(kind, match=why) as refused:
            bench.store().ensure(name, bench.root)
        assert refused.value.hint


def test_a_link_that_leads_nowhere_is_named(bench: Bench) -> None:
    (bench.root / "link.sif").symlink_to("nowhere.sif")
    with pytest.raises(ImageMissing, match=r"link\.sif is a link to nowhere\.sif"):
        bench.store().ensure("link.sif", bench.root)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_we_may_not_read_is_named(bench: Bench) -> None:
    bench.write("secret.sif", made.sif()).chmod(0)
    with pytest.raises(ImageUnreadable, match=r"secret\.sif may not be read") as refused:
        bench.store().ensure("secret.sif", bench.root)
    assert "chmod a+r" in refused.value.hint


def test_no_permission_is_another_error_than_no_file(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    file = bench.write("secret.sif", made.sif())

    def refuse(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ImageUnreadable, match=r"secret\.sif may not be read") as refused:
        bench.store().ensure("secret.sif", bench.root)
    assert f"chmod a+r {file}" in refused.value.hint


def test_without_a_runtime_the_remedy_is_said(bench: Bench) -> None:
    store = ImageStore(bench.directory, SpythonRuntime(environ={"PATH": "/nonexistent"}))
    with pytest.raises(RuntimeAbsent, match="neither apptainer nor singularity") as refused:
        store.ensure(DEBIAN, bench.root)
    assert DEBIAN in refused.value.fact
    assert ".sif" in refused.value.hint
    bench.write("tools.sif", made.sif())
    assert store.ensure("tools.sif", bench.root).kind == "sif"


@pytest.mark.parametrize(
    ("says", "kind"),
    [
        ('FATAL:   pinging: Get "https://r/v2/": dial tcp: lookup r: no such host', RegistryUnreachable),
        ("FATAL:   dial tcp 1.2.3.4:443: connect: connection refused", RegistryUnreachable),
        ("FATAL:   reading manifest 13 in r/debian: manifest unknown", ImageMissing),
        ("FATAL:   unauthorized: authentication required", ImageMissing),
        ("FATAL:   write /tmp/x: no space left on device", StorageFull),
        ("FATAL:   something else\nand more", BuildFailed),
        ("", BuildFailed),
    ],
)
def test_what_a_runtime_says_becomes_an_error_of_ours(bench: Bench, says: str, kind: type[Exception]) -> None:
    (bench.runtime / "says").write_text(says)
    with pytest.raises(kind, match=r"registry\.example\.org/debian:12") as refused:
        bench.store().ensure(DEBIAN, bench.root)
    assert "FATAL" not in str(refused.value)
    assert bench.files == []


def test_a_damaged_answer_of_a_runtime_is_not_kept(bench: Bench) -> None:
    (bench.runtime / "image.sif").write_bytes(made.sif()[:-1])
    with pytest.raises(ImageCorrupt, match="registry"):
        bench.store().ensure(DEBIAN, bench.root)
    assert bench.files == []


def test_an_image_that_is_gone_or_cut_in_the_store_is_fetched_again(bench: Bench) -> None:
    bench.write("tools.sif", made.sif())
    image = bench.store().ensure("tools.sif", bench.root)
    os.unlink(image.path)
    assert bench.store().ensure("tools.sif", bench.root) == image
    os.chmod(image.path, 0o644)
    Path(image.path).write_bytes(b"cut")
    assert bench.store().ensure("tools.sif", bench.root) == image
    assert Path(image.path).read_bytes() == made.sif()


def test_verify_sees_one_changed_byte(bench: Bench) -> None:
    bench.write("tools.sif", made.sif())
    store = bench.store()
    image = store.ensure("tools.sif", bench.root)
    stored = store.stored("tools.sif", bench.root)
    store.verify(stored)
    content = bytearray(made.sif())
    content[-1] ^= 1
    os.chmod(image.path, 0o644)
    Path(image.path).write_bytes(content)
    with pytest.raises(ImageCorrupt, match="not that of its name"):
        store.verify(stored)


def test_images_are_named_by_digest_path_and_source_and_removed(bench: Bench) -> None:
    store = bench.store()
    bench.write("tools.sif", made.sif())
    image = store.ensure("tools.sif", bench.root)
    store.ensure(DEBIAN, bench.root)
    for name in (image.digest, image.digest[7:20], image.digest[:20], image.path, "tools.sif", image.source):
        assert store.stored(name, bench.root).digest == image.digest
    with pytest.raises(ImageMissing, match="no image nothing-here"):
        store.stored("nothing-here", bench.root)
    assert {each.sources for each in store.shelf.all()} == {(image.source,), (DEBIAN,)}
    store.shelf.remove(store.stored(image.digest, bench.root))
    assert [each.sources for each in store.shelf.all()] == [(DEBIAN,)]
    assert store.shelf.recall(image.source) is None


def test_a_directory_that_cannot_be_written_is_not_taken(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    assert directory_for(None, shared) == shared / "images"
    assert directory_for(str(tmp_path / "new" / "images"), shared) == tmp_path / "new" / "images"
    if os.geteuid() != 0:
        assert directory_for("/usr/share", shared) == shared / "images"
