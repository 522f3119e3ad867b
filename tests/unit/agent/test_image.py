"""The copy of an image on a node's own disk: one for all agents, whole, and what the run began with."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scalebox_hpc.agent.image import CannotCopy, copy_once, copy_path

CONTENT = os.urandom(3 << 20)
DIGEST = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    (tmp_path / "i.sif").write_bytes(CONTENT)
    return tmp_path / "i.sif"


def target(tmp_path: Path) -> str:
    return copy_path(str(tmp_path / "scratch"), DIGEST)


def test_ten_agents_make_one_copy(tmp_path: Path, image: Path) -> None:
    code = (
        "import os, sys; from scalebox_hpc.agent import image; real = image._copy_bytes\n"
        "def copy(*a): print(os.getpid()); return real(*a)\n"
        "image._copy_bytes = copy; image.main()"
    )
    words = [sys.executable, "-c", code, "copy", str(image), target(tmp_path), DIGEST]
    started = [subprocess.Popen(words, stdout=subprocess.PIPE) for _ in range(10)]
    said = b"".join(process.communicate(timeout=60)[0] for process in started)
    assert [process.returncode for process in started] == [0] * 10
    assert len(said.split()) == 1
    assert Path(target(tmp_path)).read_bytes() == CONTENT
    assert len(list(Path(target(tmp_path)).parent.iterdir())) == 2  # and the lock


def test_an_image_that_was_changed_is_not_copied(tmp_path: Path, image: Path) -> None:
    image.write_bytes(CONTENT[:-1])
    with pytest.raises(CannotCopy, match="is not what the run began with"):
        copy_once(str(image), target(tmp_path), DIGEST)
    assert [path.name.rpartition(".")[2] for path in Path(target(tmp_path)).parent.iterdir()] == ["lock"]


def test_a_directory_that_others_may_write_is_refused(tmp_path: Path, image: Path) -> None:
    directory = Path(target(tmp_path)).parent
    directory.mkdir(parents=True)
    directory.chmod(0o777)
    with pytest.raises(CannotCopy, match="is not ours alone"):
        copy_once(str(image), target(tmp_path), DIGEST)
