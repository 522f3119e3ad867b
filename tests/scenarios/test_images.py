"""`sbx run` and images, with a container runtime that is a script: fetched first, then accepted."""

import os
import sys
from pathlib import Path

import pytest

from tests.scenarios.lab import Lab
from tests.unit.containers import made

PIPELINE = """
sbx = 1
[pipeline]
name = "pulled"

[modules.look]
image = "docker://r.example.org/tools:1"
run = ["cat", "/marker"]
seed = ["1"]
"""


@pytest.fixture
def runtime(lab: Lab, tmp_path: Path) -> Path:
    folder = made.fake_runtime(tmp_path / "runtime", made.sif(b"pulled"))
    lab.env["PATH"] = f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    lab.pipeline(PIPELINE)
    return folder


def test_a_run_is_accepted_once_its_image_is_there_however_long_that_takes(lab: Lab, runtime: Path) -> None:
    (runtime / "wait").touch()
    slow = "(while [ ! -s said ]; do sleep 0.1; done; rm $OLDPWD/wait) &"
    done = lab.shell(f"cd {runtime} && cd - >/dev/null; {slow} {lab.place.sbx} run --detach 2>said; cat said")
    assert done.exit_code == 0, str(done)
    assert "fetching images: docker://r.example.org/tools:1\n" in done.text
    (run,) = lab.json("status", "--all")["runs"]
    (image,) = lab.json("image", "ls")["images"]
    assert run["images"] == [image["digest"]]
    assert image["sources"] == ["docker://r.example.org/tools:1"]
    assert len(made.calls(runtime)) >= 1


def test_a_registry_that_is_away_is_an_error_of_the_surroundings(lab: Lab, runtime: Path) -> None:
    (runtime / "says").write_text("FATAL:   dial tcp: lookup r.example.org: no such host\n")
    refused = lab.run("--detach", exit_code=4)
    assert (
        "pipeline.toml:7: modules.look.image: the registry of docker://r.example.org/tools:1"
        in refused.stderr
    )
    assert lab.json("status", "--all")["runs"] == []
    (runtime / "says").unlink()
    assert lab.sbx("image", "pull", "docker://r.example.org/tools:1").exit_code == 0
    lab.run("--detach")


def test_a_tag_that_was_fetched_anew_is_a_changed_module(lab: Lab, runtime: Path) -> None:
    lab.run("--detach")
    lab.wait_for_end()
    (runtime / "image.sif").write_bytes(made.sif(b"newer"))
    assert lab.sbx("image", "pull", "--refresh", "docker://r.example.org/tools:1").exit_code == 0
    changed = lab.sbx("resume")
    assert changed.exit_code == 3, str(changed)
    assert "look: its image changed (docker://r.example.org/tools:1)" in changed.stderr
    old, new = (lab.json("status", "--all")["runs"][0]["images"], lab.json("image", "ls")["images"])
    assert sorted(image["digest"] for image in new) != old
    kept = lab.sbx("image", "rm", "--force", old[0])
    assert kept.exit_code == 0, str(kept)
    gone = lab.sbx("resume", "--keep", "look")
    assert gone.exit_code == 2, str(gone)
    assert "of module look is gone" in gone.stderr
