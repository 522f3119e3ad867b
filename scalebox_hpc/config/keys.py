"""Every key of version 1 of pipeline.toml, with its JSON Schema; what is refused and why.

The one place that lists keys: reading and `sbx schema` both go by it. It reads nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from scalebox_hpc.config.key_kinds import ENV_NAME as ENV_NAME
from scalebox_hpc.config.key_kinds import NAME as NAME
from scalebox_hpc.config.key_kinds import Keys, environment
from scalebox_hpc.config.key_kinds import duration as _duration
from scalebox_hpc.config.key_kinds import named as _named
from scalebox_hpc.config.key_kinds import size as _size
from scalebox_hpc.config.key_kinds import text as _text
from scalebox_hpc.config.key_kinds import texts as _texts
from scalebox_hpc.config.key_kinds import whole as _whole
from scalebox_hpc.domain.container import RUNTIMES

PARAM_NAME: Final = "[A-Za-z_][A-Za-z0-9_-]*"
HEADER_NAME: Final = "[A-Za-z0-9_.-]+"
USER_CAUSES: Final = ("exit", "timeout", "oom", "output")
"""Causes that spend a user's retries; the others are retried without a rule."""

_SCALAR: Final = {"type": ["string", "integer", "number", "boolean"]}
_ENV: Final = environment("environment variables; {params.NAME} may be used")

PIPELINE: Final[Keys] = {
    "name": _named("short name; runs are called after it"),
    "title": _text("one line about it"),
    "site": _text("default site; `sbx run --site NAME` overrides it"),
}

PARAM: Final[Keys] = {
    "default": {**_SCALAR, "description": "its type is the parameter's type; absent: must be given with -p"},
    "min": {"type": "number", "description": "least value"},
    "max": {"type": "number", "description": "greatest value"},
    "choices": {"type": "array", "items": _SCALAR, "description": "the values it can have"},
    "help": _text("one line, shown by `sbx describe`"),
    "path": {"type": "boolean", "description": "the value is a path and is made absolute"},
}

POOL: Final[Keys] = {
    "site": _text("the site that its modules run at; absent: the run's site"),
    "machine": _text("a machine of the site; absent: the site's default one"),
    "slots": _whole("most tasks at once", 1),
    "walltime": _duration("how long one element may live"),
    "idle": _duration("an agent without work leaves after this long"),
}

PLACE: Final[Keys] = {
    "name": _text("the site"),
    "weight": {
        "type": "number",
        "exclusiveMinimum": 0,
        "description": "its share of the backlog, in proportion to those of the others; absent: 1",
    },
    "when_pending": _duration("it is asked once the sites before have kept tasks waiting for so long"),
    "pool": _named("a pool of that site; absent: as `pool` of the module says"),
}

RESOURCES: Final[Keys] = {
    "cpus": _whole('processors; with kind = "mpi" those of one rank', 1),
    "memory": _size('memory, such as 500M or 16G; with kind = "mpi" that of one node'),
    "gpus": _whole('GPUs; with kind = "mpi" those of one node', 0),
    "time": _duration("longest time; the task is ended after it"),
    "scratch": _size("space in the work directory"),
    "nodes": _whole('kind = "mpi": nodes that one task spans', 1),
    "ntasks": _whole('kind = "mpi": ranks of one task, over all its nodes', 1),
}

CONTAINER: Final[Keys] = {
    "reuse": {
        "enum": ["agent", "task"],
        "description": "one container for all tasks of an agent, or a new one for each",
    },
    "runtime": {"enum": list(RUNTIMES), "description": "what runs it; absent: the site's choice"},
    "args": _texts("further options of the runtime, verbatim"),
}

RETRY: Final[Keys] = {
    "on": {
        "anyOf": [
            {"type": "integer", "minimum": 1, "maximum": 255},
            {"enum": list(USER_CAUSES)},
            {"type": "array", "minItems": 1, "items": {"type": ["integer", "string"]}},
        ],
        "description": "exit codes and causes",
    },
    "retries": _whole("how many times more, per task", 1),
    "delay": _duration("wait before the next attempt"),
    "backoff": {"type": "number", "minimum": 1, "description": "the wait grows by this factor"},
    "memory": _text('"x2": twice the memory each time', pattern=r"^x\d+(\.\d+)?$"),
}

