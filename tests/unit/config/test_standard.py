"""`use`: where standard modules are found, how their keys and a pipeline's come together."""

import hashlib
import tomllib

import pytest

from scalebox_hpc.config import standard
from scalebox_hpc.config.pipeline import load_standards
from scalebox_hpc.config.places import installed
from scalebox_hpc.domain.container import Bind, Container
from scalebox_hpc.errors import PipelineErrors, UsageError

HEAD = 'sbx = 1\n[pipeline]\nname = "p"\n'  # lines 1 to 3
FLAG = HEAD + '[modules.a]\nuse = "flag"\nseed = ["x"]\n'  # lines 4 to 6
OWN = "modules/flag/module.toml"
TOML = """\
description = "flag bad channels"
run = ["python3", "lib/flag.py", "{body}"]
image = "flag.sif"
files = ["table.txt"]
binds = ["ref:/ref:ro"]
container = { reuse = "task", args = ["--x"] }
resources = { cpus = 2, memory = "4G" }
env = { LEVEL = "3", MODE = "fast" }
retry = [{ on = "oom", retries = 1, memory = "x2" }]
[inputs]
body = "path of a measurement set"
"env.LEVEL" = { help = "how strict", required = true }
[outputs]
"publish/flags.txt" = "the flags"
"""
FILES = {
    OWN: TOML,
    "modules/flag/lib/flag.py": "print(1)\n",
    "modules/flag/flag.sif": "",
    "modules/flag/table.txt": "1\n",
    "modules/flag/ref/x": "",
}


@pytest.fixture
def one(load_text):
    """Load a pipeline with one module `a` and return it."""
    return lambda text, files=FILES, **more: load_text(text, files, **more).pipeline.modules["a"]


@pytest.fixture
def refuse(load_text):
    """Load a pipeline that must be refused; return the problems, of whatever file."""

    def load_and_catch(text, files):
        with pytest.raises(PipelineErrors) as caught:
            load_text(text, files)
        return caught.value.problems

    return load_and_catch


def test_a_module_takes_all_from_the_standard_module(one, tmp_path):
    module, beside = one(FLAG), tmp_path / "modules/flag"
    assert module.command.words == (("python3",), ("lib/flag.py",), (("body",),))
    assert module.image == str(beside / "flag.sif")
    assert [(file.name, file.source) for file in module.files] == [
        ("lib/flag.py", str(beside / "lib/flag.py")),
        ("table.txt", str(beside / "table.txt")),
    ]
    assert module.binds == (Bind(str(beside / "ref"), "/ref", "ro"),)
    assert (module.container, module.env["MODE"]) == (Container("task", "", ("--x",)), "fast")
    assert (module.resources.cpus, module.retry[0].memory_factor, module.seed.values) == (2, 2.0, ("x",))


def test_what_the_pipeline_says_wins_over_it_and_it_over_the_defaults(one):
    text = (
        FLAG
        + 'resources = { cpus = 4 }\nenv = { MODE = "slow" }\ncontainer = { reuse = "agent" }\nretry = []\n'
    )
    text += '[defaults]\nresources = { cpus = 8, memory = "1G", time = "5m" }\nimage = "docker://other"\n'
    text += 'env = { MODE = "d", MORE = "1" }\nforward = true\n'
    module = one(text)
    assert (module.resources.cpus, module.resources.memory_mib, module.resources.time_s) == (4, 4096, 300.0)
    assert module.env == {"LEVEL": "3", "MODE": "slow", "MORE": "1"}
    assert (module.container, module.retry, module.forward) == (Container("agent", "", ("--x",)), (), True)
    assert module.image.endswith("flag.sif")


def test_files_and_binds_of_a_pipeline_are_added(one, tmp_path):
    module = one(FLAG + 'files = ["mine.txt"]\nbinds = ["/tmp"]\n', {**FILES, "mine.txt": "1\n"})
    assert [file.name for file in module.files] == ["lib/flag.py", "mine.txt", "table.txt"]
    assert [bind.target for bind in module.binds] == ["/ref", "/tmp"]


