"""Every way to write a pipeline wrong: the message names key and line, and says what to do."""

import pytest

HEAD = 'sbx = 1\n[pipeline]\nname = "p"\n'  # lines 1 to 3
GOOD = '[modules.a]\nrun = "echo {body}"\nseed = ["x"]\n'  # lines 4 to 6
A = HEAD + GOOD


def module(text: str) -> str:
    """A module whose `run` is to be written by the test, on lines 4, 5 and from 6 on."""
    return f'{HEAD}[modules.a]\nseed = ["x"]\n{text}\n'


TOP = [
    ('[pipeline]\nname = "p"\n' + GOOD, "sbx", None, "is missing", "sbx = 1"),
    ("sbx = 2\n" + A[8:], "sbx", 1, "2 is no version", "newer sbx"),
    ("sbx = '1'\n" + A[8:], "sbx", 1, "'1' is no version", "sbx = 1"),
    ("sbx = 1\n" + GOOD, "pipeline.name", None, "is missing", "name ="),
    ("sbx = 1\n[pipeline]\ntitle = 'x'\n" + GOOD, "pipeline.name", 2, "is missing", "name ="),
    (A.replace('"p"', '"My Pipeline"'), "pipeline.name", 3, "no name for a pipeline", '"my-pipeline"'),
    (
        A.replace('name = "p"', 'name = "p"\nsiet = "x"'),
        "pipeline.siet",
        4,
        "unknown key",
        "did you mean `site`?",
    ),
    (
        A.replace('name = "p"', 'name = "p"\nsite = "clutser"'),
        "pipeline.site",
        4,
        "no site 'clutser'",
        "`cluster`",
    ),
    (A + "[module.b]\nrun = 'x'", "module", 7, "unknown key", "[modules.count]"),
    (A + "[setup]\nx = 1", "setup", 7, "not in this version", "take the key out"),
    (HEAD, "modules", None, "there is no module", "[modules.NAME]"),
    (A.replace("modules.a", "modules.A_b"), "modules.A_b", 4, "no name for a module", "a-z"),
    ("modules = 3\n" + HEAD, "modules", 1, "must be a table", "{ ... }"),
    (A + "[modules]\nb = 3", "modules.b", 8, "must be a table", "a line [modules.b]"),
    (A + "[modules.a]\nto = []", "", 7, "is not TOML", "only once"),
    (A.replace('run = "', "run = "), "", 5, "is not TOML", "run = echo"),
    (A + "x = 10m", "", 7, "is not TOML", 'memory = "500M"'),
]

