"""`check`, `plan`, `describe`, `schema`: without a daemon, and without a trace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scalebox_hpc.errors import PipelineErrors, UsageError
from tests.cli.conftest import Say

PIPELINE = """
sbx = 1
[pipeline]
name = "primes"
[params]
limit = 1000
[params.step]
default = 10
min = 1
help = "how many numbers one task looks at"
[pools.big]
machine = "fat"
slots = 64
[modules.scatter]
run = ["echo", "{body}", "{params.step}"]
seed = ["{params.limit}", "2", "3", "4", "5"]
to = ["count"]
pool = "big"
[modules.count]
run = ["echo", "{body}"]
"""

SITE = """
batch = "slurm_cli"
[machines.thin]
default = true
cpus = 2
memory = "4G"
[machines.fat]
partition = "fat"
cpus = 4
memory = "16G"
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pipeline.toml").write_text(PIPELINE)
    (tmp_path / "site-configs").mkdir()
    (tmp_path / "site-configs" / "hpc1.toml").write_text(SITE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SBX_HOME", raising=False)
    return tmp_path


def test_check_says_that_all_is_well(sbx: Say, directory: Path) -> None:
    result = sbx(None, "check", "--site", "hpc1")
    assert result.exit_code == 0
    assert result.stdout.startswith("primes: no problems in 2 modules")


def test_check_tells_all_problems_with_file_key_and_line(sbx: Say, directory: Path) -> None:
    bad = PIPELINE.replace('to = ["count"]', 'to = ["cuont"]').replace("slots = 64", "slost = 64")
    (directory / "pipeline.toml").write_text(bad)
    with pytest.raises(PipelineErrors) as refused:
        sbx(None, "check", "--site", "hpc1")
    found = {problem.key: problem for problem in refused.value.problems}
    assert {"modules.scatter.to[0]", "pools.big.slost"} <= {*found} or len(found) >= 2
    assert all(problem.line and problem.file == "pipeline.toml" for problem in found.values())


def test_check_in_json_lists_problems_and_exits_2(sbx: Say, directory: Path) -> None:
    (directory / "pipeline.toml").write_text(PIPELINE.replace("sbx = 1\n", ""))
    result = sbx(None, "check", "--json")
    assert result.exit_code == 2
    found = json.loads(result.stdout)
    assert found["warnings"] == []
    assert found["problems"][0]["key"] == "sbx"


def test_plan_prints_each_pools_first_script_and_submits_nothing(sbx: Say, directory: Path) -> None:
    text = sbx(None, "plan", "--site", "hpc1").stdout
    assert "pool big at hpc1, machine fat, for scatter" in text
    assert "first submission at once: 2 elements of 4 cpus, 16.0G, 4h; 4 tasks at once in each" in text
    assert "#SBATCH --array=0-1\n" in text
    assert "#SBATCH --partition=fat\n" in text
    assert "first submission when messages reach count" in text
    assert sorted(path.name for path in directory.iterdir()) == ["pipeline.toml", "site-configs"]


def test_plan_in_json(sbx_json: Say, directory: Path) -> None:
    pools = sbx_json(None, "plan", "--site", "hpc1")["pools"]
    assert {pool["pool"]: pool["elements"] for pool in pools}["big"] == 2
    assert all(pool["script"].startswith("#!/bin/sh\n") for pool in pools)


RANKED = """
[modules.flow]
kind = "mpi"
run = "mpirun ./flow {body}"
seed = ["1"]
resources = { nodes = 2, ntasks = 6, memory = "1G" }
"""


def test_plan_shows_what_a_task_of_several_nodes_asks_for(sbx: Say, sbx_json: Say, directory: Path) -> None:
    (directory / "pipeline.toml").write_text(PIPELINE.replace("cpus = 2", "cpus = 4") + RANKED)
    (directory / "site-configs" / "hpc1.toml").write_text(SITE.replace("cpus = 2", "cpus = 8"))
    text = sbx(None, "plan", "--site", "hpc1").stdout
    assert "1 element of 2 nodes with 1.0G each, 6 ranks of 1 cpus, 4h; a task has one to itself" in text
    for option in ("nodes=2", "ntasks=6", "ntasks-per-node=3", "cpus-per-task=1", "mem=1024M"):
        assert f"#SBATCH --{option}\n" in text
    assert "/runs/primes-XXXX/work" in text
    pools = sbx_json(None, "plan", "--site", "hpc1")["pools"]
    assert {pool["pool"]: (pool["nodes"], pool["ntasks"]) for pool in pools} == {
        "default": (1, 0),
        "big": (1, 0),
        "flow": (2, 6),
    }


def test_plan_of_the_local_site_has_no_script(sbx: Say, directory: Path) -> None:
    (directory / "pipeline.toml").write_text(PIPELINE.replace('machine = "fat"\n', ""))
    assert "without sbatch" in sbx(None, "plan").stdout


def test_describe_shows_parameters_with_their_rules(sbx: Say, sbx_json: Say, directory: Path) -> None:
    lines = sbx(None, "describe").stdout.splitlines()
    assert lines[2].split()[:2] == ["step", "whole"]
    assert "at least 1" in lines[2]
    assert "how many numbers one task looks at" in lines[2]
    assert [param["name"] for param in sbx_json(None, "describe")["params"]] == ["limit", "step"]


def test_schema_is_json_schema(sbx: Say) -> None:
    found = json.loads(sbx(None, "schema").stdout)
    assert found["$schema"].startswith("https://json-schema.org/")
    assert {"sbx", "pipeline", "modules"} <= set(found["properties"])


STANDARD = (
    PIPELINE
    + """
[modules.each]
use = "shell"
seed = ["true"]
image = "docker://x"
container = { reuse = "task" }
binds = ["/tmp", "/var:/v:ro"]
"""
)


def test_describe_shows_the_standard_modules_that_are_used(sbx: Say, directory: Path) -> None:
    (directory / "pipeline.toml").write_text(STANDARD)
    result = sbx(None, "describe")
    assert "each    shell  run the body of each message as a shell command line" in result.stdout
    found = json.loads(sbx(None, "describe", "--json").stdout)["standard"]
    assert [(each["module"], each["name"]) for each in found] == [("each", "shell")]


def test_plan_shows_what_runs_in_which_container(sbx: Say, directory: Path) -> None:
    (directory / "pipeline.toml").write_text(STANDARD)
    result = sbx(None, "plan", "--site", "hpc1")
    assert "each in docker://x by the node's runtime, a container a task, with /tmp, /v (ro)" in result.stdout


def test_module_ls_lists_those_of_the_directory_too(sbx: Say, directory: Path) -> None:
    own = directory / "modules" / "own"
    own.mkdir(parents=True)
    (own / "module.toml").write_text('description = "mine"\nrun = "true"\n')
    head, *names = [line.split()[0] for line in sbx(None, "module", "ls").stdout.splitlines()]
    assert head == "name"
    assert {"own", "copy", "python", "shell"} <= set(names)
    found = json.loads(sbx(None, "module", "ls", "--json").stdout)["standard"]
    assert {each["name"]: each["directory"] for each in found}["own"] == str(own)


def test_module_show_says_what_goes_in_and_what_comes_out(sbx: Say, directory: Path) -> None:
    text = sbx(None, "module", "show", "python").stdout
    assert text.startswith("python: call a Python function")
    assert "env.CALL" in text
    assert "messages.jsonl" in text
    found = json.loads(sbx(None, "module", "show", "python", "--json").stdout)
    assert [item["name"] for item in found["inputs"] if item["required"]] == ["env.CALL"]


def test_module_show_of_an_unknown_name_lists_those_there_are(sbx: Say, directory: Path) -> None:
    with pytest.raises(UsageError) as refused:
        sbx(None, "module", "show", "shel")
    assert "did you mean `shell`?" in refused.value.hint


STAGED = """
sbx = 1
[pipeline]
name = "survey"
[modules.split]
run = ["cat", "{body}"]
seed = ["x"]
to = ["align"]
[modules.align]
site = "b"
run = ["cat"]
stage = { in = ["{body}"], out = ["*.bam"] }
to = ["total"]
[modules.total]
run = ["cat", "{bodies}"]
gather = { by = "all" }
"""

TREE = """\
survey at local
split: at local, seeded
└─ align-in: inserted, brings files for align from home to b
   └─ align: at b, stages in {body}, stages out *.bam
      └─ align-out: inserted, brings files and messages of align from b to home
         └─ total: at local, gathers all
"""


@pytest.fixture
def staged(directory: Path) -> Path:
    (directory / "pipeline.toml").write_text(STAGED)
    site = f'batch = "local"\n[paths]\nshared = "{directory}/b"\n'
    (directory / "site-configs" / "b.toml").write_text(site)
    return directory


def test_graph_shows_sites_gathers_and_inserted_transfers(sbx: Say, staged: Path) -> None:
    result = sbx(None, "graph")
    assert (result.exit_code, result.stdout) == (0, TREE)
    modules = json.loads(sbx(None, "graph", "--json").stdout)["modules"]
    assert {each["module"]: (each["site"], each["to"]) for each in modules} == {
        "split": ("local", ["align-in"]),
        "align-in": ("local", ["align"]),
        "align": ("b", ["align-out"]),
        "align-out": ("local", ["total"]),
        "total": ("local", []),
    }
    assert [each["module"] for each in modules if each["inserted"]] == ["align-in", "align-out"]


SEVERAL = """\
survey at local
split: at local, seeded
└─ align-in: inserted, brings files for align from home to local or b, where its tasks start first
   └─ align: at local, b, stages in {body}, stages out *.bam
      ├─ total: at local, gathers all
      └─ align-out: inserted, brings files and messages of align from b to home
         └─ total (above)
"""


def test_graph_and_plan_show_where_files_may_follow(sbx: Say, staged: Path) -> None:
    text = STAGED.replace('site = "b"', 'site = ["local", "b"]')
    (staged / "pipeline.toml").write_text(text)
    assert sbx(None, "graph").stdout == SEVERAL
    assert "home to local or b" in sbx(None, "graph", "--dot").stdout
    (of_b,) = [
        pool for pool in json.loads(sbx(None, "plan", "--json").stdout)["pools"] if pool["site"] == "b"
    ]
    assert (of_b["modules"], of_b["elements"]) == (["align"], 1)


def test_graph_draws_dot_and_mermaid(sbx: Say, staged: Path) -> None:
    dot = sbx(None, "graph", "--dot").stdout
    assert '"align-in" [label="align-in\\nhome to b", style=dashed];' in dot
    assert '"align-out" -> "total";' in dot
    mermaid = sbx(None, "graph", "--mermaid").stdout.splitlines()
    assert mermaid[0] == "flowchart LR"
    assert '    m4[["total<br/>at local, gathers all"]]' in mermaid
    assert "    m3 --> m4" in mermaid
    with pytest.raises(UsageError, match="different pictures"):
        sbx(None, "graph", "--dot", "--json")


def test_plan_shows_what_is_inserted(sbx: Say, staged: Path) -> None:
    pools = json.loads(sbx(None, "plan", "--json").stdout)["pools"]
    (transfers,) = [pool for pool in pools if pool["pool"] == "transfers"]
    assert transfers["modules"] == ["align-in", "align-out"]
    assert "align-in brings files for align from home to b" in sbx(None, "plan").stdout


def test_a_module_called_as_an_inserted_transfer_is_refused(sbx: Say, staged: Path) -> None:
    other = '[modules.align-in]\nrun = ["cat", "{body}"]\nseed = ["y"]\n'
    (staged / "pipeline.toml").write_text(STAGED + other)
    with pytest.raises(PipelineErrors) as caught:
        sbx(None, "check")
    (problem,) = caught.value.problems
    assert problem.key == "modules.align.stage"
    assert "call [modules.align-in] otherwise" in problem.remedy


def test_check_counts_what_is_inserted_and_the_pool_of_transfers_may_be_written(
    sbx: Say, staged: Path
) -> None:
    (staged / "pipeline.toml").write_text(STAGED + "[pools.transfers]\nslots = 3\n")
    result = sbx(None, "check")
    assert result.output == "survey: no problems in 3 modules and 2 inserted transfers at sites b, local\n"
    (transfers,) = [
        p for p in json.loads(sbx(None, "plan", "--json").stdout)["pools"] if p["pool"] == "transfers"
    ]
    assert transfers["modules"] == ["align-in", "align-out"]
    together = STAGED.replace('site = "b"\n', "") + "[pools.transfers]\nslots = 3\n"
    (staged / "pipeline.toml").write_text(together)
    assert sbx(None, "check").output == "survey: no problems in 3 modules at site local\n"
