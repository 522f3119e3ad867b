"""What is asked of container runtimes: which one, with which words, and what their failures mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from scalebox_hpc.agent.runtimes import Bind, Execution, Unavailable, apptainer, charliecloud, choose, find

EXECUTION = Execution("/i.sif", (Bind("/a:b", "/c,d", "ro"),), ("--x",), "nvidia", "/w", {"K": "v"}, "/bin1")


@pytest.fixture
def image(tmp_path: Path) -> str:
    (tmp_path / "i.sif").touch()
    return str(tmp_path / "i.sif")


def test_apptainer_is_told_everything() -> None:
    runtime = apptainer.recognise("apptainer", "/b/apptainer", "apptainer version 1.4.5")
    assert runtime.version == "1.4.5"
    assert runtime.words(EXECUTION) == [
        *["/b/apptainer", "--quiet", "exec", "--no-home", "--bind", "/a\\:b:/c\\,d:ro"],
        *["--nv", "--pwd", "/w", "--x", "/i.sif"],
    ]
    env = runtime.environ(EXECUTION)
    assert (env["APPTAINERENV_K"], env["APPTAINERENV_PREPEND_PATH"], env["APPTAINER_NO_EVAL"]) == (
        "v",
        "/bin1",
        "1",
    )


@pytest.mark.parametrize(
    ("said", "version", "prefix"),
    [
        ("singularity version 3.8.7", "3.8.7", "SINGULARITYENV_"),
        ("singularity-ce version 3.11.4-jammy", "3.11.4-jammy", "SINGULARITYENV_"),
        ("apptainer version 1.4.5", "1.4.5", "APPTAINERENV_"),
    ],
)
def test_singularity_is_known_by_what_it_says(said: str, version: str, prefix: str) -> None:
    runtime = apptainer.recognise("singularity", "/s", said)
    assert (runtime.name, runtime.version) == ("singularity", version)
    assert runtime.environ(EXECUTION)[prefix + "K"] == "v"


def test_flags_follow_the_version() -> None:
    rocm = EXECUTION._replace(gpus="rocm")
    said = ["singularity version 3.4.0", "singularity version 3.8.7", "apptainer version 1.0.0"]
    made = [apptainer.recognise("singularity", "/s", text) for text in said]
    assert ["--rocm" in runtime.words(rocm) for runtime in made] == [False, True, True]
    old = apptainer.recognise("singularity", "/s", "2.6.1-dist")
    assert "too old" in old.refuses("docker://x", ())


def test_failures_are_told_from_those_of_the_program() -> None:
    runtime = apptainer.recognise("apptainer", "/a", "apptainer version 1.4.5")
    said = 'WARNING: x\nFATAL:   "no": executable file not found in $PATH\n'
    assert runtime.failure(255, said).startswith("FATAL:")
    assert (runtime.failure(255, "mine"), runtime.failure(1, said)) == ("", "")
    assert runtime.lacks_program("FATAL:   stat /bin/sh: no such file or directory")
    assert not runtime.lacks_program("FATAL: could not open image /i.sif: no such file or directory")


def test_charliecloud_takes_directories_and_squashfs(tmp_path: Path, image: str) -> None:
    runtime = charliecloud.recognise("charliecloud", "/b/ch-run", "0.38")
    assert runtime.refuses(str(tmp_path), ()) == ""
    assert "ch-convert" in runtime.refuses(image, ())
    assert runtime.failure(1, "ch-run[7]: error: can't bind: x\n").endswith("can't bind: x")
    assert runtime.lacks_program("ch-run[7]: error: can't execve(2): /bin/sh: No such file or directory")


def test_the_first_that_takes_an_image_is_chosen_unless_one_is_wanted(tmp_path: Path, image: str) -> None:
    ch_run = charliecloud.recognise("charliecloud", "/b/ch-run", "0.38")
    real = apptainer.recognise("apptainer", "/a", "apptainer version 1.4.5")
    assert choose((ch_run, real), "", image, (), "n").name == "apptainer"
    assert choose((real, ch_run), "charliecloud", str(tmp_path), (), "n").name == "charliecloud"
    with pytest.raises(Unavailable, match="neither apptainer nor singularity is in PATH on n"):
        choose((), "", image, (), "n")
    with pytest.raises(Unavailable, match="singularity is not in PATH on n"):
        choose((real,), "singularity", image, (), "n")
    with pytest.raises(Unavailable, match="podman is unknown"):
        choose((real,), "podman", image, (), "n")


def test_those_in_path_are_found_and_asked(tmp_path: Path) -> None:
    for name, said in (("apptainer", "apptainer version 1.2.3"), ("ch-run", "0.30")):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {said}\n")
        (tmp_path / name).chmod(0o755)
    found = find({"PATH": f"/no/such:{tmp_path}"})
    assert {runtime.name: runtime.version for runtime in found} == {
        "apptainer": "1.2.3",
        "charliecloud": "0.30",
    }
    assert find({"PATH": "/no/such"}) == ()