KEYS = [
    (A + "rnu = 'x'", "modules.a.rnu", 7, "unknown key", "did you mean `run`?"),
    (A + "memory = '1G'", "modules.a.memory", 7, "unknown key", "resources = { memory = ... }"),
    (A + "walltime = '1h'", "modules.a.walltime", 7, "unknown key", "pool = { walltime = ... }"),
    (A + "setup = './s'", "modules.a.setup", 7, "not in this version", "later"),
    (A + "site = 'clutser'", "modules.a.site", 7, "no site 'clutser'", "did you mean `cluster`?"),
    (A + "on_failure = { stop_over = '5%' }", "modules.a.on_failure", 7, "not in this version", "later"),
    (HEAD + "[modules.a]\nseed = ['x']", "modules.a.run", 4, "is missing", "run ="),
    (module("run = ''"), "modules.a.run", 6, "is empty", "a list of words"),
    (module("run = []"), "modules.a.run", 6, "is empty", "a list of words"),
    (module("run = 3"), "modules.a.run", 6, "is a whole number", "a list of words"),
    (module("run = ['echo', 3]"), "modules.a.run[1]", 6, "must be a text", "quotes"),
    (A + "to = 'b'", "modules.a.to", 7, "must be a list", 'to = ["b"]'),
    (A + "to = ['b']", "modules.a.to[0]", 7, "there is no module 'b'", "modules: a"),
    (A + "to = ['a', 'a']", "modules.a.to[1]", 7, "twice", "once"),
    (A + "repeat = 'agian'", "modules.a.repeat", 7, "'agian'", "did you mean `again`?"),
    (A + "forward = 'yes'", "modules.a.forward", 7, "must be true or false", "without quotes"),
    (A + "output_limit = '1G'", "modules.a.output_limit", 7, "too much", "'1M'"),
    (A + "output_limit = 4096", "modules.a.output_limit", 7, "has no unit", "'64K'"),
    (A + "env = { 'a-b' = '1' }", "modules.a.env.a-b", 7, "no name of a variable", "letters"),
    (A + "env = { SBX_BODY = '1' }", "modules.a.env.SBX_BODY", 7, "are ours", "otherwise"),
    (A + "env = { A = true }", "modules.a.env.A", 7, "must be a text", "quotes"),
    (A + "env = { A = '{body}' }", "modules.a.env.A", 7, "{body} cannot be used here", "{params.NAME}"),
    (A + "image = 'nope.sif'", "modules.a.image", 7, "there is no file nope.sif", "looked for"),
    (A + "image = 'dokcer://x'", "modules.a.image", 7, "unknown kind of address", "`docker`"),
    (A + "image = 'docker:x'", "modules.a.image", 7, "lacks //", "docker://x"),
    (A + "image = 'biocontainers/bwa:2'", "modules.a.image", 7, "no file", "docker://biocontainers/bwa:2"),
    (A + "shell = ['bash']", "modules.a.shell", 7, "last word", '"-c"'),
    (
        module("run = ['echo', '{body}']\nshell = ['bash', '-c']"),
        "modules.a.shell",
        7,
        "is for a `run` text",
        "a text",
    ),
    (A + "[defaults]\nrun = 'x'", "defaults.run", 8, "has no default", "each module"),
    (A + "[defaults]\nrepeat = 'x'", "defaults.repeat", 8, "'x'", "refuse"),
    (A + "[defaults]\nresources = { memory = 5 }", "defaults.resources.memory", 8, "has no unit", "'500M'"),
]

RESOURCES = [
    (A + "resources = { cpu = 1 }", "modules.a.resources.cpu", 7, "unknown key", "did you mean `cpus`?"),
    (A + "resources = { cpus = 0 }", "modules.a.resources.cpus", 7, "0 is out of range", "at least 1"),
    (A + "resources = { cpus = 1.5 }", "modules.a.resources.cpus", 7, "a whole number", "without quotes"),
    (A + "resources = { cpus = true }", "modules.a.resources.cpus", 7, "not true or false", "whole number"),
    (A + "resources = { memory = 500 }", "modules.a.resources.memory", 7, "500 has no unit", "'500M'"),
    (A + "resources = { memory = '5 GB' }", "modules.a.resources.memory", 7, "not a size", "'16G'"),
    (A + "resources = { time = '10' }", "modules.a.resources.time", 7, "not a duration", "'10m'"),
    (A + "resources = '1G'", "modules.a.resources", 7, "must be a table", "{ ... }"),
    (A + "resources = { cpus = 65 }", "modules.a.resources.cpus", 7, "65 never fits", "--site"),
    (
        A + "resources = { memory = '300G' }",
        "modules.a.resources.memory",
        7,
        "300.0G never fits",
        "ask for less",
    ),
    (A + "resources = { gpus = 1 }", "modules.a.resources.gpus", 7, "never fits", "ask for less"),
    (
        A + "resources = { time = '3h' }\npool = { walltime = '2h' }",
        "modules.a.resources.time",
        7,
        "time 3h never fits the walltime 2h",
        "modules.a.pool.walltime to at least 3h36m",
    ),
    (
        A + "pool = { walltime = '30m' }",
        "modules.a.resources.time",
        4,
        "1h where nothing is said",
        "shorter time",
    ),
    (A + "pool = 'smal'\n[pools.small]", "modules.a.pool", 7, "no pool 'smal'", "did you mean `small`?"),
    (A + "pool = 3", "modules.a.pool", 7, "must be a pool's name or a table", 'pool = "small"'),
    (
        A + "pool = { machine = 'bgi' }",
        "modules.a.pool.machine",
        7,
        "no machine 'bgi'",
        "did you mean `big`?",
    ),
    (A + "pool = { slots = 0 }", "modules.a.pool.slots", 7, "out of range", "at least 1"),
    (A + "pool = { cpus = 3 }", "modules.a.pool.cpus", 7, "unknown key", "resources"),
    (A + "pool = { slots = 1 }\n[pools.a]", "modules.a.pool", 7, "[pools.a] exists", 'pool = "a"'),
]

