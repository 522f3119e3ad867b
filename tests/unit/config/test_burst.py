"""Modules that name several sites."""

from __future__ import annotations

import pytest

from scalebox_hpc.config.pipeline import load_module_sites
from scalebox_hpc.domain.pipeline import Place, from_json, to_json
from scalebox_hpc.domain.site import Site, Ssh
from tests.unit.config.conftest import SITES

HEAD = 'sbx = 1\n[pipeline]\nname = "p"\n'
WORK = HEAD + '[modules.work]\nrun = "echo {body}"\nseed = ["x"]\n'


def pools_of(load_text, more: str) -> dict[str, str]:
    """The pools of `work` with their sites, in its order."""
    found = load_text(WORK + more).pipeline
    return {name: found.pools[name].site for name in found.modules["work"].pools}


def test_several_sites_give_a_pool_at_each(load_text):
    found = load_text(WORK + 'site = ["local", "cluster"]\n').pipeline
    module = found.modules["work"]
    assert module.places == (Place("default"), Place("default-cluster"))
    assert (module.pool, found.sites_of(module)) == ("default", ("local", "cluster"))
    assert found.members("default-cluster") == [module]
    assert from_json(to_json(found)) == found


def test_an_entry_may_say_more_of_a_site(load_text):
    text = 'site = ["cluster", { name = "local", weight = 0.5, when_pending = "10m" }]\n'
    module = load_text(WORK + text).pipeline.modules["work"]
    assert module.places == (Place("default-cluster"), Place("default", 0.5, 600.0))


def test_one_site_in_a_list_is_the_same_as_its_name(load_text):
    listed, named = (load_text(WORK + f"site = {value}\n").pipeline for value in ('["cluster"]', '"cluster"'))
    assert listed == named


def test_where_it_may_run_does_not_change_what_a_module_is(load_text):
    one, two = load_text(WORK).pipeline, load_text(WORK + 'site = ["local", "cluster"]\n').pipeline
    assert one.modules["work"].digest == two.modules["work"].digest


def test_a_pool_of_its_own_is_one_at_each_site(load_text):
    own = pools_of(load_text, 'site = ["local", "cluster"]\npool = { slots = 3 }\n')
    assert own == {"work": "local", "work-cluster": "cluster"}
    ranks = pools_of(load_text, 'site = ["cluster", "local"]\nkind = "mpi"\n')
    assert ranks == {"work": "cluster", "work-local": "local"}


def test_each_site_may_name_a_pool_of_its_own(load_text):
    sites = 'site = ["local", { name = "cluster", pool = "gpus" }]\n'
    pool = '[pools.gpus]\nsite = "cluster"\nmachine = "gpu"\n'
    assert pools_of(load_text, sites + pool) == {"default": "local", "gpus": "cluster"}


def test_defaults_may_name_several_sites(load_text, tmp_path):
    text = WORK + '[defaults]\nsite = ["local", "cluster"]\n'
    found = load_text(text).pipeline
    assert found.sites_of(found.modules["work"]) == ("local", "cluster")
    assert load_module_sites(tmp_path / "pipeline.toml") == {"work": "local, cluster"}


def test_a_task_must_fit_at_each_site(refuse_text):
    (found,) = refuse_text(WORK + 'site = ["local", "cluster"]\nresources = { cpus = 40 }\n')
    assert found.key == "modules.work.resources.cpus"
    assert "machine cpu of site cluster has 32" in found.problem


@pytest.mark.parametrize(
    ("value", "key", "fact"),
    [
        ("[]", "site", "names no site"),
        ("7", "site", "must be a site's name or a list of sites, not a whole number"),
        ('["local", 7]', "site[1]", "must be a site's name or a table"),
        ('["local", "local"]', "site[1]", "names local again"),
        ('["local", "nowhere"]', "site", "there is no site 'nowhere'"),
        ('["local", { weight = 2 }]', "site[1].name", "is missing"),
        ('["local", { name = "cluster", wait = "1m" }]', "site[1].wait", "unknown key"),
        ('["local", { name = "cluster", weight = 0 }]', "site[1].weight", "0 is out of range"),
        ('["local", { name = "cluster", weight = -1 }]', "site[1].weight", "-1 is out of range"),
        ('["local", { name = "cluster", when_pending = 10 }]', "site[1].when_pending", "has no unit"),
        (
            '[{ name = "local", when_pending = "1m" }, "cluster"]',
            "site[0].when_pending",
            "no site stands before",
        ),
    ],
)
def test_what_cannot_be_is_refused(refuse_text, value, key, fact):
    (found,) = refuse_text(WORK + f"site = {value}\n")
    assert (found.key, found.line) == (f"modules.work.{key}", 7)
    assert fact in found.problem
    assert found.remedy


def test_a_named_pool_is_at_one_site_only(refuse_text):
    (found,) = refuse_text(WORK + 'site = ["local", "cluster"]\npool = "default"\n')
    assert "pool default is of site local, and the module runs at site cluster" in found.problem


def test_a_pool_that_an_entry_names_must_be_there(refuse_text):
    (found,) = refuse_text(WORK + 'site = ["local", { name = "cluster", pool = "none" }]\n')
    assert "there is no pool 'none'" in found.problem


SEVERAL = 'site = ["local", "far"]\n'


def test_files_are_staged_for_sites_whose_files_differ(load_text, monkeypatch):
    monkeypatch.setitem(SITES, "far", Site("far", ssh=Ssh("far.example.org")))
    receiver = '[modules.next]\nrun = "cat $SBX_STAGED"\nstage = { in = ["{body}"] }\n'
    text = WORK + SEVERAL + 'to = ["next"]\nstage = { in = ["{body}"] }\n' + receiver
    modules = load_text(text).pipeline.modules
    assert list(modules) == ["work-in", "work", "next-in", "next"]
    assert modules["work"].bound
    assert modules["work"].to == ("next", "next-in")


def test_a_gather_leaves_its_files_at_one_site(refuse_text, monkeypatch):
    monkeypatch.setitem(SITES, "far", Site("far", ssh=Ssh("far.example.org")))
    of_all = WORK.replace('seed = ["x"]', 'gather = { by = "all" }').replace("{body}", "{bodies}")
    first = '[modules.first]\nrun = "true"\nseed = ["x"]\nto = ["work"]\n'
    (found,) = refuse_text(of_all + SEVERAL + 'stage = { out = ["*.txt"] }\n' + first)
    assert found.key == "modules.work.stage"
    assert "a gather that leaves files" in found.problem


def test_sites_with_the_same_files_stage_as_one(load_text):
    found = load_text(WORK + 'site = ["local", "cluster"]\nstage = { out = ["*.txt"] }\n').pipeline
    assert list(found.modules) == ["work"]
