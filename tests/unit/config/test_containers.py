"""`container`, `binds` and `kind` of a module, `[containers]` of a site."""

import json
import os
import sys
from pathlib import Path

import pytest

from scalebox_hpc.config import site as sites
from scalebox_hpc.config.binds import Sight
from scalebox_hpc.domain.container import Bind, Container, Containers
from scalebox_hpc.domain.pipeline import from_json, to_json
from scalebox_hpc.errors import PipelineErrors

HEAD = 'sbx = 1\n[pipeline]\nname = "p"\n'  # lines 1 to 3
A = HEAD + '[modules.a]\nrun = "echo {body}"\nseed = ["x"]\nimage = "docker://x"\n'  # lines 4 to 7
MPI = A + 'kind = "mpi"\n'  # line 8
B = '[modules.b]\nrun = "echo {body}"\nseed = ["x"]\n'


@pytest.fixture
def one(load_text):
    """Load a pipeline with one module `a` and return it."""
    return lambda text, **more: load_text(text, **more).pipeline.modules["a"]


def test_without_a_word_a_container_lives_as_long_as_its_agent(one):
    module = one(A)
    assert (module.container, module.binds, module.kind) == (Container("agent", "", ()), (), "task")


def test_a_container_is_read_with_parameters_in_its_options(one):
    text = A + 'container = { reuse = "task", runtime = "singularity", args = ["--dns={params.x}"] }\n'
    text += "[params]\nx = 1\n"
    assert one(text).container == Container("task", "singularity", ("--dns=1",))


def test_a_module_wins_over_the_defaults_key_by_key(one):
    text = A + "container = { args = [] }\n"
    text += '[defaults]\ncontainer = { reuse = "task", args = ["--x"] }\nbinds = ["/tmp"]\n'
    module = one(text)
    assert module.container == Container("task", "", ())
    assert module.binds == (Bind("/tmp", "/tmp"),)


def test_binds_are_absolute_or_beside_the_pipeline(one, tmp_path):
    (tmp_path / "ref").mkdir()
    text = (
        A + f'binds = ["ref:/ref:ro", "{tmp_path}//ref/.", "{{params.d}}:/in/./x/"]\n[params]\nd = "/tmp"\n'
    )
    assert one(text).binds == (
        Bind(f"{tmp_path}/ref", "/ref", "ro"),
        Bind(f"{tmp_path}/ref", f"{tmp_path}/ref", "rw"),
        Bind("/tmp", "/in/x", "rw"),
    )