GATHER: Final[Keys] = {
    "by": {"enum": ["all"], "description": "everything in one group"},
    "regex": _text("groups by the first capture group in the body"),
    "header": _text("groups by the value of this header"),
    "size": {
        "type": ["integer", "string"],
        "description": "members of a full part: a number, or {headers.NAME}",
    },
    "missing": {"enum": ["fail", "run"], "description": "what to do when a sender failed"},
}

STAGE: Final[Keys] = {
    "in": _texts("files that a message refers to, as {body} or {headers.NAME}: each task gets links to them"),
    "out": _texts("patterns in the work directory: what matches goes home, to the results of the task"),
}

SEED: Final[Keys] = {
    "file": _text("a file with a message a line"),
    "stdin": {"enum": [True], "description": "a message a line from standard input"},
    "command": _text("a shell command that prints a message a line"),
    "glob": _text("a pattern; each path that matches is a message"),
    "csv": _text("a table with a header row; a message a row"),
    "body": _text("with csv: the message's body, with {column} for a value"),
    "product": {
        "type": "object",
        "propertyNames": {"pattern": f"^{HEADER_NAME}$"},
        "additionalProperties": {"type": "array", "minItems": 1, "items": _SCALAR},
        "description": "lists of values; a message for every combination",
    },
}

MODULE: Final[Keys] = {
    "run": {
        "anyOf": [
            {"type": "string", "minLength": 1},
            {"type": "array", "minItems": 1, "items": {"type": "string"}},
        ],
        "description": "the program: shell text, or a list of words",
    },
    "image": _text("a container image: a file, docker://..., oci-archive:...; absent: the bare host"),
    "container": {
        "type": "object",
        "properties": CONTAINER,
        "additionalProperties": False,
        "description": "how its container is run",
    },
    "binds": {
        "type": "array",
        "items": {"type": "string", "pattern": "^[^:]+(:/[^:]*(:(ro|rw))?)?$"},
        "description": "files and directories that its container sees: SOURCE[:TARGET[:ro|rw]]",
    },
    "site": {
        "anyOf": [
            {"type": "string"},
            {
                "type": "array",
                "minItems": 1,
                "items": {
                    "anyOf": [
                        {"type": "string"},
                        {
                            "type": "object",
                            "properties": PLACE,
                            "required": ["name"],
                            "additionalProperties": False,
                        },
                    ]
                },
            },
        ],
        "description": "where it runs, whatever `--site` says; of several sites, the one that starts first",
    },
    "use": _named("a standard module; its keys can be written anew here"),
    "kind": {
        "enum": ["task", "mpi", "transfer"],
        "description": "mpi: a task spans nodes and starts ranks; transfer: it moves data",
    },
    "seed": {
        "anyOf": [
            {"type": "array", "minItems": 1, "items": {"type": ["string", "integer"]}},
            {"type": "object", "properties": SEED, "additionalProperties": False},
        ],
        "description": "first messages",
    },
    "to": _texts("modules it may send to; the first is the default"),
    "gather": {
        "type": "object",
        "properties": GATHER,
        "additionalProperties": False,
        "oneOf": [{"required": [kind]} for kind in ("by", "regex", "header")],
        "description": "collects messages into groups; one task works on a group",
    },
    "pool": {
        "anyOf": [_named(""), {"type": "object", "properties": POOL, "additionalProperties": False}],
        "description": "a pool's name, or a table for a pool of its own",
    },
    "resources": {
        "type": "object",
        "properties": RESOURCES,
        "additionalProperties": False,
        "description": "what one task needs",
    },
    "retry": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": RETRY,
            "required": ["on", "retries"],
            "additionalProperties": False,
        },
        "description": "when a failed task goes round again; the first rule that matches wins",
    },
    "env": _ENV,
    "files": _texts("files beside pipeline.toml that its work directories need"),
    "repeat": {
        "enum": ["refuse", "ignore", "again"],
        "description": "a message whose key exists with other content",
    },
    "output_limit": _size("how much of a failed attempt's output is kept"),
    "forward": {
        "type": "boolean",
        "description": "without a message file the body goes on to every module in `to`",
    },
    "shell": _texts("the interpreter of a `run` text, up to and with -c"),
    "stage": {
        "type": "object",
        "properties": STAGE,
        "additionalProperties": False,
        "description": "files that go with its messages, from site to site where these differ",
    },
}