def test_a_program_of_the_pipelines_own_may_use_what_came_along(one, tmp_path):
    module = one(FLAG + 'run = ["python3", "mine.py", "{body}"]\n', {**FILES, "mine.py": ""})
    assert [file.name for file in module.files] == ["mine.py", "table.txt"]
    text = TOML.replace('files = ["table.txt"]', 'files = ["lib/flag.py"]')
    module = one(FLAG + 'run = ["pypy", "./lib/flag.py", "{body}"]\n', {**FILES, OWN: text})
    assert [file.source for file in module.files] == [str(tmp_path / "modules/flag/lib/flag.py")]


def test_a_run_is_the_same_wherever_its_standard_module_lies(one, tmp_path, monkeypatch):
    text = TOML.replace('binds = ["ref:/ref:ro"]\n', "")
    first = one(FLAG, {**FILES, OWN: text}).digest
    (tmp_path / "modules").rename(tmp_path / "elsewhere")
    (tmp_path / "config/sbx").mkdir(parents=True)
    (tmp_path / "elsewhere").rename(tmp_path / "config/sbx/modules")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert one(FLAG, {}).digest == first
    (tmp_path / "config/sbx/modules/flag/lib/flag.py").write_text("print(2)\n")
    assert one(FLAG, {}).digest != first


def test_two_files_of_one_name_are_refused(refuse):
    (problem,) = refuse(FLAG + 'files = ["lib/flag.py"]\n', {**FILES, "lib/flag.py": "print(2)\n"})
    assert "both be called lib/flag.py" in problem.problem


def test_problems_name_the_file_where_a_key_was_written(refuse, tmp_path):
    text = TOML.replace('cpus = 2, memory = "4G"', "cpus = 0, memory = 4").replace("ref:/ref:ro", "rfe:/ref")
    text = text.replace('files = ["table.txt"]', 'files = ["table.txt", "nothing.txt"]')
    more = 'files = ["gone.txt"]\nresources = { gpus = -1 }\n'
    found = {
        (problem.file, problem.key, problem.line) for problem in refuse(FLAG + more, {**FILES, OWN: text})
    }
    own, mine = str(tmp_path / OWN), str(tmp_path / "pipeline.toml")
    assert found == {
        (own, "resources.cpus", 7),
        (own, "resources.memory", 7),
        (own, "binds[0]", 5),
        (own, "files[1]", 4),
        (mine, "modules.a.files[0]", 7),
        (mine, "modules.a.resources.gpus", 8),
    }


WRONG = [
    ('use = "flga"', "modules.a.use", "there is no standard module 'flga'", "did you mean `flag`?"),
    ("use = 3", "modules.a.use", "must be a text", "quotes"),
    ('use = "../x"', "modules.a.use", "no name for a module", 'use = "shell"'),
]


@pytest.mark.parametrize(("line", "key", "problem", "remedy"), WRONG)
def test_a_name_that_is_none_is_refused(refuse, line, key, problem, remedy):
    found = [each for each in refuse(FLAG.replace('use = "flag"', line), FILES) if each.key == key]
    assert [each.line for each in found] == [5]
    assert problem in found[0].problem
    assert remedy in found[0].remedy


def test_an_unknown_name_gets_all_that_there_are(refuse):
    (problem,) = refuse(FLAG.replace('"flag"', '"zzz"'), FILES)
    listed = problem.remedy.partition("standard modules: ")[2].split(", ")
    assert {"flag", "python", "shell"} <= set(listed)
    assert listed == sorted(listed)


def test_what_it_needs_must_be_set(refuse):
    (problem,) = refuse(FLAG, {**FILES, OWN: TOML.replace('LEVEL = "3", ', "")})
    assert (problem.key, problem.line) == ("env", 8)
    assert "module flag needs LEVEL" in problem.problem
    assert "how strict" in problem.remedy