RETRY = [
    (A + "retry = 3", "modules.a.retry", 7, "must be a list of rules", 'on = "exit"'),
    (A + "retry = [{ retries = 3 }]", "modules.a.retry[0]", 7, "needs `on`", 'on = "exit"'),
    (A + "retry = [{ on = 1 }]", "modules.a.retry[0]", 7, "needs `retries`", "retries = 3"),
    (
        A + "retry = [{ on = 0, retries = 1 }]",
        "modules.a.retry[0].on",
        7,
        "no exit code of a failure",
        "1 to 255",
    ),
    (
        A + "retry = [{ on = '75', retries = 1 }]",
        "modules.a.retry[0].on",
        7,
        "is a text",
        "without quotes: 75",
    ),
    (
        A + "retry = [{ on = 'oon', retries = 1 }]",
        "modules.a.retry[0].on",
        7,
        "no cause",
        "did you mean `oom`?",
    ),
    (
        A + "retry = [{ on = 'node_lost', retries = 1 }]",
        "modules.a.retry[0].on",
        7,
        "does not spend",
        "no rule",
    ),
    (
        A + "retry = [{ on = 'oom', retries = 1, memory = 'x1' }]",
        "modules.a.retry[0].memory",
        7,
        "factor",
        '"x2"',
    ),
    (
        A + "retry = [{ on = 1, retries = 1, backoff = 0.5 }]",
        "modules.a.retry[0].backoff",
        7,
        "0.5",
        "at least 1",
    ),
    (
        A + "retry = [{ on = 1, retries = 1, to = 'b' }]",
        "modules.a.retry[0].to",
        7,
        "not in this version",
        "later",
    ),
    (
        A + "retry = [\n{ on = 1, retries = 1 },\n{ on = 'x', retries = 1 }]",
        "modules.a.retry[1].on",
        9,
        "cause",
        "oom",
    ),
]

PARAMS = [
    (
        module("run = 'echo {params.limt} {body}'\n[params]\nlimit = 1"),
        "modules.a.run",
        6,
        "'limt'",
        "`limit`",
    ),
    (module("run = 'echo {params.x} {body}'"), "modules.a.run", 6, "no parameter 'x'", "below [params]"),
    (module("run = ['echo', '{params.x}', '{body}']"), "modules.a.run[1]", 6, "no parameter 'x'", "[params]"),
    (A + "[params]\nx = [1]", "params.x", 8, "is a list", "a text, a number"),
    (A + "[params]\nx = inf", "params.x", 8, "inf", "a number"),
    (A + "[params]\n'a b' = 1", "params.a b", 8, "no name for a parameter", "letters"),
    (A + "[params.x]\nhelp = 'h'", "params.x", 7, "has no default", "-p x=VALUE"),
    (A + "[params.x]\nchoices = ['a', 'b']", "params.x", 7, "has no default", "-p x=a"),
    (A + "[params.x]\ndefault = 1\nminimum = 2", "params.x.minimum", 9, "unknown key", "`min`"),
    (A + "[params.x]\ndefault = 1\nmin = 2", "params.x.default", 8, "below its min", "at least 2"),
    (A + "[params.x]\ndefault = 'a'\nmin = 2", "params.x.min", 9, "is for numbers", "choices"),
    (
        A + "[params.x]\ndefault = 'c'\nchoices = ['a']",
        "params.x.default",
        8,
        "none of its choices",
        "choices: a",
    ),
    (A + "[params]\na-b = 1\na_b = 2", "params.a_b", 9, "$SBX_PARAM_A_B", "otherwise"),
]

