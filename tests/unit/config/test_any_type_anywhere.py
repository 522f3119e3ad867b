"""Whatever stands where: a pipeline or a site is read or refused, never a traceback."""

import contextlib
import tomllib

import pytest

from scalebox_hpc.config import site as sites
from scalebox_hpc.errors import PipelineErrors

ODD = [
    "1",
    "-1",
    "1.5",
    "true",
    '""',
    '"x"',
    '"{body}"',
    "[]",
    "[1]",
    '["x"]',
    "[[1]]",
    "{}",
    "{ x = 1 }",
    "[{}]",
]
ODD += ["1979-05-27", '"\\u0000"', '"a\\nb"', "nan", "99999999999999999999", '"/"', '".."', '"~"', '"*["']

FILES = {"s.csv": "c\n1\n", "call.py": "x = print\n"}

PIPELINE = """
sbx = 1
pipeline.name = "p"
pipeline.title = "t"
pipeline.site = "cluster"
params.x.default = 1
params.x.min = 0
params.x.max = 2
params.x.choices = [1, 2]
params.x.help = "h"
params.x.path = false
params.y = "y"
defaults.env.Z = "1"
defaults.resources.cpus = 2
pools.p.machine = "cpu"
pools.p.slots = 1
pools.p.walltime = "2h"
pools.p.idle = "1s"
modules.a.run = "echo {body} {params.x}"
modules.a.image = "docker://x"
modules.a.seed = ["x"]
modules.a.to = ["b"]
modules.a.pool = "p"
modules.a.resources.memory = "1G"
modules.a.resources.time = "1h"
modules.a.resources.scratch = "1h"
modules.a.retry = [{ on = 1, retries = 1, delay = "1s", backoff = 1.0, memory = "x2" }]
modules.a.env.A = "1"
modules.a.files = ["s.csv"]
modules.a.repeat = "again"
modules.a.output_limit = "1K"
modules.a.forward = true
modules.a.shell = ["bash", "-c"]
modules.a.container.reuse = "task"
modules.a.container.runtime = "apptainer"
modules.a.container.args = ["--x"]
modules.a.binds = ["s.csv:/s:ro"]
modules.a.kind = "task"
modules.b.run = ["cat", "{members}"]
modules.b.gather.header = "_c"
modules.b.gather.size = 2
modules.b.gather.missing = "run"
modules.c.run = "echo {body}"
modules.c.seed.csv = "s.csv"
modules.c.seed.body = "{c}"
modules.d.use = "python"
modules.d.env.CALL = "call.py:x"
modules.d.seed = ["x"]
modules.d.kind = "mpi"
modules.d.resources.nodes = 2
modules.d.resources.ntasks = 4
"""

SITE = """
batch = "local"
python = "x"
prologue = ["x"]
advertise = ["x"]
ports = [40000, 40001]
interval = "1s"
lost_after = "1m"
env.A = "1"
paths.shared = "/x"
limits.elements = 1
containers.runtime = "apptainer"
containers.binds = ["/tmp:/t:ro"]
containers.args = ["--x"]
containers.local_copy = "file"
machines.m.cpus = 1
machines.m.memory = "1G"
machines.m.gpus = 1
machines.m.sbatch = ["--x"]
machines.m.exclusive = true
machines.m.partition = "x"
machines.m.default = true
"""


def variants(text):
    """Each key and each table above it, with something odd in its place."""
    lines = text.strip().splitlines()
    for line in lines:
        names = line.split(" = ")[0].split(".")
        for depth in range(1, len(names) + 1):
            prefix = ".".join(names[:depth])
            others = [other for other in lines if not (other.split(" = ")[0] + ".").startswith(prefix + ".")]
            yield from ("\n".join([*others, f"{prefix} = {odd}"]) for odd in ODD)


@pytest.mark.parametrize("start", range(8))
def test_a_pipeline_is_read_or_refused(load_text, start):
    for text in list(dict.fromkeys(variants(PIPELINE)))[start::8]:
        tomllib.loads(text)
        with contextlib.suppress(PipelineErrors):
            load_text(text, FILES)


@pytest.mark.parametrize("kind", ["file", "stdin", "command", "glob", "csv", "product", "body", "watch"])
def test_a_seed_of_any_kind_is_read_or_refused(load_text, kind):
    for odd in ODD:
        text = f'sbx = 1\npipeline.name = "p"\n[modules.a]\nrun = "echo {{body}}"\nseed.{kind} = {odd}\n'
        for more in ("", 'seed.body = "{c}"\n' if kind != "body" else 'seed.csv = "s.csv"\n'):
            with contextlib.suppress(PipelineErrors):
                load_text(text + more, FILES)


STANDARD = """
description = "x"
run = ["x"]
binds = ["/tmp"]
files = ["x.py"]
env.A = "1"
inputs.body = "x"
inputs.x.help = "x"
inputs.x.required = true
inputs.x.file = true
outputs.y = "x"
"""


def test_a_standard_module_is_read_or_refused(load_text):
    text = 'sbx = 1\npipeline.name = "p"\n[modules.a]\nuse = "own"\nseed = ["x"]\n'
    for own in dict.fromkeys(variants(STANDARD)):
        with contextlib.suppress(PipelineErrors):
            load_text(text, {"modules/own/module.toml": own, "modules/own/x.py": ""})


def test_a_site_is_read_or_refused(tmp_path):
    for text in dict.fromkeys(variants(SITE)):
        (tmp_path / "s.toml").write_text(text)
        with contextlib.suppress(PipelineErrors):
            sites.read_site(tmp_path / "s.toml")


def test_the_whole_ones_are_right(load_text, tmp_path):
    right = PIPELINE.replace('scratch = "1h"', 'scratch = "1G"')
    assert set(load_text(right, FILES).pipeline.modules) == {"a", "b", "c", "d"}
    (tmp_path / "s.toml").write_text(SITE)
    assert sites.read_site(tmp_path / "s.toml").machines["m"].gpus == 1
