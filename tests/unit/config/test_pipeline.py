"""What a right pipeline becomes, and what is only doubtful."""

import json
import subprocess
from pathlib import Path

import pytest

from scalebox_hpc.config import pools
from scalebox_hpc.config.pipeline import load, load_parameters
from scalebox_hpc.domain.pipeline import Gather, Resources, RetryRule, Seed, from_json, to_json
from scalebox_hpc.domain.site import Site
from scalebox_hpc.errors import PipelineErrors

HEAD = 'sbx = 1\n[pipeline]\nname = "p"\n'
GOOD = '[modules.a]\nrun = "echo {body}"\nseed = ["x"]\n'
A = HEAD + GOOD

PRIMES = """
sbx = 1
[pipeline]
name = "primes"
title = "How many primes are below a limit?"
[params]
limit = 1_000_000
[params.step]
default = 10_000
min = 1
help = "how many numbers one task looks at"
[pools.small]
slots = 64
walltime = "2h"
idle = "1m"
[modules.scatter]
run = "./scatter {body} {params.step}"
seed = ["{params.limit}"]
to = ["count"]
[modules.count]
image = "python.sif"
run = ["python3", "count.py", "{body}"]
to = ["total"]
pool = "small"
resources = { cpus = 1, memory = "500M", gpus = 0, time = "10m", scratch = "1G" }
retry = [
  { on = [1, 75], retries = 3, delay = "5s", backoff = 2.0 },
  { on = "oom", retries = 2, memory = "x2" },
]
[modules.total]
run = "paste -sd+ {bodies} | bc"
gather = { by = "all" }
[x-notes]
anything = 1
"""
BESIDE = {"scatter": "#!/bin/sh\n", "count.py": "print()", "python.sif": "", "bin/tool": "#!/bin/sh\n"}


def test_the_pipeline_of_the_design_is_read_whole(load_text, tmp_path):
    checked = load_text(PRIMES, BESIDE, {"limit": "1000"})
    pipeline = checked.pipeline
    scatter, count, total = pipeline.modules.values()
    assert checked.warnings == ()
    assert (scatter.command.text, scatter.command.values) == (
        './scatter "$1" "$2"',
        ((("body",),), ("10000",)),
    )
    assert scatter.command.shell == ("bash", "-euo", "pipefail", "-c")
    assert scatter.seed == Seed("list", ("1000",))
    assert [(file.name, file.executable) for file in scatter.files] == [("scatter", True)]
    assert count.command.words == (("python3",), ("count.py",), (("body",),))
    assert count.image == f"{tmp_path}/python.sif"
    assert count.resources == Resources(1, 500, 0, 1024, 600.0)
    assert count.retry == (RetryRule((1, 75), 3, 5.0, 2.0), RetryRule(("oom",), 2, memory_factor=2.0))
    assert total.gather == Gather("all")
    assert (pipeline.params, pipeline.directory) == ({"limit": "1000", "step": "10000"}, str(tmp_path))
    assert [file.name for file in pipeline.bin] == ["tool"]
    small, default = pipeline.pools["small"], pipeline.pools["default"]
    assert (small.slots, small.walltime_s, small.idle_s, small.site) == (64, 7200.0, 60.0, "local")
    assert (default.slots, default.walltime_s, default.idle_s) == (100, 14400.0, 2.0)


def test_a_pipeline_survives_the_ledger(load_text):
    pipeline = load_text(PRIMES, BESIDE).pipeline
    assert from_json(json.loads(json.dumps(to_json(pipeline)))) == pipeline


def test_another_site_has_its_own_pools(load_text):
    pools = load_text(A + 'resources = { time = "10h" }\n', site="cluster").pipeline.pools
    assert (pools["default"].site, pools["default"].idle_s) == ("cluster", 30.0)
    assert pools["default"].walltime_s == 12 * 3600.0


def test_a_pool_of_its_own_is_called_after_its_module(load_text):
    pipeline = load_text(
        A + 'pool = { walltime = "12h", machine = "gpu" }\nresources = { gpus = 2 }\n', site="cluster"
    ).pipeline
    assert list(pipeline.pools) == ["a"]
    assert (pipeline.modules["a"].pool, pipeline.pools["a"].machine) == ("a", "gpu")


def test_the_default_pool_can_be_described(load_text):
    assert load_text(A + "[pools.default]\nslots = 3\n").pipeline.pools["default"].slots == 3


