"""`sbx image`: what it says, what it prints as JSON, and what it refuses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scalebox_hpc.errors import ConflictError, DaemonAbsent, ImageMissing
from tests.cli.conftest import Say
from tests.cli.fake_daemon import DaemonSays, status
from tests.unit.containers import made


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with an image, and a container runtime that is a script."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SBX_HOME", raising=False)
    runtime = made.fake_runtime(tmp_path / "runtime", made.sif(b"pulled"))
    monkeypatch.setenv("PATH", f"{runtime}:{os.environ['PATH']}")
    (tmp_path / "tools.sif").write_bytes(made.sif(b"tools"))
    return tmp_path


class DaemonWithRuns(DaemonSays):
    """A daemon whose one run, in this state, uses these images."""

    def __init__(self, state: str, *images: str) -> None:
        super().__init__()
        self._runs = [status(state, images=list(images))]

    def runs(self) -> list[object]:  # type: ignore[override]
        return list(self._runs)


def test_pull_makes_a_home_and_names_digest_and_path(sbx: Say, sbx_json: Say, here: Path) -> None:
    source, digest, path = sbx(None, "image", "pull", "tools.sif").stdout.split()
    assert source == str(here / "tools.sif")
    assert path == f"{here}/.sbx/shared/images/{digest.replace(':', '-')}.sif"
    assert sbx_json(None, "image", "pull", "tools.sif") == {
        "images": [{"path": path, "digest": digest, "kind": "sif", "arch": "amd64", "source": source}]
    }


def test_build_writes_a_copy_where_it_is_told(sbx: Say, here: Path) -> None:
    (here / "a.def").write_text("Bootstrap: docker\nFrom: debian\n")
    sbx(None, "image", "build", "a.def", "-o", "a.sif")
    assert (here / "a.sif").read_bytes() == made.sif(b"pulled")


def test_inspect_shows_a_file_and_what_the_store_knows(sbx: Say, sbx_json: Say) -> None:
    shown = sbx_json(None, "image", "inspect", "tools.sif")
    assert (shown["kind"], shown["arch"], shown["sections"][0]["kind"]) == ("sif", "amd64", "squashfs")
    sbx(None, "image", "pull", "docker://r/x:1")
    assert sbx_json(None, "image", "inspect", "docker://r/x:1")["sources"] == ["docker://r/x:1"]
    assert "squashfs" in sbx(None, "image", "inspect", "tools.sif").stdout
    with pytest.raises(ImageMissing, match="nothing for docker://r/y:1"):
        sbx(None, "image", "inspect", "docker://r/y:1")


def test_verify_exits_1_and_names_what_is_damaged(sbx: Say, sbx_json: Say) -> None:
    (image,) = sbx_json(None, "image", "pull", "tools.sif")["images"]
    assert sbx(None, "image", "verify").stdout == f"{image['digest'][:19]}  ok\n"
    os.chmod(image["path"], 0o644)
    Path(image["path"]).write_bytes(made.sif(b"toolz"))
    bad = sbx(None, "image", "verify", image["digest"])
    assert bad.exit_code == 1
    assert "is damaged" in bad.stdout


def test_ls_lists_images_with_their_sources(sbx: Say, sbx_json: Say, here: Path) -> None:
    assert sbx(None, "image", "ls").stdout == f"no images in {here}/.sbx/shared/images\n"
    sbx(None, "image", "pull", "tools.sif", "docker://r/x:1")
    assert "docker://r/x:1" in sbx(None, "image", "ls").stdout
    listed = sbx_json(None, "image", "ls")
    assert listed["directory"] == f"{here}/.sbx/shared/images"
    assert {tuple(each["sources"]) for each in listed["images"]} == {
        (str(here / "tools.sif"),),
        ("docker://r/x:1",),
    }


def test_rm_refuses_what_an_open_run_uses(sbx: Say, sbx_json: Say) -> None:
    (image,) = sbx_json(None, "image", "pull", "tools.sif")["images"]
    for state in ("RUNNING", "INTERRUPTED", "PAUSED"):
        with pytest.raises(ConflictError, match=r"is used by primes-7f3a"):
            sbx(DaemonWithRuns(state, image["digest"]), "image", "rm", "tools.sif")
    assert Path(image["path"]).exists()
    sbx(DaemonWithRuns("RUNNING", image["digest"]), "image", "rm", "tools.sif", "--force")
    assert not Path(image["path"]).exists()


def test_rm_removes_what_no_open_run_uses(sbx: Say, sbx_json: Say) -> None:
    for daemon in (DaemonWithRuns("SUCCEEDED"), DaemonWithRuns("RUNNING", "sha256:other"), DaemonGone()):
        (image,) = sbx_json(None, "image", "pull", "tools.sif")["images"]
        assert sbx_json(daemon, "image", "rm", image["digest"][:16]) == {"removed": [image["digest"]]}
        assert not Path(image["path"]).exists()


class DaemonGone(DaemonSays):
    """Nobody answers."""

    def runs(self) -> list[object]:  # type: ignore[override]
        raise DaemonAbsent("nobody answers")


def test_the_store_is_that_of_the_pipelines_site(sbx_json: Say, here: Path) -> None:
    (here / "site-configs").mkdir()
    (here / "site-configs" / "hpc1.toml").write_text(f'batch = "local"\n[paths]\nimages = "{here}/kept"\n')
    (here / "pipeline.toml").write_text('sbx = 1\n[pipeline]\nname = "x"\nsite = "hpc1"\n')
    assert sbx_json(None, "image", "ls")["directory"] == f"{here}/kept"
    assert sbx_json(None, "image", "ls", "--site", "local")["directory"] == f"{here}/.sbx/shared/images"
