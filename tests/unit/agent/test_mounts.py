"""What a container sees of the node, and what not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scalebox_hpc.agent.container_sheet import Wanted, read_wanted
from scalebox_hpc.agent.mounts import missing_source, plan_view
from scalebox_hpc.agent.runtimes import Bind


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in (
        "p/.sbx/shared/files/d1",
        "p/.sbx/shared/files/d2",
        "p/.sbx/shared/runs/r",
        "p/results",
        "s",
    ):
        (tmp_path / name).mkdir(parents=True)
    for name in ("d1/a", "d2/b"):
        (tmp_path / "p/.sbx/shared/files" / name).touch()
    return tmp_path


def sheet(place: Path) -> dict[str, Any]:
    files = place / "p/.sbx/shared/files"
    return {
        "pipeline": str(place / "p"),
        "results": str(place / "p/results"),
        "shared": str(place / "p/.sbx/shared/runs/r"),
        "files": [["a", str(files / "d1/a")], ["b", str(files / "d2/b")]],
        "bin": [],
    }


def wanted(*mask: str, **keys: Any) -> Wanted:
    said = read_wanted({"container": {"image": "/i.sif", "mask": list(mask), **keys}})
    assert said is not None
    return said


def test_masks_come_over_the_pipeline_and_what_tasks_need_over_masks(place: Path) -> None:
    home = str(place / "p/.sbx")
    view = plan_view(wanted(home, f"{home}/shared"), sheet(place), "/", str(place / "m"))
    below = [
        (bind.target.removeprefix(str(place)), bind.mode) for bind in view.binds if str(place) in bind.target
    ]
    assert below == [
        ("/p", "rw"),
        ("/p/results", "rw"),
        ("/p/.sbx", "ro"),
        ("/p/.sbx/shared", "ro"),
        ("/p/.sbx/shared/files", "ro"),
        ("/p/.sbx/shared/runs/r", "rw"),
    ]
    for bind in view.binds:
        if bind.source.startswith(str(place / "m")):
            assert Path(bind.source, "" if bind.target.endswith("shared") else "shared", "files").is_dir()
            assert [path for path in Path(bind.source).rglob("*") if not path.is_dir()] == []


def test_what_another_bind_would_show_of_a_mask_is_masked_too(place: Path) -> None:
    (place / "link").symlink_to(place / "p")
    home = str(place / "link/.sbx")
    view = plan_view(
        wanted(home, binds=[[str(place), "/data", "ro"]]), {}, str(place / "s"), str(place / "m")
    )
    masked = {bind.target for bind in view.binds if bind.source.startswith(str(place / "m"))}
    assert {"/data/p/.sbx", home, str(place / "p/.sbx")} <= masked


def test_a_mask_at_the_place_of_a_bind_wins(place: Path) -> None:
    home = str(place / "p/.sbx")
    view = plan_view(wanted(home, binds=[[home, home, "rw"]]), {}, str(place / "s"), str(place / "m"))
    assert [bind.mode for bind in view.binds if bind.target == home] == ["ro"]


def test_private_places_show_what_is_bound_below_them(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    binds = [[str(tmp_path / "data"), "/tmp/in/data", "ro"]]
    view = plan_view(wanted(binds=binds), {}, "/usr", str(tmp_path / "m"))
    assert (view.private, view.inner) == (("/tmp", "/var/tmp"), ("/tmp/in/data",))
    assert view.prepare(str(tmp_path / "own")) == {"in"}
    assert (tmp_path / "own/in/data").exists()
    targets = [bind.target for bind in view.with_private("/own")]
    assert targets.index("/tmp") < targets.index("/tmp/in/data")


def test_who_binds_tmp_gets_it(tmp_path: Path) -> None:
    view = plan_view(wanted(binds=[["/tmp", "/tmp", "rw"]]), {}, "/usr", str(tmp_path / "m"))
    assert view.private == ("/var/tmp",)


def test_a_source_that_is_not_there_is_named() -> None:
    assert missing_source(wanted(binds=[["/", "/", "rw"], ["/no/such", "/x", "rw"]])) == "/no/such"
    assert Bind("/a", "/b").mode == "rw"