def test_defaults_fill_in_what_a_module_does_not_say(load_text):
    text = (
        A + 'resources = { cpus = 2 }\n[modules.b]\nrun = "echo {body}"\nseed = ["y"]\nenv = { X = "own" }\n'
    )
    text += (
        '[defaults]\nresources = { cpus = 4, memory = "2G" }\nenv = { X = "1", Y = "2" }\nrepeat = "again"\n'
    )
    a, b = load_text(text).pipeline.modules.values()
    assert (a.resources.cpus, a.resources.memory_mib, a.env, a.repeat) == (
        2,
        2048,
        {"X": "1", "Y": "2"},
        "again",
    )
    assert (b.resources.cpus, b.env) == (4, {"X": "own", "Y": "2"})


def test_a_list_gets_values_verbatim_and_parameters_as_literals(load_text):
    text = (
        HEAD
        + "[modules.a]\nrun = ['echo', 'a-{body}-{headers._x.y}', '{{task}} ${slot} {b}', 'n={params.n}']\n"
    )
    module = load_text(text + "seed = ['x']\n[params]\nn = 0.50\n").pipeline.modules["a"]
    assert module.command.words[1:] == (
        ("a-", ("body",), "-", ("headers", "_x.y")),
        ("{task} ${slot} {b}",),
        ("n=0.5",),
    )


