"""What a container sees and may change of what its agent works with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from scalebox_hpc.agent.command import Recipe
from scalebox_hpc.agent.container_sheet import read_wanted
from scalebox_hpc.agent.logs import Segment
from scalebox_hpc.agent.mounts import plan_view
from scalebox_hpc.agent.node import Node
from scalebox_hpc.agent.runtimes import apptainer
from scalebox_hpc.agent.workdir import Slot, WorkDirs, link_bin
from tests.security.leavings import collected

RUNTIME = apptainer.recognise("apptainer", "/opt/apptainer", "apptainer version 1.4.5")


class Site:
    """An agent's scratch directory as it is at work, and the sheet of a module with an image."""

    def __init__(self, root: Path) -> None:
        self.root, self.outside = root / "scratch", root / "outside"
        self.results, shipped = root / "results", root / "files" / "d1"
        for folder in (self.outside / "work", self.results, shipped):
            folder.mkdir(parents=True)
        (root / "i.sif").touch()
        (shipped / "tool").touch()
        self.sheet: dict[str, Any] = {
            "module": 3, "name": "work", "words": ["true"], "files": [["tool", str(shipped / "tool")]],
            "bin": [["tool", str(shipped / "tool")]], "results": str(self.results),
            "container": {"image": str(root / "i.sif")},
        }  # fmt: skip
        self.dirs = WorkDirs(str(self.root))
        self.dirs.make()
        self.bin_dir = link_bin(str(self.root), 3, self.sheet["bin"])
        link_bin(str(self.root), 4, self.sheet["bin"])  # of another module, perhaps without an image
        self.node = Node("n1", "0123456789abcdef", str(self.root), (RUNTIME,), {"PATH": "/nowhere"}, [])

    def slot(self) -> Slot:
        return Slot(0, str(self.root), (Segment(str(self.root / "o")), Segment(str(self.root / "e"))))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_container_writes_to_its_work_and_tmp_only_and_sees_no_more_of_its_agent(site: Site) -> None:
    """Not to the programs of other modules, what starts ranks, or files into which the agent writes."""
    wanted = read_wanted(site.sheet)
    assert wanted is not None
    tmp = site.root / "tmp" / "3"
    tmp.mkdir(parents=True)
    masks = str(site.root / "containers" / "3" / "masks")
    view = plan_view(wanted, site.sheet, str(site.root), masks, str(tmp), site.bin_dir)
    of_agent = {bind.target: bind.mode for bind in view.binds if bind.target.startswith(str(site.root))}
    assert of_agent == {
        str(site.root / "slots"): "rw",
        str(tmp): "rw",
        str(site.root / "gather"): "ro",
        str(site.root / "bin" / "3"): "ro",
    }
    shipped = [bind.mode for bind in view.binds if bind.target == str(site.root.parent / "files")]
    assert shipped == ["ro"]


def test_what_starts_ranks_is_out_of_their_reach(site: Site) -> None:
    """A launcher outside runs it: for the next task too."""
    recipe = Recipe({**site.sheet, "kind": "mpi", "nodes": 1, "ntasks": 2}, site.node, site.bin_dir)
    assert recipe.ranks is not None
    script = Path(recipe.ranks.env["SBX_CONTAINER"])
    shown = [word for word in script.read_text().split() if word.startswith(str(site.root))]
    assert [word for word in shown if word.endswith(":ro") or not str(script).startswith(word.split(":")[0])]
    assert not any(str(script).startswith(word.split(":")[0].rstrip("'")) for word in shown)


@pytest.mark.parametrize("kind", ["task", "mpi"])
def test_links_that_ranks_or_tasks_in_an_image_leave_are_not_followed(site: Site, kind: str) -> None:
    (site.outside / "secret").write_text("a secret\n")
    recipe = Recipe({**site.sheet, "kind": kind, "nodes": 1, "ntasks": 2}, site.node, site.bin_dir)
    work = Path(site.slot().path, "work")
    work.mkdir()
    (work / "messages.txt").symlink_to(site.outside / "secret")
    (work / "removed-files.txt").write_text(f"{site.outside}/secret\n")
    rules = {"name": "work", "to": ["next"], "modules": ["work", "next"]}
    found = collected(work, site.results, rules, chunks=site.root / "chunks" / "x", walls=recipe.walls)
    assert "does not have" in found.problem
    assert (found.messages, found.removed) == ([], [])


def test_a_launcher_without_an_image_reaches_what_its_user_does(site: Site) -> None:
    sheet = {**site.sheet, "kind": "mpi", "nodes": 1, "ntasks": 2, "container": None}
    assert Recipe(sheet, site.node, site.bin_dir).walls == ()


def test_a_slot_that_was_swapped_for_a_link_is_left_alone(site: Site) -> None:
    """Else the agent would put aside, and delete, what is called `work` where the link leads."""
    slot = site.slot()
    site.dirs.prepare(slot, [])
    os.rename(slot.path, site.root / "slots" / "hidden")
    os.symlink(site.outside, slot.path)
    with pytest.raises(NotADirectoryError, match="something else in its place"):
        site.dirs.prepare(slot, [("tool", "/x")])
    assert (site.outside / "work").is_dir()


def test_a_work_directory_that_was_swapped_for_a_link_is_put_aside_as_a_link(site: Site) -> None:
    slot = site.slot()
    site.dirs.prepare(slot, [])
    (site.outside / "work").chmod(0o755)
    os.rename(slot.work, f"{slot.path}/hidden")
    os.symlink(site.outside / "work", slot.work)
    site.dirs.put_aside(slot.work)
    assert (site.outside / "work").stat().st_mode & 0o777 == 0o755