COMMAND = [
    (module("run = 'echo \"{body}\"'"), "modules.a.run", 6, "{body} stands inside quotes", "outside"),
    (module("run = \"awk '{body}' x\""), "modules.a.run", 6, "inside quotes", "{{body}}"),
    (module("run = 'cat <<EOF\\n{body}\\nEOF'"), "modules.a.run", 6, "`<<`", "$SBX_BODY"),
    (module("run = 'eval {body}'"), "modules.a.run", 6, "`eval`", "as an argument"),
    (module("run = 'cat {members}'"), "modules.a.run", 6, "no `gather`", 'by = "all"'),
    (module("run = ['cat', '{bodies}']"), "modules.a.run", 6, "no `gather`", "{body}"),
    (
        module("run = 'cd /x; echo {body} > messages.txt'"),
        "modules.a.run",
        6,
        "after `cd`",
        "$SBX_WORK/messages.txt",
    ),
    (module("run = './nope {body}'"), "modules.a.run", 6, "no program ./nope", "beside pipeline.toml"),
    (module("run = ['./nope', '{body}']"), "modules.a.run", 6, "no program ./nope", "beside pipeline.toml"),
    (module("run = ['sbx-no-such-program', '{body}']"), "modules.a.run", 6, "no program sbx-no", "bin/"),
    (module("run = ['/no/such', '{body}']"), "modules.a.run", 6, "no program /no/such", "correct the name"),
    (module("run = 'python3 nope.py {body}'"), "modules.a.run", 6, "no file nope.py", "beside pipeline.toml"),
    (module("run = ['bash', 'nope.sh', '{body}']"), "modules.a.run", 6, "no file nope.sh", "beside"),
    (A + "files = ['nope.txt']", "modules.a.files[0]", 7, "no file nope.txt", "relative"),
    (A + "files = ['../x']", "modules.a.files[0]", 7, "outside", "below the pipeline's directory"),
    (A + "files = ['/etc/passwd']", "modules.a.files[0]", 7, "outside", "full path"),
    (A + "files = ['.']", "modules.a.files[0]", 7, "is a directory", "list its files"),
]

SEEDS = [
    (HEAD + "[modules.a]\nrun = 'echo {body}'", "modules", 4, "nothing can start", "seed ="),
    (A.replace('["x"]', '"x"'), "modules.a.seed", 6, "must be a list", '["x"]'),
    (A.replace('["x"]', "[]"), "modules.a.seed", 6, "has no messages", "at least one"),
    (A.replace('["x"]', "[1.5]"), "modules.a.seed[0]", 6, "not a number", "quotes"),
    (A.replace('["x"]', "['a,{b}']"), "modules.a.seed[0]", 6, "not JSON", "JSON object"),
    (A.replace('["x"]', "['{body}']"), "modules.a.seed[0]", 6, "cannot be used here", "params"),
    (A.replace('["x"]', "['{params.n}']"), "modules.a.seed[0]", 6, "no parameter 'n'", "[params]"),
    (A.replace('["x"]', "{}"), "modules.a.seed", 6, "has no kind", "exactly one"),
    (
        A.replace('["x"]', "{ stdin = true, file = 'x' }"),
        "modules.a.seed",
        6,
        "more than one kind",
        "exactly one",
    ),
    (A.replace('["x"]', "{ stdin = false }"), "modules.a.seed.stdin", 6, "can only be true", "stdin = true"),
    (A.replace('["x"]', "{ watch = 'in' }"), "modules.a.seed.watch", 6, "not in this version", "later"),
    (A.replace('["x"]', "{ file = 'x.txt' }"), "modules.a.seed.file", 6, "no file x.txt", "relative"),
    (A.replace('["x"]', "{ file = '.' }"), "modules.a.seed.file", 6, "not a file", "a line"),
    (A.replace('["x"]', "{ glob = '*.fits' }"), "modules.a.seed.glob", 6, "nothing matches", "relative"),
    (A.replace('["x"]', "{ command = ' ' }"), "modules.a.seed.command", 6, "is empty", "shell command"),
    (
        A.replace('["x"]', "{ command = 'ls {body}' }"),
        "modules.a.seed.command",
        6,
        "cannot be used",
        "no message",
    ),
    (
        A.replace('["x"]', "{ product = { a = [] } }"),
        "modules.a.seed.product.a",
        6,
        "with values",
        "a = [1, 2]",
    ),
    (
        A.replace('["x"]', "{ product = { 'a b' = [1] } }"),
        "modules.a.seed.product.a b",
        6,
        "header",
        "letters",
    ),
    (
        A.replace('["x"]', "{ product = { a = [[1]] } }"),
        "modules.a.seed.product.a[0]",
        6,
        "is a list",
        "texts",
    ),
    (A.replace('["x"]', "{ stdin = true, body = 'x' }"), "modules.a.seed.body", 6, "csv seeds only", "csv"),
    (
        A.replace('["x"]', "{ stdin = true }") + "[modules.b]\nrun = 'echo {body}'\nseed = { stdin = true }",
        "modules.b.seed",
        9,
        "already seeds a",
        "a file",
    ),
]