def test_a_text_passes_each_value_once_and_in_order(load_text):
    names = " ".join(f"{{headers.h{n}}}" for n in range(10))
    command = load_text(A.replace("{body}", names + " {headers.h0}")).pipeline.modules["a"].command
    assert command.text == 'echo "$1" "$2" "$3" "$4" "$5" "$6" "$7" "$8" "$9" "${10}" "$1"'
    values = [f"v {n}" for n in range(10)]
    done = subprocess.run(
        [*command.shell, command.text, "sbx", *values], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("v ")[-2:] == ["9 ", "0\n"]


def test_a_text_that_sets_its_own_shell_ships_it(load_text):
    text = A.replace("echo {body}", "true {body}") + "shell = ['./strict', '-c']\n"
    module = load_text(text, {"strict": "#!/bin/bash\n"}).pipeline.modules["a"]
    assert module.command.shell == ("./strict", "-c")
    assert [file.name for file in module.files] == ["strict"]


@pytest.mark.parametrize(
    ("run", "names"),
    [
        ("python3 ./src/../src/x.py data.txt {body}", ["data.txt", "src/x.py"]),
        ("cat < data.txt > old.txt; echo {body}", ["data.txt"]),
        ("x=data.txt; cat $x {body}", []),
        ("cat 'data.txt' {params.table} {body}", ["data.txt", "old.txt"]),
        ("ls src {body}", []),
        ("echo {body} | (cat data.txt -)", ["data.txt"]),
    ],
)
def test_words_that_name_files_beside_are_shipped(load_text, run, names):
    files = {"src/x.py": "", "data.txt": "", "old.txt": ""}
    text = A.replace("echo {body}", run) + "[params]\ntable = 'old.txt'\n"
    assert [file.name for file in load_text(text, files).pipeline.modules["a"].files] == names


def test_listed_files_are_shipped_too(load_text):
    module = load_text(A + "files = ['lib/m.py']\n", {"lib/m.py": "x = 1"}).pipeline.modules["a"]
    assert module.files[0].name == "lib/m.py"
    assert not module.files[0].executable


WARNINGS = [
    ("run = 'echo hi'", {}, "modules.a.run", "the message is used nowhere", "$SBX_BODY"),
    ("run = 'echo {bdy} {body}'", {}, "modules.a.run", "{bdy} is no placeholder", "did you mean {body}?"),
    ("run = 'echo {param.x} {body}'", {}, "modules.a.run", "{param.x} is no placeholder", "{params.x}"),
    ("run = ['bash', '-c', 'echo {body}']", {}, "modules.a.run[2]", "becomes shell text", "one text"),
    ("run = 'cat d/ {body}'", {"d/x": ""}, "modules.a.run", "is a directory", "$SBX_PIPELINE"),
    ("run = 'cc x.c; ./x {body}'", {}, "modules.a.run", "no program ./x", "beside pipeline.toml"),
    ("run = 'print({body})'\nshell = ['python3', '-c']", {}, "modules.a.shell", "$1, $2", "$SBX_BODY"),
    ("run = 'echo {body}'\nforward = true", {}, "modules.a.forward", "no effect", "add `to`"),
    ("run = 'echo {body}'\n[pools.x]", {}, "pools.x", "no module uses", 'pool = "x"'),
    ("run = 'echo {body}'\n[modules.b]\nrun = 'echo {body}'", {}, "modules.b", "never reached", "a seed"),
    ("run = 'echo {body}'", {"bin/x": ""}, "", "bin/x is not executable", "chmod"),
    (
        "run = 'echo {body}'\nretry = [{ on = 'exit', retries = 1 }, { on = 3, retries = 1 }]",
        {},
        "modules.a.retry[1]",
        "never used",
        "first",
    ),
]


@pytest.mark.parametrize(("text", "files", "key", "problem", "remedy"), WARNINGS)
def test_what_is_only_doubtful_is_a_warning(load_text, text, files, key, problem, remedy):
    (found,) = load_text(f"{HEAD}[modules.a]\nseed = ['x']\n{text}\n", files).warnings
    assert found.key == key
    assert problem in found.problem
    assert remedy in found.remedy


@pytest.mark.parametrize(
    "content", ["echo $SBX_BODY", "x = os.environ['SBX_HEADER_A']", "$SBX_HEADERS", "SBX_MEMBERS"]
)
def test_a_message_that_a_shipped_file_reads_is_used(load_text, content):
    assert load_text(A.replace("echo {body}", "sh x.sh"), {"x.sh": content}).warnings == ()


def test_a_word_outside_of_the_directory_is_not_shipped(load_text, tmp_path):
    (tmp_path.parent / "outside.txt").write_text("x")
    (found,) = load_text(A.replace("echo {body}", "cat ../outside.txt {body}")).warnings
    assert "outside the pipeline's directory" in found.problem


def test_a_big_file_is_not_shipped(load_text, tmp_path):
    with (tmp_path / "big.dat").open("wb") as stream:
        stream.truncate((64 << 20) + 1)
    checked = load_text(A.replace("echo {body}", "cat big.dat {body}"))
    assert checked.pipeline.modules["a"].files == ()
    assert "larger than 64.0M" in checked.warnings[0].problem


def test_braces_of_the_shell_and_of_awk_bring_no_warning(load_text):
    run = "awk '{print $1}' x; echo a{1,2} ${HOME} {}; echo {body}"
    assert load_text(HEAD + f'[modules.a]\nseed = ["x"]\nrun = """{run}"""\n').warnings == ()


def test_paths_are_made_absolute_where_they_were_written(load_text, tmp_path):
    text = A + "[params.data]\ndefault = 'in/x'\npath = true\n"
    assert load_text(text).pipeline.params["data"] == f"{tmp_path}/in/x"
    assert load_text(text, params={"data": "y"}).pipeline.params["data"] == f"{tmp_path}/cwd/y"
    assert load_text(text, params={"data": "/z"}).pipeline.params["data"] == "/z"


def test_a_parameter_keeps_its_type(load_text):
    text = A + "[params]\ni = 1\nf = 1.0\nb = true\ns = 'x'\n"
    given = {"i": "1_000", "f": "1e-3", "b": "False", "s": "5"}
    assert load_text(text, params=given).pipeline.params == {
        "i": "1000",
        "f": "0.001",
        "b": "false",
        "s": "5",
    }
    assert [param.type for param in load_text(text).parameters] == [
        "whole number",
        "number",
        "true or false",
        "text",
    ]


def test_a_required_parameter_that_is_given_is_no_problem(load_text, tmp_path):
    text = A + "[params.x]\nmin = 1\nhelp = 'how many'\n"
    assert load_text(text, params={"x": "7"}).pipeline.params == {"x": "7"}
    (parameter,) = load_parameters(tmp_path / "pipeline.toml")
    assert (parameter.help, parameter.value, parameter.least) == ("how many", None, 1)


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        ("{ file = '{params.f}' }", Seed("file", ("s.txt",))),
        ("{ stdin = true }", Seed("stdin")),
        ("{ command = 'ls {params.f}' }", Seed("command", ('ls "${1}"', "s.txt"))),
        ("{ glob = '*.txt' }", Seed("glob", ("*.txt",))),
        (
            "{ product = { a = [1, 0.5], b = ['{params.f}', true] } }",
            Seed("product", axes=(("a", ("1", "0.5")), ("b", ("s.txt", "true")))),
        ),
        (
            "{ csv = 's.csv', body = '{x}-{{y}}-{params.f}' }",
            Seed("csv", ("s.csv",), (("headers", "x"), "-{y}-s.txt")),
        ),
        ("[1, 'b']", Seed("list", ("1", "b"))),
    ],
)
def test_each_kind_of_seed_is_read(load_text, seed, expected):
    text = A.replace('["x"]', seed) + "[params]\nf = 's.txt'\n"
    assert load_text(text, {"s.txt": "a\n", "s.csv": "x,y\n1,2\n"}).pipeline.modules["a"].seed == expected