@pytest.mark.parametrize(
    ("old", "new", "key", "problem"),
    [
        ('description = "flag bad channels"', "", "description", "is missing"),
        ('description = "flag bad channels"', "description = 3", "description", "must be a text"),
        ("run =", "x-run.x =", "run", "is missing"),
        ("image =", 'to = ["b"]\nimage =', "to", "no place in a standard module"),
        ("image =", 'seed = ["b"]\nimage =', "seed", "no place in a standard module"),
        ("image =", 'use = "shell"\nimage =', "use", "no place in a standard module"),
        ("image =", 'imgae = "x"\nimage =', "imgae", "unknown key"),
        ("image =", 'setup = "x"\nimage =', "setup", "not in this version"),
        ("required = true", 'required = "yes"', "inputs.env.LEVEL.required", "must be true or false"),
        ("required = true", "needed = true", "inputs.env.LEVEL.needed", "unknown key"),
        ("body =", "body = 3 #", "inputs.body", "must be a text"),
    ],
)
def test_a_wrong_module_toml_is_told_with_its_file(refuse, tmp_path, old, new, key, problem):
    found = refuse(FLAG, {**FILES, OWN: TOML.replace(old, new)})
    matching = [each for each in found if each.key == key]
    assert [each.file for each in matching] == [str(tmp_path / OWN)]
    assert problem in matching[0].problem


def test_those_beside_the_pipeline_come_first_then_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for folder in (tmp_path / "config/sbx/modules", tmp_path / "pipe/modules"):
        for name in ("shell", "own"):
            (folder / name).mkdir(parents=True)
        (folder / "shell/module.toml").write_text(f'description = "{folder}"\nrun = "x"')
    search = standard.search_path(tmp_path / "pipe")
    assert standard.load_standard("shell", search).directory == tmp_path / "pipe/modules/shell"
    installed_names = {path.parent.name for path in installed("modules").glob("*/module.toml")}
    assert {"python", "shell"} <= installed_names
    assert set(standard.find_modules(search)) == installed_names, "a folder without module.toml is none"
    with pytest.raises(UsageError):
        standard.load_standard("own", search)


def test_the_installed_ones_say_what_goes_in_and_out():
    for path in standard.find_modules((installed("modules"),)).values():
        found = standard.read_standard(path)
        assert found.description
        assert {"body"} <= {item.name for item in found.inputs}
        assert all(item.help for item in (*found.inputs, *found.outputs))
        assert (path / "README.md").is_file()
        assert tomllib.loads((path / "module.toml").read_text())["run"]


def test_which_standard_modules_a_pipeline_uses_is_known_without_values(tmp_path):
    file = tmp_path / "pipeline.toml"
    file.write_text(
        HEAD + '[params.x]\nhelp = "needed"\n[modules.a]\nuse = "shell"\n[modules.b]\nrun = "x"\n'
    )
    assert {module: found.name for module, found in load_standards(file).items()} == {"a": "shell"}


PYTHON = HEAD + '[modules.a]\nuse = "python"\nseed = ["x"]\n'


def test_the_python_module_ships_the_file_that_it_calls(one, load_text):
    checked = load_text(PYTHON + 'env = { CALL = "lib/mine.py:f" }', {"lib/mine.py": "f = print\n"})
    names = {file.name: file.digest for file in checked.pipeline.modules["a"].files}
    assert set(names) == {"lib/mine.py", "sbx_python.py"}
    assert names["lib/mine.py"] == hashlib.sha256(b"f = print\n").hexdigest()
    assert not checked.warnings
    assert {file.name for file in one(PYTHON + 'env = { CALL = "package.mine:f" }', {}).files} == {
        "sbx_python.py"
    }


@pytest.mark.parametrize(
    ("line", "key", "problem"),
    [
        ("", "modules.a.env", "needs CALL"),
        ('env = { CALL = "" }', "modules.a.env", "needs CALL"),
        ('env = { CALL = "gone.py:f" }', "modules.a.env.CALL", "there is no file gone.py"),
        ('env = { CALL = "/x/y.py:f" }', "modules.a.env.CALL", "outside the pipeline's directory"),
    ],
)
def test_the_python_module_wants_to_know_what_to_call(refuse, line, key, problem):
    (found,) = refuse(PYTHON + line, {})
    assert found.key == key
    assert problem in found.problem


def test_the_shell_module_takes_another_shell(load_text):
    checked = load_text(HEAD + '[modules.a]\nuse = "shell"\nseed = ["x"]\nshell = ["sh", "-c"]\n')
    command = checked.pipeline.modules["a"].command
    assert (command.text, command.values, command.shell) == ('eval "$SBX_BODY"', (), ("sh", "-c"))
    assert not checked.warnings