def test_a_source_may_begin_at_the_users_directory(one, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert one(A + 'binds = ["~:/me"]\n').binds == (Bind(str(tmp_path), "/me"),)


WRONG = [
    ("container = 'task'", "modules.a.container", "must be a table", "{ ... }"),
    ("container = { reuse = 'never' }", "modules.a.container.reuse", "'never'", "values: agent, task"),
    (
        "container = { runtime = 'docker' }",
        "modules.a.container.runtime",
        "'docker'",
        "apptainer, singularity",
    ),
    ("container = { runtime = '' }", "modules.a.container.runtime", "''", "apptainer"),
    ("container = { args = '--nv' }", "modules.a.container.args", "a list of texts", '["--nv"]'),
    ("container = { args = ['--bind=/a'] }", "modules.a.container.args[0]", "said by `binds`", "binds ="),
    ("container = { args = ['-B', '/a'] }", "modules.a.container.args[0]", "said by `binds`", "binds ="),
    ("container = { args = [''] }", "modules.a.container.args[0]", "is empty", "one word a text"),
    ("container = { resue = 'task' }", "modules.a.container.resue", "unknown key", "did you mean `reuse`?"),
    ("reuse = 'task'", "modules.a.reuse", "unknown key", "container = { reuse = ... }"),
    ("bind = ['/tmp']", "modules.a.bind", "unknown key", "binds ="),
    ("binds = '/tmp'", "modules.a.binds", "a list of texts", '["/tmp"]'),
    ("binds = [1]", "modules.a.binds[0]", "must be a text", "quotes"),
    ("binds = ['']", "modules.a.binds[0]", "names no source", "/source"),
    ("binds = ['/tmp:data']", "modules.a.binds[0]", "data is no absolute path", "/source:/target"),
    ("binds = ['/tmp:/a/../b']", "modules.a.binds[0]", "no absolute path", "/source:/target"),
    ("binds = ['/tmp:']", "modules.a.binds[0]", "the target is no absolute path", "/source:/target"),
    ("binds = ['/tmp:/']", "modules.a.binds[0]", "over /", "below it"),
    ("binds = ['/tmp:ro']", "modules.a.binds[0]", "lacks its target", '"/tmp:/tmp:ro"'),
    ("binds = ['/tmp:/a:r']", "modules.a.binds[0]", "neither ro nor rw", "modes: rw, ro"),
    ("binds = ['/tmp:/a:ro:x']", "modules.a.binds[0]", "is no bind", "/source:/target:ro"),
    ("binds = ['$HOME/x']", "modules.a.binds[0]", "a variable", "{params.NAME}"),
    ("binds = ['/tmp', '/var:/tmp']", "modules.a.binds[1]", "/tmp is bound twice", "take one"),
    ("binds = ['{body}']", "modules.a.binds[0]", "{body} cannot be used", "{params.NAME}"),
    ("kind = 'MPI'", "modules.a.kind", "'MPI'", "did you mean `mpi`?"),
    ("resources = { nodes = 2 }", "modules.a.resources.nodes", 'kind = "mpi"', 'write kind = "mpi"'),
    ("resources = { ntasks = 2 }", "modules.a.resources.ntasks", 'kind = "mpi"', 'write kind = "mpi"'),
    ("nodes = 2", "modules.a.nodes", "unknown key", "resources = { nodes = ... }"),
]


@pytest.mark.parametrize(("line", "key", "problem", "remedy"), WRONG)
def test_a_wrong_key_is_named_with_its_line_and_a_remedy(refuse_text, line, key, problem, remedy):
    found = [each for each in refuse_text(A + line) if each.key == key]
    assert [each.line for each in found] == [8]
    assert problem in found[0].problem
    assert remedy in found[0].remedy


def test_a_source_that_is_missing_here_is_named_with_its_key(refuse_text, tmp_path):
    (tmp_path / "reference").mkdir()
    (problem,) = refuse_text(A + f'binds = ["/tmp", "{tmp_path}/referenec:/ref:ro"]\n')
    assert (problem.key, problem.line) == ("modules.a.binds[1]", 8)
    assert f"there is no {tmp_path}/referenec" in problem.problem
    assert f"did you mean `{tmp_path}/reference`?" in problem.remedy


def test_a_source_beside_the_pipeline_is_missed_for_any_site(refuse_text):
    (problem,) = refuse_text(A + 'binds = ["ref"]\n', site="cluster")
    assert problem.key == "modules.a.binds[0]"


def test_what_may_differ_on_a_compute_node_is_only_warned_of(load_text):
    checked = load_text(A + 'binds = ["/dev/nothing0", "/tmp"]\n', site="cluster")
    (warning,) = checked.warnings
    assert (warning.key, "`launch`" in warning.remedy) == ("modules.a.binds[0]", True)
    assert [bind.source for bind in checked.pipeline.modules["a"].binds] == ["/dev/nothing0", "/tmp"]


def test_a_mounted_file_system_is_the_same_on_all_nodes(tmp_path, monkeypatch):
    there = Path("/proc/self").parent  # mounted everywhere, so its device is not that of /
    monkeypatch.setattr("scalebox_hpc.config.binds._OF_A_NODE", ("/dev",))
    sight = Sight(tmp_path, is_here=False)
    assert sight.lacks(there / "nothing") is True
    assert sight.lacks(there) is False
    assert sight.lacks(Path("/nothing-at-all/x")) is None
    assert Sight(None, is_here=True).lacks(Path("/nothing-at-all/x")) is True


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
def test_a_place_where_one_may_not_look_is_not_judged(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    assert Sight(tmp_path, is_here=True).lacks(closed / "x") is None


def test_binds_and_container_of_the_bare_host_are_warned_of(load_text):
    text = A.replace('image = "docker://x"\n', 'container = {}\nbinds = ["/tmp"]\n')
    assert [warning.key for warning in load_text(text).warnings] == ["modules.a.container", "modules.a.binds"]
    assert not load_text(A + B + '[defaults]\nbinds = ["/tmp"]\ncontainer = { reuse = "task" }\n').warnings


def test_what_its_container_is_makes_part_of_a_modules_digest(one):
    lines = ["", 'container = { reuse = "task" }\n', 'binds = ["/tmp"]\n', 'binds = ["/tmp:/tmp:ro"]\n']
    digests = {one(A + line).digest for line in [*lines, 'kind = "mpi"\n']}
    assert len(digests) == 5
    assert (
        one(A + 'container = { reuse = "agent", args = [] }\nbinds = []\nkind = "task"\n').digest
        == one(A).digest
    )


def test_a_module_of_before_containers_keeps_its_digest(load_text):
    text = HEAD + '[modules.a]\nrun = "echo {body}"\nseed = ["x"]\n'
    digest = load_text(text).pipeline.modules["a"].digest
    assert digest == "d6eecf817f4f0b7b0503d72ec7651ef10fc500af32db0d17aefed38cd272d238"


def test_the_ledger_keeps_containers_and_reads_pipelines_of_before(one, load_text):
    text = (
        MPI
        + 'resources = { nodes = 2, ntasks = 4 }\nbinds = ["/tmp:/t:ro"]\ncontainer = { args = ["--x"] }\n'
    )
    pipeline = load_text(text, site="cluster").pipeline
    kept = json.loads(json.dumps(to_json(pipeline)))
    assert from_json(kept) == pipeline
    module = kept["modules"]["a"]
    for key in ("container", "binds", "kind"):
        del module[key]
    for key in ("nodes", "ntasks"):
        del module["resources"][key]
    old = from_json(kept).modules["a"]
    assert (old.container, old.binds, old.kind, old.resources.nodes) == (Container(), (), "task", 1)


def test_an_mpi_module_has_a_pool_for_itself_and_a_rank_a_node(load_text):
    pipeline = load_text(MPI + "resources = { nodes = 3, cpus = 2 }\n" + B, site="cluster").pipeline
    module = pipeline.modules["a"]
    assert (module.kind, module.pool, pipeline.modules["b"].pool) == ("mpi", "a", "default")
    assert (module.resources.nodes, module.resources.ntasks) == (3, 3)
    assert set(pipeline.pools) == {"a", "default"}


def test_an_mpi_module_may_name_a_pool_that_nobody_else_has(load_text):
    text = MPI + 'pool = "big"\n[pools.big]\nslots = 2\n'
    assert load_text(text).pipeline.modules["a"].pool == "big"
    text = MPI + 'pool = { slots = 3 }\n[defaults]\npool = "big"\n[pools.big]\n' + B
    pipeline = load_text(text).pipeline
    assert (pipeline.pools["a"].slots, pipeline.modules["b"].pool) == (3, "big")


def test_a_pool_that_the_defaults_give_to_all_is_not_an_mpi_modules(load_text):
    pipeline = load_text(MPI + B + '[defaults]\npool = "big"\n[pools.big]\n').pipeline
    assert (pipeline.modules["a"].pool, pipeline.modules["b"].pool) == ("a", "big")


def test_an_mpi_module_does_not_share_a_pool(refuse_text):
    (problem,) = refuse_text(MPI + 'pool = "big"\n' + B + 'pool = "big"\n[pools.big]\n')
    assert (problem.key, problem.line) == ("modules.a.pool", 9)
    assert "also serves b" in problem.problem


def test_a_gather_may_be_of_kind_mpi(load_text):
    text = A + 'to = ["g"]\n[modules.g]\nkind = "mpi"\nrun = "cat {members}"\ngather = { by = "all" }\n'
    module = load_text(text + "resources = { nodes = 1, ntasks = 4 }").pipeline.modules["g"]
    assert (module.gather.by, module.resources.ntasks) == ("all", 4)


FITS = [
    ("nodes = 4, ntasks = 2", "modules.a.resources.ntasks", "2 ranks", "ntasks = 4"),
    ("nodes = 0", "modules.a.resources.nodes", "0 is out of range", "at least 1"),
    (
        "nodes = 2, ntasks = 33, cpus = 2",
        "modules.a.resources.cpus",
        "cpus 34 (33 ranks of 2",
        "ask for less",
    ),
    ("nodes = 2, memory = '65G'", "modules.a.resources.memory", "memory 65.0G", "ask for less"),
]


@pytest.mark.parametrize(("resources", "key", "problem", "remedy"), FITS)
def test_ranks_that_never_fit_are_refused(refuse_text, resources, key, problem, remedy):
    (found,) = refuse_text(MPI + f"resources = {{ {resources} }}\n", site="cluster")
    assert (found.key, found.line) == (key, 9)
    assert problem in found.problem
    assert remedy in found.remedy


def test_ranks_are_judged_node_by_node(load_text):
    assert load_text(MPI + "resources = { nodes = 2, ntasks = 64 }\n", site="cluster").pipeline


def test_a_local_site_is_one_node(refuse_text):
    (problem,) = refuse_text(MPI + "resources = { nodes = 2 }\n")
    assert (problem.key, "one machine" in problem.problem) == ("modules.a.resources.nodes", True)


def test_nodes_of_the_defaults_mean_mpi_modules_only(load_text):
    text = MPI + B + "[defaults]\nresources = { nodes = 2, ntasks = 4 }\n"
    modules = load_text(text, site="cluster").pipeline.modules
    assert (modules["a"].resources.nodes, modules["b"].resources.nodes) == (2, 1)


SITE = 'batch = "local"\n[containers]\n'  # lines 1 and 2


@pytest.fixture
def site(tmp_path):
    """Write a site file and read it."""

    def read(text):
        (tmp_path / "alpha.toml").write_text(text)
        return sites.read_site(tmp_path / "alpha.toml")

    return read


def test_a_site_says_what_holds_for_all_its_containers(site, tmp_path, monkeypatch):
    monkeypatch.setenv("SITE_TEST", str(tmp_path))
    text = 'runtime = "charliecloud"\nbinds = ["/tmp", "$SITE_TEST:/x:ro"]\nargs = ["--x"]'
    text += '\nlocal_copy = "unpacked"'
    binds = (Bind("/tmp", "/tmp"), Bind(str(tmp_path), "/x", "ro"))
    assert site(SITE + text).containers == Containers("charliecloud", binds, ("--x",), "unpacked")
    assert site(SITE + 'runtime = ""').containers == site('batch = "local"').containers == Containers()


@pytest.mark.parametrize(
    ("line", "key", "problem", "remedy"),
    [
        ("runtime = 'docker'", "containers.runtime", "'docker'", "apptainer"),
        ("reuse = 'task'", "containers.reuse", "unknown key", "container = { reuse"),
        ("binds = ['data']", "containers.binds[0]", "not an absolute path", "begin it with /"),
        ("binds = ['$NOPE_X/y']", "containers.binds[0]", "not filled in", "in full"),
        ("binds = ['/tmp/nothing-there/x']", "containers.binds[0]", "there is no", "make it"),
        ("args = ['-B/x']", "containers.args[0]", "said by `binds`", "binds ="),
        ("local_copy = 'yes'", "containers.local_copy", "'yes' is not a value", "no, file, unpacked"),
        ("local_copy = 'unpack'", "containers.local_copy", "'unpack'", "did you mean `unpacked`?"),
        ("local_copy = true", "containers.local_copy", "must be a text", "in quotes"),
    ],
)
def test_a_wrong_key_of_a_site_is_named(site, line, key, problem, remedy):
    with pytest.raises(PipelineErrors) as caught:
        site(SITE + line)
    (found,) = caught.value.problems
    assert (found.key, found.line) == (key, 3)
    assert problem in found.problem
    assert remedy in found.remedy


def test_a_bind_of_this_python_is_there(one):
    assert one(A + f'binds = ["{sys.executable}:/py"]\n').binds[0].target == "/py"
