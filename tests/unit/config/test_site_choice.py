"""Modules at sites of their own: which pool each has, what is checked against which site."""

from __future__ import annotations

import json

import pytest

from scalebox_hpc.config.pipeline import load_module_sites

HEAD = 'sbx = 1\n[pipeline]\nname = "p"\n'
TWO = (
    HEAD
    + '[modules.here]\nrun = "echo {body}"\nseed = ["x"]\nto = ["there"]\n'
    + '[modules.there]\nrun = "echo {body}"\nsite = "cluster"\n'
)


def site_of(pipeline, name: str) -> str:
    return pipeline.pools[pipeline.modules[name].pool].site


def test_each_site_has_a_default_pool_of_its_own(load_text):
    checked = load_text(TWO)
    found = checked.pipeline
    assert {name: pool.site for name, pool in found.pools.items()} == {
        "default": "local",
        "default-cluster": "cluster",
    }
    assert (site_of(found, "here"), site_of(found, "there")) == ("local", "cluster")
    assert (found.pools["default"].idle_s, found.pools["default-cluster"].idle_s) == (2.0, 30.0)
    assert set(checked.sites) == {"local", "cluster"}


def test_the_sites_word_of_the_command_line_does_not_move_a_module_that_names_its_site(load_text):
    found = load_text(TWO.replace('"cluster"', '"local"'), site="cluster").pipeline
    assert (site_of(found, "here"), site_of(found, "there")) == ("cluster", "local")


def test_a_module_that_names_the_runs_own_site_shares_its_default_pool(load_text):
    found = load_text(TWO, site="cluster").pipeline
    assert list(found.pools) == ["default"]


def test_a_default_holds_for_modules_that_do_not_say_otherwise(load_text):
    found = load_text(
        TWO.replace('run = "echo', 'site = "local"\nrun = "echo', 1) + '[defaults]\nsite = "cluster"\n'
    )
    assert (site_of(found.pipeline, "here"), site_of(found.pipeline, "there")) == ("local", "cluster")


def test_a_named_pool_has_a_site_and_machines_of_that_site(load_text):
    text = TWO + 'pool = "gpus"\nresources = { gpus = 2 }\n[pools.gpus]\nsite = "cluster"\nmachine = "gpu"\n'
    pool = load_text(text).pipeline.pools["gpus"]
    assert (pool.site, pool.machine) == ("cluster", "gpu")


def test_a_pool_of_its_own_is_at_the_modules_site(load_text):
    found = load_text(TWO + 'pool = { machine = "gpu" }\n').pipeline
    assert (found.pools["there"].site, found.pools["there"].machine) == ("cluster", "gpu")


def test_where_a_module_runs_does_not_change_what_it_is(load_text):
    here, there = load_text(TWO.replace("cluster", "local")).pipeline, load_text(TWO).pipeline
    assert here.modules["there"].digest == there.modules["there"].digest


@pytest.mark.parametrize(
    ("more", "key", "line", "fact", "remedy"),
    [
        (
            'pool = "small"\n[pools.small]\nslots = 4\n',
            "modules.there.pool",
            11,
            "pool small is of site local, and the module runs at site cluster",
            'write site = "cluster" in the pool',
        ),
        (
            'pool = { site = "local" }\n',
            "modules.there.pool",
            11,
            "pool there is of site local",
            'write site = "cluster" in the pool',
        ),
        (
            "[pools.default-cluster]\nslots = 4\n",
            "modules.there.site",
            10,
            "pool default-cluster is of site local",
            'write site = "cluster" in the pool',
        ),
        (
            '[pools.far]\nsite = "clutser"\n',
            "pools.far.site",
            12,
            "there is no site 'clutser'",
            "did you mean `cluster`?",
        ),
        (
            "resources = { cpus = 33 }\n",
            "modules.there.resources.cpus",
            11,
            "cpus 33 never fits: machine cpu of site cluster has 32",
            "ask for less",
        ),
        ("site2 = 1\n", "modules.there.site2", 11, "unknown key", "did you mean `site`?"),
    ],
)
def test_what_does_not_fit_its_site_is_refused(refuse_text, more, key, line, fact, remedy):
    (found,) = refuse_text(TWO + more)
    assert (found.key, found.line) == (key, line)
    assert fact in found.problem
    assert remedy in found.remedy


def test_an_unknown_site_that_two_modules_name_is_told_once(refuse_text):
    text = (
        HEAD
        + '[defaults]\nsite = "nope"\n[modules.a]\nrun = "true {body}"\nseed = ["x"]\n'
        + '[modules.b]\nuse = "shell"\n'
    )
    found = [problem for problem in refuse_text(text) if "no site" in problem.problem]
    assert [problem.key for problem in found] == ["defaults.site"]


def test_the_sites_of_modules_are_read_without_their_files(load_text, tmp_path):
    load_text(TWO)
    assert json.dumps(load_module_sites(tmp_path / "pipeline.toml")) == '{"there": "cluster"}'
