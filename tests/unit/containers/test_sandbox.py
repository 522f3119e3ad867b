"""The digest of a directory is of what is in it, and of nothing else."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from scalebox_hpc.containers.definition import files_of
from scalebox_hpc.containers.sandbox import arch_of_tree, inside_root, tree_digest, tree_seen
from tests.unit.containers import made


def tree(root: Path) -> Path:
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "busybox").write_bytes(made.elf())
    (root / "bin" / "sh").symlink_to("/bin/busybox")
    (root / "etc").mkdir()
    (root / "etc" / "motd").write_text("hello\n")
    for path in (root / "bin", root / "etc"):
        path.chmod(0o755)
    (root / "etc" / "motd").chmod(0o644)
    (root / "bin" / "busybox").chmod(0o755)
    return root


def test_the_digest_is_what_the_documents_say(tmp_path: Path) -> None:
    root = tree(tmp_path / "a")
    program, motd = (hashlib.sha256(each).hexdigest() for each in (made.elf(), b"hello\n"))
    lines = [
        "d 755 bin\0",
        f"f 755 bin/busybox\0{program}",
        "l 777 bin/sh\0/bin/busybox",
        "d 755 etc\0",
        f"f 644 etc/motd\0{motd}",
    ]
    text = "".join(f"{line}\n" for line in lines)
    assert tree_digest(root) == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def test_the_digest_is_the_same_for_a_copy_and_another_for_any_edit(tmp_path: Path) -> None:
    one, other = tree(tmp_path / "a"), tree(tmp_path / "b")
    assert tree_digest(one) == tree_digest(other)
    found = {tree_digest(one)}
    (other / "etc" / "motd").write_text("hellO\n")
    found.add(tree_digest(other))
    (other / "etc" / "motd").chmod(0o600)
    found.add(tree_digest(other))
    (other / "etc" / "motd").rename(other / "etc" / "issue")
    found.add(tree_digest(other))
    (other / "bin" / "sh").unlink()
    (other / "bin" / "sh").symlink_to("busybox")
    found.add(tree_digest(other))
    assert len(found) == 5


def test_an_edit_that_keeps_size_and_time_is_seen_from_outside(tmp_path: Path) -> None:
    root = tree(tmp_path / "a")
    motd = root / "etc" / "motd"
    before, times = tree_seen(root), motd.stat()
    motd.write_text("hellO\n")
    os.utime(motd, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert tree_seen(root) != before


def test_links_are_followed_as_inside(tmp_path: Path) -> None:
    root = tree(tmp_path / "a")
    assert inside_root(root, "bin/sh") == root / "bin" / "busybox"
    (root / "out").symlink_to("../../../etc")
    assert inside_root(root, "out/motd") == root / "etc" / "motd"
    (root / "loop").symlink_to("loop")
    assert inside_root(root, "loop") is None
    assert arch_of_tree(root) == "amd64"


def test_a_tree_of_scripts_has_no_architecture(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("#!/bin/sh\n")
    assert arch_of_tree(tmp_path) == ""


def test_files_of_a_definition() -> None:
    text = """
Bootstrap: docker
From: debian:12
Stage: build

%files
    tool.py /opt/tool.py
    "a file" /opt
    # nothing
%post
    cp x y
%files from build
    /usr/bin/x /usr/bin/x
"""
    assert list(files_of(text)) == ["tool.py", "a file"]
