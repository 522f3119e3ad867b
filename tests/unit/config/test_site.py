import tomllib

import jsonschema_rs
import pytest

from scalebox_hpc.config import site as sites
from scalebox_hpc.config import site_keys
from scalebox_hpc.config.places import installed
from scalebox_hpc.config.schema import site_schema
from scalebox_hpc.domain.site import Limits, Ssh, Transfers
from scalebox_hpc.errors import PipelineErrors, UsageError

SITE_FILES = jsonschema_rs.validator_for(site_schema())
WHOLE = """\
batch = "slurm_cli"
python = "/opt/python"
prologue = ["module load apptainer"]
advertise = "ib0"
ports = [40000, 40100]
interval = "1s"
lost_after = "2m"
[env]
A = 1
[paths]
shared = "/scratch/$SITE_TEST/sbx"
[limits]
elements = 50
array_size = 10
[machines.cpu]
cpus = 32
memory = "128G"
partition = "normal"
[machines.gpu]
gpus = 4
exclusive = true
sbatch = ["--nice=100"]
default = true
"""


@pytest.fixture
def read(tmp_path):
    def write_and_read(text):
        (tmp_path / "alpha.toml").write_text(text)
        return sites.read_site(tmp_path / "alpha.toml")

    return write_and_read


def test_a_whole_site_is_read(read, monkeypatch):
    monkeypatch.setenv("SITE_TEST", "me")
    site = read(WHOLE)
    assert (site.name, site.batch, site.python, site.advertise) == (
        "alpha",
        "slurm_cli",
        "/opt/python",
        ("ib0",),
    )
    assert (site.ports, site.interval_s, site.lost_after_s) == ((40000, 40100), 1.0, 120.0)
    assert (site.shared, site.env, site.limits) == ("/scratch/me/sbx", {"A": "1"}, Limits(50, 10))
    assert site.machines["cpu"].memory_mib == 131072
    assert site.default_machine().name == "gpu"


