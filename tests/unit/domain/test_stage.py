"""Transfers inserted into pipelines of any shape, and what stays as it was."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalebox_hpc.agent import staged
from scalebox_hpc.domain.pipeline import (
    Command,
    Gather,
    Module,
    Pipeline,
    Place,
    Pool,
    Seed,
    Stage,
    from_json,
    to_json,
)
from scalebox_hpc.domain.site import Site, Ssh
from scalebox_hpc.domain.stage import HOME, POOL, references, routes, with_transfers
from scalebox_hpc.engine.closing import graph_of, upstream

SITES = {
    "local": Site("local", batch="local"),
    "beside": Site("beside"),
    "own": Site("own", shared="/scratch/own"),
    "b": Site("b", ssh=Ssh("b")),
    "c": Site("c", ssh=Ssh("c")),
}
BODY = (("body",),)
IN, OUT, BOTH = Stage((BODY,)), Stage((), ("*.x",)), Stage((BODY,), ("*.x",))
NAMES = ["m", "n", "o", "p", "q"]


def pipeline(*modules: Module, site: str = "local", **at: str) -> Pipeline:
    """A pipeline whose modules are at these sites, `"b c"` for several, each in the pools of its sites."""
    placed = {}
    for each in modules:
        first, *more = at.get(each.name, site).split()
        places = tuple(map(Place, (first, *more))) if more else ()
        placed[each.name] = replace(each, pool=first, places=places)
    pools = {name: Pool(name, name) for name in {site, *" ".join(at.values()).split()}}
    return Pipeline("p", "", "/p", site, {}, placed, pools)


SEED = Seed("list", ("x",))


def module(name: str, *to: str, stage: Stage | None = None, **more: object) -> Module:
    return replace(Module(name, Command((("true",),)), to, stage=stage), **more)


def inserted(before: Pipeline) -> Pipeline:
    return with_transfers(before, routes(before, SITES))


def test_a_module_elsewhere_gets_a_transfer_on_each_side() -> None:
    first, far = module("first", "far", seed=SEED), module("far", "last", stage=BOTH)
    after = inserted(pipeline(first, far, module("last"), far="b"))
    assert {name: each.to for name, each in after.modules.items()} == {
        "first": ("far-in",),
        "far-in": ("far",),
        "far": ("far-out",),
        "far-out": ("last",),
        "last": (),
    }
    assert after.modules["first"].via == {"far": "far-in"}
    assert after.modules["far"].via == {"last": "far-out"}
    assert after.modules["far-out"].via is None
    assert {after.modules[name].pool for name in ("far-in", "far-out")} == {POOL}
    assert after.modules["far-in"].command.words[-1] == BODY


def test_where_all_see_the_same_files_nothing_is_inserted() -> None:
    modules = [module("m", "n", stage=BOTH, seed=SEED), module("n", stage=BOTH)]
    for at in ({}, {"n": "beside"}, {"m": "beside", "n": "beside"}):
        before = pipeline(*modules, **at)
        assert inserted(before) == before
    of_one_shared_folder = pipeline(*modules, site="own")
    assert inserted(of_one_shared_folder) == of_one_shared_folder
    assert set(inserted(pipeline(*modules, site="b")).modules) == {"m-in", "m", "m-out", "n-in", "n", "n-out"}


def test_seeds_reach_a_module_elsewhere_through_its_transfer() -> None:
    after = inserted(pipeline(module("m", stage=IN, seed=SEED), m="b"))
    assert (after.modules["m-in"].seed, after.modules["m"].seed) == (SEED, None)


def test_senders_of_several_sites_have_a_transfer_each() -> None:
    to_far = [
        module("m", "far", seed=SEED),
        module("n", "far"),
        module("o", "far", stage=OUT),
    ]
    after = inserted(pipeline(*to_far, module("far", stage=IN), n="c", o="b", far="b"))
    receivers = {name: after.modules[name].to for name in ("m", "n", "o", "o-out")}
    assert receivers == {
        "m": ("far-in-home",),
        "n": ("far-in-c",),
        "o": ("o-out",),
        "o-out": ("far-in-home",),
    }
    from_same_site = inserted(pipeline(*to_far[:2], module("far", stage=IN), n="b", far="b"))
    assert (from_same_site.modules["m"].to, from_same_site.modules["n"].to) == (("far-in",), ("far",))


def test_a_module_at_several_sites_is_bound_by_its_transfer_and_sends_from_each() -> None:
    seeded, last = module("m", "last", stage=BOTH, seed=SEED), module("last", stage=IN)
    after = inserted(pipeline(seeded, last, m="local b c")).modules
    assert after["m-in"].inserted.sites == {"local": "", "b": "b", "c": "c"}
    assert (after["m"].bound, after["m"].to) == (True, ("last", "m-out-b", "m-out-c"))
    assert {site: after["m"].via_of(site) for site in ("local", "b")} == {
        "local": {"last": "last"},
        "b": {"last": "m-out-b"},
    }
    assert after["m-out-b"].inserted.sites == {"b": "b"}
    assert after["m-out-b"].to == ("last",)
    without_out = inserted(pipeline(module("m", "last", seed=SEED), last, m="local b")).modules
    assert without_out["m"].via_of("b") == {"last": "last-in"}
    assert without_out["m"].to == ("last", "last-in")
    assert not without_out["m"].bound


def test_behind_a_gather_the_transfer_gathers_by_its_task() -> None:
    gather = Gather("all")
    after = inserted(pipeline(module("m", "g", seed=SEED), module("g", stage=OUT, gather=gather), g="b"))
    assert after.modules["g"].gather == gather
    assert after.modules["g-out"].gather == Gather("header", staged.SENDER, ("1",))


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    """Any graph of up to five modules at any sites; gathers stage nothing in."""
    names = NAMES[: draw(st.integers(1, len(NAMES)))]
    modules = []
    for name in names:
        to = tuple(draw(st.lists(st.sampled_from(names), unique=True)))
        gather = draw(st.sampled_from([None, None, Gather("all"), Gather("header", "h")]))
        stage = draw(st.sampled_from([None, OUT] if gather else [None, IN, OUT, BOTH]))
        seed = SEED if gather is None and draw(st.booleans()) else None
        modules.append(module(name, *to, stage=stage, gather=gather, seed=seed))
    several = st.lists(st.sampled_from(list(SITES)), min_size=1, max_size=3, unique=True).map(" ".join)
    at = {name: draw(several) for name in names}
    return pipeline(*modules, site=draw(st.sampled_from(list(SITES))), **at)


def receivers(after: Pipeline, sender: str, site: str) -> dict[str, list[str]]:
    """Through which transfers a message of a task at a site comes to each receiver of its module."""
    found = {}
    own = after.modules[sender]
    via = own.via_of(site)
    for said in own.to if via is None else via:
        way, name = [], said if via is None else via[said]
        assert name in own.to
        while after.modules[name].inserted is not None:
            way.append(name)
            following = after.modules[name]
            if following.inserted.way == "out":
                name = said if following.via is None else following.via[said]
            else:
                (name,) = following.to
        assert name == said
        found[said] = way
    return found


@given(pipelines())
def test_every_message_comes_to_whom_it_was_sent_with_its_files(before: Pipeline) -> None:
    found = routes(before, SITES)
    after = with_transfers(before, found)
    for name, module in before.modules.items():
        for site in before.sites_of(module):
            ways = receivers(after, name, site)
            assert list(ways) == list(module.to)
            for receiver, way in ways.items():
                expected, source = [], found.at[name][site]
                if module.stage is not None and module.stage.outputs and source != HOME:
                    expected, source = [(name, "out", source.site)], HOME
                stage, targets = before.modules[receiver].stage, set(found.at[receiver].values())
                if stage is not None and stage.inputs and targets != {source}:
                    expected.append((receiver, "in", source.site))
                passed = [after.modules[each].inserted for each in way]
                assert [(each.of, each.way, each.source) for each in passed] == expected


@given(pipelines())
def test_a_transfer_knows_the_sites_that_it_serves_where_their_files_differ(before: Pipeline) -> None:
    found = routes(before, SITES)
    for module in with_transfers(before, found).modules.values():
        if module.inserted is not None:
            sites, at = module.inserted.sites, found.at[module.inserted.of]
            served = {site: each for site, each in at.items() if module.inserted.way == "in" or site in sites}
            assert sites == (
                {site: each.site for site, each in served.items()} if len(set(at.values())) > 1 else {}
            )
            if module.inserted.way == "out" and sites:
                assert {each.site for each in served.values()} == {module.inserted.source}
        elif module.name in before.modules:
            several = len(set(found.at[module.name].values())) > 1
            needs_some = module.stage is not None and module.stage.inputs
            comes = found.ins or found.outs  # else nobody sends anything anywhere
            assert module.bound == bool(several and needs_some and comes)


@given(pipelines())
def test_what_reaches_what_and_what_gathers_stays(before: Pipeline) -> None:
    after = inserted(before)
    of_before, of_after = (
        upstream(graph_of({name: each.to for name, each in one.modules.items()})) for one in (before, after)
    )
    for name, module in before.modules.items():
        assert of_after[name] & set(before.modules) == of_before[name]
        assert after.modules[name].gather == module.gather
        seeded = [
            each.name for each in after.modules.values() if each.seed and each.name.split("-")[0] == name
        ]
        assert len(seeded) == bool(module.seed)


@given(pipelines())
def test_an_inserted_pipeline_is_kept_and_read_back(before: Pipeline) -> None:
    after = inserted(before)
    assert from_json(json.loads(json.dumps(to_json(after)))) == after


REFERENCES = [
    ["/a/x", "/b/y"],
    ['["/a/x", "/a/y z"]', "/b/c/"],
    ["[not json", "[1]", "b:/x"],
    ["/a/x", "/a/x"],
]
BAD = [["/a/x", "/b/x"], [""], ["/"], ["/a/.."], ["/a\nb"], ["/a/messages.txt"], ["publish"]]


@pytest.mark.parametrize("texts", REFERENCES)
def test_transfer_and_agent_read_references_alike(texts: list[str]) -> None:
    assert references(texts) == staged.named(texts)


@pytest.mark.parametrize("texts", BAD)
def test_transfer_and_agent_refuse_references_alike(texts: list[str]) -> None:
    with pytest.raises(ValueError, match=r"names no file|would both|of this name"):
        references(texts)
    with pytest.raises(staged.StageProblem):
        staged.named(texts)