NO_DEFAULT: Final = ("run", "seed", "to", "gather", "use", "stage")
DEFAULTS: Final[Keys] = {key: rule for key, rule in MODULE.items() if key not in NO_DEFAULT}
MERGED: Final = ("resources", "env", "container")
"""Tables of a module of which each key has its own default; other values win as a whole."""

INPUT: Final[Keys] = {
    "help": _text("what it means"),
    "required": {"type": "boolean", "description": "of env.NAME: must be set"},
    "file": {"type": "boolean", "description": "of env.NAME: what stands before a `:` is shipped"},
}

STANDARD_OWN: Final = ("use", "seed", "to", "site")
"""Keys of a module that no standard module has: they say how one pipeline uses it."""
STANDARD: Final = (*(key for key in MODULE if key not in STANDARD_OWN), "description", "inputs", "outputs")

TOP: Final[Keys] = {
    "sbx": {"enum": [1], "description": "version of the format"},
    "pipeline": {
        "type": "object",
        "properties": PIPELINE,
        "required": ["name"],
        "additionalProperties": False,
    },
    "params": {
        "type": "object",
        "propertyNames": {"pattern": f"^{PARAM_NAME}$"},
        "additionalProperties": {
            "anyOf": [_SCALAR, {"type": "object", "properties": PARAM, "additionalProperties": False}]
        },
        "description": "values that `sbx run -p name=value` may set",
    },
    "defaults": {"type": "object", "properties": DEFAULTS, "additionalProperties": False},
    "pools": {
        "type": "object",
        "propertyNames": {"pattern": f"^{NAME}$"},
        "additionalProperties": {"type": "object", "properties": POOL, "additionalProperties": False},
    },
    "modules": {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": f"^{NAME}$"},
        "additionalProperties": {
            "type": "object",
            "properties": MODULE,
            "anyOf": [{"required": ["run"]}, {"required": ["use"]}],
            "additionalProperties": False,
        },
    },
}

_LATER: Final = (
    "workdir setup check teardown batch log_limit keep max_tasks open env_file "
    "on_failure requires affinity window"
)
LATER: Final = frozenset(_LATER.split())
LATER_RETRY: Final = frozenset({"to"})
LATER_SEED: Final = frozenset({"watch", "directory", "every", "settle"})

_IN_RESOURCES: Final = "it belongs to resources: resources = {{ {0} = ... }}"
_IN_POOL: Final = "it belongs to a pool: pool = {{ {0} = ... }}"
MISPLACED: Final[Mapping[str, str]] = {
    **{key: _IN_RESOURCES.format(key) for key in RESOURCES},
    **{key: _IN_POOL.format(key) for key in POOL},
    **{key: f"it belongs to container: container = {{ {key} = ... }}" for key in CONTAINER},
    **{key: f"it belongs to stage: stage = {{ {key} = ... }}" for key in STAGE},
    "site": "it belongs to [pipeline], or to a module",
    **dict.fromkeys(("bind", "mounts", "mount", "volumes"), 'write binds = ["/data:/data:ro"]'),
    **dict.fromkeys(("command", "cmd", "script", "exec", "entrypoint"), "write `run = ...`"),
    **dict.fromkeys(
        ("after", "needs", "depends", "depends_on"), "the module before names this one in its `to`"
    ),
    **dict.fromkeys(("module", "steps", "tasks", "jobs"), "modules stand in tables such as [modules.count]"),
}
"""Remedies for keys that people write in the wrong place or know from elsewhere."""