@pytest.mark.parametrize(
    ("text", "key", "line", "problem", "remedy"),
    [
        ('python = "x"', "batch", None, "is missing", "slurm_cli"),
        ('batch = "slurm_"', "batch", 1, "'slurm_'", "slurm"),
        ('batch = "local"\n[ssh]\nhost = "x"', "batch", 1, "would run on this machine", "take out [ssh]"),
        ('batch = "slurm_api"\n[ssh]\nhost = "x"', "batch", 1, "of this machine", 'batch = "slurm"'),
        ('batch = "slurm"\n[ssh]\nuser = "me"', "ssh.host", 2, "is missing", "~/.ssh/config"),
        ('batch = "slurm"\n[ssh]\nhost = "me@b"', "ssh.host", 3, "no host", 'user = "me" and host = "b"'),
        ('batch = "slurm"\n[ssh]\nhost = "-oX=y"', "ssh.host", 3, "'-oX=y' is no host", "of DNS"),
        ('batch = "slurm"\n[ssh]\nhost = "b"\nuser = "a b"', "ssh.user", 4, "no user", "take the key out"),
        ('batch = "slurm"\n[ssh]\nhost = "b"\nport = 0', "ssh.port", 4, "out of range", "at least 1"),
        ('batch = "slurm"\n[ssh]\nhost = "b"\nport = "22"', "ssh.port", 4, "whole number", "without quotes"),
        ('batch = "slurm"\n[ssh]\nhost = "b"\nkey = "id"', "ssh.key", 4, "not an absolute", "/ or ~"),
        ('batch = "slurm"\n[ssh]\nhost = "b"\njump = ["a b"]', "ssh.jump", 4, "no jump host", "[USER@]HOST"),
        ('batch = "slurm"\n[ssh]\nhost = "b"\nmaster = "yes"', "ssh.master", 4, "true or false", "quotes"),
        ('batch = "slurm"\n[ssh]\nhost = "b"\npython = ""', "ssh.python", 4, "is empty", "3.9"),
        ('batch = "slurm"\n[ssh]\nhost = "b"\nhosts = "b"', "ssh.hosts", 4, "unknown key", "`host`"),
        ('batch = "slurm"\n[transfers]\nstreams = 0', "transfers.streams", 3, "out of range", "at least 1"),
        ('batch = "slurm"\n[transfers]\nbandwidth = 10', "transfers.bandwidth", 3, "no unit", "'64K'"),
        ('batch = "slurm"\n[transfers]\nbandwidth = "0M"', "transfers.bandwidth", 3, "nothing", "'10M'"),
        ('batch = "local"\nprolog = []', "prolog", 2, "unknown key", "did you mean `prologue`?"),
        ('batch = "local"\ninterval = 30', "interval", 2, "30 has no unit", "'30s'"),
        ('batch = "local"\ninterval = "10ms"', "interval", 2, "too short", "0.1s"),
        ('batch = "local"\nports = [80, 90]', "ports", 2, "no range of ports", "40000"),
        (
            'batch = "local"\n[paths]\nshared = "data"',
            "paths.shared",
            3,
            "not an absolute path",
            "begin it with /",
        ),
        ('batch = "local"\n[paths]\nscratch = "$NOPE_X/y"', "paths.scratch", 3, "not set here", "TMPDIR"),
        ('batch = "local"\n[paths]\ntmp = "/x"', "paths.tmp", 3, "unknown key", "shared"),
        (
            'batch = "local"\n[limits]\nsubmissions_per_minute = 60',
            "limits.submissions_per_minute",
            3,
            "60",
            "at most 10",
        ),
        ('batch = "local"\n[machines.a]\nmemory = 64', "machines.a.memory", 3, "64 has no unit", "'500M'"),
        ('batch = "local"\n[machines.a]\ncpu = 64', "machines.a.cpu", 3, "unknown key", "`cpus`"),
        (
            'batch = "local"\n[machines.a]\nsbatch = ["--time=1"]',
            "machines.a.sbatch[0]",
            3,
            "set by us",
            "take it out",
        ),
        (
            'batch = "local"\n[machines.a]\nsbatch = ["-p normal", "x"]',
            "machines.a.sbatch[1]",
            3,
            "no option",
            "--nice",
        ),
        (
            'batch = "local"\n[machines.a]\ndefault = true\n[machines.b]\ndefault = true',
            "machines.b.default",
            5,
            "default machine already",
            "one machine only",
        ),
        ('batch = "local"\n[env]\nSBX_X = "1"', "env.SBX_X", 3, "are ours", "otherwise"),
    ],
)
def test_a_problem_names_file_key_line_and_remedy(read, tmp_path, text, key, line, problem, remedy):
    with pytest.raises(PipelineErrors) as caught:
        read(text)
    (found,) = caught.value.problems
    assert (found.file, found.key, found.line) == (str(tmp_path / "alpha.toml"), key, line)
    assert problem in found.problem
    assert remedy in found.remedy


def test_all_problems_of_a_site_come_at_once(read):
    with pytest.raises(PipelineErrors) as caught:
        read('batch = "x"\ninterval = 3\nssh = 1')
    assert [problem.key for problem in caught.value.problems] == ["batch", "interval", "ssh"]


REMOTE = """\
batch = "slurm"
[paths]
shared = "~/sbx"
scratch = "$SITE_TEST/x"
[containers]
binds = ["/there/only"]
[ssh]
host = "login.b"
user = "me"
port = 2222
key = "~/.ssh/b"
jump = "gate"
known_hosts = "$SITE_TEST/known"
master = true
python = "/opt/python3"
[transfers]
streams = 2
bandwidth = "1.5M"
"""


def test_a_remote_site_is_read_and_its_paths_are_left_to_be_filled_in_there(read, monkeypatch):
    monkeypatch.setenv("SITE_TEST", "/here")
    monkeypatch.setenv("HOME", "/home/me")
    site = read(REMOTE)
    assert site.ssh == Ssh(
        "login.b", "me", 2222, "/home/me/.ssh/b", ("gate",), "/here/known", None, True, "/opt/python3"
    )
    assert (site.shared, site.scratch, site.images) == ("~/sbx", "$SITE_TEST/x", None)
    assert [bind.source for bind in site.containers.binds] == ["/there/only"]
    assert site.transfers == Transfers(streams=2, bandwidth_mib_s=1.5)


def test_a_site_without_ssh_is_here(read):
    site = read('batch = "slurm"')
    assert (site.ssh, site.transfers) == (None, Transfers())