B = '[modules.b]\nrun = "cat {members}"\n'  # lines 8 and 9 after A and a `to`
TO_B = A + 'to = ["b"]\n'
GATHER = [
    (A + B + "gather = { by = 'all' }", "modules.b.gather", 9, "nothing comes here", 'to = ["b"]'),
    (
        TO_B + B + "gather = { by = 'all' }\nseed = ['x']",
        "modules.b.seed",
        11,
        "not from a seed",
        "take the seed out",
    ),
    (TO_B + B + "gather = { by = 'all' }\nto = ['b']", "modules.b.gather", 10, "b -> b", "wait for itself"),
    (
        TO_B + B + "gather = { by = 'all' }\nto = ['a']",
        "modules.b.gather",
        10,
        "b -> a -> b",
        "wait for itself",
    ),
    (TO_B + B + "gather = 'all'", "modules.b.gather", 10, "must be a table", 'by = "all"'),
    (TO_B + B + "gather = { size = 3 }", "modules.b.gather", 10, "how to group", "exactly one"),
    (
        TO_B + B + "gather = { by = 'all', header = 'x' }",
        "modules.b.gather",
        10,
        "more than one way",
        "exactly one",
    ),
    (TO_B + B + "gather = { by = 'everything' }", "modules.b.gather.by", 10, "'everything'", "all"),
    (
        TO_B + B + "gather = { regex = 'ch(' }",
        "modules.b.gather.regex",
        10,
        "not a regular expression",
        "try it",
    ),
    (
        TO_B + B + r"gather = { regex = 'ch\d+' }",
        "modules.b.gather.regex",
        10,
        "no capture group",
        "parentheses",
    ),
    (
        TO_B + B + "gather = { header = 'a b' }",
        "modules.b.gather.header",
        10,
        "cannot name a header",
        "letters",
    ),
    (
        TO_B + B + "gather = { by = 'all', size = 0 }",
        "modules.b.gather.size",
        10,
        "out of range",
        "at least 1",
    ),
    (
        TO_B + B + "gather = { by = 'all', size = 'ten' }",
        "modules.b.gather.size",
        10,
        "no number",
        "{headers.NAME}",
    ),
    (
        TO_B + B + "gather = { by = 'all', size = '{slot}' }",
        "modules.b.gather.size",
        10,
        "{slot}",
        "{headers.NAME}",
    ),
    (
        TO_B + B + "gather = { by = 'all', missing = 'ok' }",
        "modules.b.gather.missing",
        10,
        "'ok'",
        "fail, run",
    ),
]


@pytest.mark.parametrize(
    ("text", "key", "line", "problem", "remedy"),
    [*TOP, *KEYS, *RESOURCES, *RETRY, *PARAMS, *COMMAND, *SEEDS, *GATHER],
)
def test_a_problem_names_key_line_and_remedy(refuse_text, text, key, line, problem, remedy):
    found = refuse_text(text)
    assert [(one.key, one.line) for one in found] == [(key, line)]
    assert problem in found[0].problem
    assert remedy in found[0].remedy


