import json
import re

from scalebox_hpc.config import keys
from scalebox_hpc.config.schema import pipeline_schema
from scalebox_hpc.units import duration_s, size_bytes

SCHEMA = pipeline_schema()


def test_the_schema_is_plain_json():
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


def test_every_key_that_is_read_is_in_the_schema_and_no_other():
    top = SCHEMA["properties"]
    module = top["modules"]["additionalProperties"]["properties"]
    assert set(top) == set(keys.TOP)
    assert set(top["pipeline"]["properties"]) == set(keys.PIPELINE)
    assert set(module) == set(keys.MODULE)
    assert set(module["resources"]["properties"]) == set(keys.RESOURCES)
    assert set(module["retry"]["items"]["properties"]) == set(keys.RETRY)
    assert set(module["container"]["properties"]) == set(keys.CONTAINER)
    assert set(module["gather"]["properties"]) == set(keys.GATHER)
    assert set(module["seed"]["anyOf"][1]["properties"]) == set(keys.SEED)
    assert set(top["pools"]["additionalProperties"]["properties"]) == set(keys.POOL)


def test_reading_accepts_every_key_of_the_schema(load_text):
    text = """
sbx = 1
[pipeline]
name = "p"
title = "t"
site = "cluster"
[params.x]
default = 1
min = 0
max = 2
choices = [1, 2]
help = "h"
path = false
[defaults]
env = {}
[pools.p]
machine = "cpu"
slots = 1
walltime = "2h"
idle = "1s"
[modules.a]
run = "echo {body}"
image = "docker://x"
seed = { csv = "s.csv", body = "{c}" }
to = ["b"]
pool = "p"
resources = { cpus = 1, memory = "1G", gpus = 0, time = "1h", scratch = "1G" }
container = { reuse = "task", runtime = "apptainer", args = ["--x"] }
binds = ["s.csv", "s.csv:/t.csv:ro"]
kind = "task"
retry = [{ on = 1, retries = 1, delay = "1s", backoff = 1.0, memory = "x2" }]
env = { A = "1" }
files = ["s.csv"]
repeat = "again"
output_limit = "1K"
forward = true
shell = ["bash", "-c"]
[modules.b]
run = "cat {members}"
gather = { header = "_c", size = 2, missing = "run" }
to = ["c"]
[modules.c]
use = "shell"
kind = "mpi"
resources = { nodes = 2, ntasks = 4 }
"""
    assert set(load_text(text, {"s.csv": "c\n1\n"}).pipeline.modules) == {"a", "b", "c"}


def test_the_schema_wants_a_program_or_a_standard_module():
    module = SCHEMA["properties"]["modules"]["additionalProperties"]
    assert module["anyOf"] == [{"required": ["run"]}, {"required": ["use"]}]
    assert not {"run", "use", "seed", "to", "gather"} & set(SCHEMA["properties"]["defaults"]["properties"])


def test_the_pattern_of_binds_lets_what_is_read_pass():
    pattern = re.compile(keys.MODULE["binds"]["items"]["pattern"])
    for text in ("/data", "data", "{params.x}:/x", "/a:/b:ro", "/a:/b:rw"):
        assert pattern.match(text)
    for text in ("", "/a:b", "/a:ro", "/a:/b:rx", "/a:/b:ro:x"):
        assert not pattern.match(text)


def test_no_key_is_both_there_and_later():
    assert not keys.LATER & keys.MODULE.keys()


def test_the_patterns_of_the_schema_agree_with_the_readers():
    time = re.compile(keys.RESOURCES["time"]["pattern"])
    size = re.compile(keys.RESOURCES["memory"]["pattern"])
    for text in ("10m", "1h30m", "0.5s", "10", "m", "1 h", "500M", "1GiB", "2T", "5 GB"):
        for pattern, read in ((time, duration_s), (size, size_bytes)):
            try:
                read(text)
            except ValueError:
                assert not pattern.match(text)
            else:
                assert pattern.match(text)
