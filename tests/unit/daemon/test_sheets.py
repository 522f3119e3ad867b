"""What agents are told of a module's container, and what a container may never see."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scalebox_hpc.daemon.desk import SiteFacts
from scalebox_hpc.daemon.sheets import refuse_secret_binds, sheet_of
from scalebox_hpc.domain.allocation import Launch
from scalebox_hpc.domain.container import Bind, Container, Containers
from scalebox_hpc.domain.image import Image
from scalebox_hpc.domain.pipeline import Command, Module, Pipeline, Pool, Resources
from scalebox_hpc.domain.site import Site
from scalebox_hpc.errors import UsageError

HOME, SHARED = "/proj/.sbx", "/scratch/sbx-1"
IMAGE = Image("/images/sha256-ab.sif", "sha256:ab", "sif")
OF_SITE = Containers(
    "singularity", (Bind("/data", "/data"), Bind("/sw", "/sw", "ro")), ("--site",), "unpacked"
)
MODULE = Module(
    "count",
    Command(words=(("count",),)),
    image="/proj/python.sif",
    stored=IMAGE,
    container=Container("task", "", ("--own",)),
    binds=(Bind("/fast/data", "/data", "ro"),),
    resources=Resources(gpus=1),
)


def facts(containers: Containers = OF_SITE, shared: str = SHARED) -> SiteFacts:
    return SiteFacts(Site("hpc1", containers=containers), Launch("0" * 16, shared, "python3"))


def pipeline(module: Module) -> Pipeline:
    return Pipeline("p", "", "/proj", "hpc1", {}, {"count": module}, {"default": Pool("default", "hpc1")})


def test_a_sheet_holds_all_that_a_container_needs() -> None:
    sheet = sheet_of(pipeline(MODULE), MODULE, facts(), HOME)
    assert sheet["kind"] == "task"
    assert sheet["container"] == {
        "image": "/images/sha256-ab.sif",
        "digest": "sha256:ab",
        "runtime": "singularity",
        "args": ["--site", "--own"],
        "binds": [["/sw", "/sw", "ro"], ["/fast/data", "/data", "ro"]],
        "reuse": "task",
        "gpus": True,
        "local_copy": "unpacked",
        "mask": [HOME, SHARED],
    }


def test_a_modules_runtime_wins_and_nothing_is_chosen_where_nobody_says_one() -> None:
    own = replace(MODULE, container=Container(runtime="charliecloud"))
    assert sheet_of(pipeline(own), own, facts(), HOME)["container"]["runtime"] == "charliecloud"
    plain = replace(MODULE, container=Container(), binds=(), resources=Resources())
    container = sheet_of(pipeline(plain), plain, facts(Containers()), HOME)["container"]
    assert (container["runtime"], container["args"], container["binds"]) == ("", [], [])
    assert (container["reuse"], container["gpus"], container["local_copy"]) == ("agent", False, "no")


def test_the_bare_host_has_no_container() -> None:
    bare = replace(MODULE, image=None, stored=None)
    assert sheet_of(pipeline(bare), bare, facts(), HOME)["container"] is None


def test_directories_of_ours_cannot_be_bound(tmp_path: Path) -> None:
    home, shared = tmp_path / "proj/.sbx", tmp_path / "scratch/sbx-1"
    for folder in (home, shared):
        (folder / "tries").mkdir(parents=True)
    (tmp_path / "link").symlink_to(home)
    site = facts(Containers(), str(shared))
    for source in (home, home / "tries", shared / "tries", tmp_path / "link"):
        secret = replace(MODULE, binds=(Bind(str(source), "/x"),))
        with pytest.raises(UsageError, match=r"modules\.count\.binds: .* no container may see"):
            refuse_secret_binds(pipeline(secret), [site], str(home))
    bound = facts(Containers(binds=(Bind(str(shared), "/x"),)), str(shared))
    with pytest.raises(UsageError, match=r"containers\.binds of site hpc1"):
        refuse_secret_binds(pipeline(MODULE), [bound], str(home))
    above = replace(MODULE, binds=(Bind(str(tmp_path), "/x"), Bind(str(tmp_path / "scratch"), "/y")))
    refuse_secret_binds(pipeline(above), [site], str(home))  # those are masked instead