@pytest.mark.parametrize(
    ("given", "file", "problem", "remedy"),
    [
        ({"limti": "1"}, "-p limti=1", "no parameter 'limti'", "did you mean `limit`?"),
        ({"limit": "1.5"}, "-p limit=1.5", "not a whole number", "-p limit=10"),
        ({"limit": "0"}, "-p limit=0", "below its min", "at least 1"),
        ({"limit": "999"}, "-p limit=999", "above its max", "at most 99"),
        ({"mode": "fsat"}, "-p mode=fsat", "none of its choices", "did you mean `fast`?"),
        ({"deep": "yes"}, "-p deep=yes", "not a true or false", "-p deep=true"),
    ],
)
def test_a_given_value_is_judged_by_the_rules_of_its_parameter(refuse_text, given, file, problem, remedy):
    rules = "[params]\ndeep = false\n[params.limit]\ndefault = 5\nmin = 1\nmax = 99\n"
    rules += "[params.mode]\ndefault = 'fast'\nchoices = ['fast', 'slow']\n"
    (found,) = refuse_text(A + rules, params=given)
    assert (found.file, found.key) == (file, "")
    assert problem in found.problem
    assert remedy in found.remedy


def test_an_unknown_site_of_the_command_line_is_named_as_such(refuse_text):
    (found,) = refuse_text(A, site="nope")
    assert (found.file, found.problem) == ("--site nope", "there is no site 'nope'")
    assert "local, cluster" in found.remedy


def test_all_problems_come_at_once_in_the_order_of_the_file(refuse_text):
    text = HEAD + 'x = 1\n[modules.a]\nrun = "echo \\"{body}\\""\nto = ["c"]\nresources = { cpus = 0 }\n'
    assert [one.line for one in refuse_text(text)] == [4, 5, 6, 7, 8]


def test_a_problem_of_the_defaults_is_said_once(refuse_text):
    text = A + "[modules.b]\nrun = 'echo {body}'\nseed = ['x']\n[defaults]\nretry = 3\n"
    assert [(one.key, one.line) for one in refuse_text(text)] == [("defaults.retry", 11)]


FILES = [
    ({"run.sh": "echo"}, "run = './run.sh {body}'", "./run.sh is not executable", "chmod +x"),
    ({"run.sh": "#!x"}, "run = './rnu.sh {body}'", "no program ./rnu.sh", "did you mean `run.sh`?"),
    ({"count.py": "#!x"}, "run = ['count.py', '{body}']", "no program count.py", "write ./count.py"),
    ({"messages.txt": "x"}, "run = 'cat messages.txt {body}'", "cannot be shipped", "call it otherwise"),
    ({"publish/x": "x"}, "run = 'cat publish/x {body}'", "cannot be shipped", "call it otherwise"),
    ({"d/x": "x"}, "run = ['./d', '{body}']", "./d is a directory", "name the program"),
]


@pytest.mark.parametrize(("files", "line", "problem", "remedy"), FILES)
def test_files_beside_the_pipeline_are_looked_at(refuse_text, files, line, problem, remedy):
    (found,) = refuse_text(module(line), files=files)
    assert (found.key, found.line) == ("modules.a.run", 6)
    assert problem in found.problem
    assert remedy in found.remedy


CSVS = [
    ("a,b\n1,2\n", "file = 's.csv'", "file", "its header row would be a message", 'body = "{a}"'),
    ("a,b\n1,2\n", "csv = 's.csv'", "body", "is missing", 'body = "{a}"'),
    ("a,b\n1,2\n", "csv = 's.csv', body = '{c}'", "body", "no column 'c'", "columns: a, b"),
    ("a,a b\n1,2\n", "csv = 's.csv', body = '{a}'", "csv", "a column 'a b'", "header row"),
    ("a,a\n1,2\n", "csv = 's.csv', body = '{a}'", "csv", "two columns 'a'", "otherwise"),
    ("", "csv = 's.csv', body = '{a}'", "csv", "is empty", "names the columns"),
]


@pytest.mark.parametrize(("content", "seed", "key", "problem", "remedy"), CSVS)
def test_tables_are_looked_at(refuse_text, content, seed, key, problem, remedy):
    (found,) = refuse_text(A.replace('["x"]', f"{{ {seed} }}"), files={"s.csv": content})
    assert (found.key, found.line) == (f"modules.a.seed.{key}", 6)
    assert problem in found.problem
    assert remedy in found.remedy