def test_a_size_may_come_from_a_header_or_a_parameter(load_text):
    text = (
        A + "to = ['b']\n[modules.b]\nrun = 'cat {members}'\ngather = { regex = 'ch(\\\\d+)', size = SIZE }\n"
    )
    text = text.replace("regex = 'ch(\\\\d+)'", 'regex = "ch(\\\\d+)"') + "[params]\nn = 24\n"
    gathers = [
        load_text(text.replace("SIZE", size)).pipeline.modules["b"].gather
        for size in ("24", "'{params.n}'", "'{headers._n}'")
    ]
    assert [gather.size for gather in gathers] == [("24",), ("24",), (("headers", "_n"),)]
    assert gathers[0].pattern == r"ch(\d+)"


def digests(load_text, text, files=None, params=None):
    return load_text(text, files, params).pipeline.modules["a"].digest


def test_the_digest_changes_with_what_matters_and_with_nothing_else(load_text):
    text = A.replace("echo {body}", "sh x.sh {body}") + "[params]\nused = 1\nother = 1\n"
    files = {"x.sh": "echo $SBX_PARAM_USED"}
    first = digests(load_text, text, files)
    assert digests(load_text, text.replace('["x"]', '["y"]') + "# a comment", files) == first
    assert digests(load_text, text, files, {"other": "2"}) == first
    assert digests(load_text, text, files, {"used": "2"}) != first
    assert digests(load_text, text.replace("{body}", "{body} -v"), files) != first
    assert digests(load_text, text, {"x.sh": "echo $SBX_PARAM_USED 2"}) != first
    assert digests(load_text, text.replace("seed", "env = { A = '1' }\nseed"), files) != first


def test_the_digest_outlives_a_move(tmp_path):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        text = A + 'image = "x.sif"\n[params.d]\ndefault = "in"\npath = true\n'
        (tmp_path / name / "pipeline.toml").write_text(text.replace("{body}", "{body} {params.d}"))
        (tmp_path / name / "x.sif").touch()
    here, there = (
        load(tmp_path / name / "pipeline.toml").pipeline.modules["a"] for name in ("here", "there")
    )
    assert here.image != there.image
    assert here.digest == there.digest


def test_on_this_machine_a_task_must_fit_this_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(pools, "cpus_here", lambda: 2)
    monkeypatch.setattr(pools, "memory_here_mib", lambda: 4096)
    (tmp_path / "pipeline.toml").write_text(A + "resources = { cpus = 3, memory = '5G' }\n")
    with pytest.raises(PipelineErrors) as caught:
        load(tmp_path / "pipeline.toml", sites={"local": Site(name="local", batch="local")})
    assert [problem.problem for problem in caught.value.problems] == [
        "cpus 3 never fits: site local has 2",
        "memory 5.0G never fits: site local has 4.0G",
    ]


def test_an_image_may_lie_elsewhere(load_text, tmp_path):
    for image in ("docker://alpine:3", "oras://x/y", f"oci-archive:{tmp_path}/x.tar"):
        assert load_text(A + f'image = "{image}"\n').pipeline.modules["a"].image == image
    assert (
        load_text(A + 'image = "oci-archive:x.tar"\n').pipeline.modules["a"].image
        == f"oci-archive:{tmp_path}/x.tar"
    )


def test_a_relative_path_to_the_pipeline_is_fine(load_text, tmp_path, monkeypatch):
    load_text(A)
    monkeypatch.chdir(tmp_path)
    assert load(Path("pipeline.toml")).pipeline.directory == str(tmp_path)