@pytest.mark.parametrize("text", ["data", "", "~other/x", "a\\nb"])
def test_a_path_of_a_remote_site_begins_at_its_root_or_home(read, text):
    with pytest.raises(PipelineErrors) as caught:
        read(f'batch = "slurm"\n[paths]\nshared = "{text}"\n[ssh]\nhost = "b"')
    (found,) = caught.value.problems
    assert (found.key, found.line) == ("paths.shared", 3)


def test_binds_of_a_remote_site_are_written_in_full(read):
    with pytest.raises(PipelineErrors) as caught:
        read('batch = "slurm"\n[containers]\nbinds = ["~/x"]\n[ssh]\nhost = "b"')
    assert "not a full path" in str(caught.value)


def test_sites_beside_the_pipeline_come_first_then_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    user, beside = tmp_path / "config/sbx/sites", tmp_path / "pipe/site-configs"
    for folder in (user, beside):
        folder.mkdir(parents=True)
        (folder / "alpha.toml").write_text(f'batch = "local"\npython = "{folder.name}"')
    (user / "local.toml").write_text('batch = "local"\npython = "mine"')
    search = sites.search_path(tmp_path / "pipe")
    assert sites.load_site("alpha", search).python == "site-configs"
    assert sites.load_site("local", search).python == "mine"
    assert list(sites.find_sites(search)) == ["alpha", "local", "slurm"]


def test_an_unknown_site_lists_those_there_are(tmp_path):
    with pytest.raises(UsageError) as caught:
        sites.load_site("slurn", sites.search_path(tmp_path))
    assert "did you mean `slurm`?" in caught.value.hint
    assert "local, slurm" in caught.value.hint


def test_the_installed_sites_are_read():
    search = (installed("site-configs"),)
    assert sites.load_site("local", search).batch == "local"
    assert sites.load_site("slurm", search).default_machine().partition is None


def test_the_template_shows_every_key_and_is_right_when_uncommented(tmp_path):
    lines = (installed("site-configs") / "template.toml").read_text().splitlines()
    keys = [line.removeprefix("# ") for line in lines if "=" in line or "[" in line]
    text = "\n".join(line for line in keys if line[:1] == "[" or line.split(" = ")[0].isidentifier())
    data = tomllib.loads(text)
    assert set(data) == set(site_keys.SITE)
    for key, rule in site_keys.SITE.items():
        if "properties" in rule:
            assert set(data[key]) == set(rule["properties"])
    assert set(data["machines"]["cpu"]) == set(site_keys.MACHINE)
    assert SITE_FILES.is_valid(data)
    (tmp_path / "whole.toml").write_text(text)
    assert sites.read_site(tmp_path / "whole.toml").limits.elements == 1000


@pytest.mark.parametrize("path", sorted(installed("site-configs").glob("*.toml")), ids=lambda path: path.stem)
def test_the_site_files_that_come_with_it_fit_the_schema(path):
    assert SITE_FILES.is_valid(tomllib.loads(path.read_text()))


@pytest.mark.parametrize(
    "text",
    [
        'python = "x"',
        'batch = "slurm_"',
        'batch = "local"\nprolog = []',
        'batch = "local"\ninterval = 30',
        'batch = "local"\n[paths]\ntmp = "/x"',
        'batch = "local"\n[limits]\nelements = 0',
        'batch = "local"\n[machines.a]\ncpu = 64',
        'batch = "local"\n[machines.A]\ncpus = 64',
        'batch = "local"\n[machines.a]\nsbatch = ["x"]',
        'batch = "slurm"\n[ssh]\nuser = "me"',
        'batch = "slurm"\n[ssh]\nhost = "b"\nmastr = true',
        'batch = "slurm"\n[ssh]\nhost = "b"\nport = 0',
        'batch = "slurm"\n[transfers]\nstreams = 65',
    ],
)
def test_what_the_reader_refuses_the_schema_does_too(read, text):
    with pytest.raises(PipelineErrors):
        read(text)
    assert not SITE_FILES.is_valid(tomllib.loads(text))


def test_every_key_says_what_it_means():
    def silent(rules, place):
        for name, rule in rules.items():
            if not rule.get("description"):
                yield f"{place}{name}"
            inner = rule.get("additionalProperties") or {}
            for table in (rule, inner):
                yield from silent(table.get("properties", {}), f"{place}{name}.")

    assert not list(silent(site_schema()["properties"], ""))
