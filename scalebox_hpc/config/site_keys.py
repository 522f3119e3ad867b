"""Every key of a site file, with its JSON Schema.

The one place that lists them: reading and `sbx schema site` both go by it. It reads nothing.
"""

from __future__ import annotations

from typing import Final

from scalebox_hpc.config.key_kinds import (
    NAME,
    Keys,
    duration,
    environment,
    size,
    table,
    text,
    texts,
    whole,
)
from scalebox_hpc.domain.container import COPIES, RUNTIMES

BATCHES: Final = ("local", "slurm", "slurm_cli", "slurm_api")

PATHS: Final[Keys] = {
    "shared": text("a directory that the login node and compute nodes see"),
    "scratch": text("a directory on the compute nodes' own disks; absent: $TMPDIR, else /tmp"),
    "images": text("where images are kept; absent: `images` in the shared folder"),
}

LIMITS: Final[Keys] = {
    "elements": whole("most elements of ours at once, pending and running", 1),
    "array_size": whole("the largest array of one submission", 1),
    "submissions_per_minute": {
        "type": "integer",
        "minimum": 1,
        "maximum": 10,
        "description": "submissions a minute",
    },
}

CONTAINERS: Final[Keys] = {
    "runtime": {"enum": ["", *RUNTIMES], "description": "what runs images; absent: what a node has"},
    "binds": texts("what of the host every container sees: SOURCE[:TARGET[:ro|rw]]"),
    "args": texts("further options of the runtime, verbatim"),
    "local_copy": {
        "enum": list(COPIES),
        "description": "whether images are run from a copy on the node's own disk",
    },
}

MACHINE: Final[Keys] = {
    "partition": text("as the option of sbatch"),
    "account": text("as the option of sbatch"),
    "qos": text("as the option of sbatch"),
    "constraint": text("as the option of sbatch"),
    "cpus": whole("processors of an element; absent: as many as one task needs", 1),
    "memory": size("memory of an element; absent: as much as its tasks need"),
    "gpus": whole("GPUs of an element", 0),
    "exclusive": {"type": "boolean", "description": "whole nodes"},
    "sbatch": {
        "type": "array",
        "items": {"type": "string", "pattern": "^-[^\\n]*$"},
        "description": "more options of sbatch, option and value in one text",
    },
    "default": {"type": "boolean", "description": "for pools that name no machine"},
}

_LIST_OR_TEXT: Final = [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]

SSH: Final[Keys] = {
    "host": text("a host, or a name of ~/.ssh/config", minLength=1),
    "user": text("your name there", minLength=1),
    "port": {"type": "integer", "minimum": 1, "maximum": 65535, "description": "of its sshd"},
    "key": text("a file with a private key"),
    "jump": {"anyOf": _LIST_OR_TEXT, "description": "hosts to go through: [USER@]HOST[:PORT]"},
    "known_hosts": text("a file with the host keys that you accepted"),
    "config": text("a file in place of ~/.ssh/config"),
    "master": {"type": "boolean", "description": "go through the login of `sbx site login` alone"},
    "python": text("Python 3.9 or newer on its login node", minLength=1),
}

MOST_STREAMS: Final = 64

TRANSFERS: Final[Keys] = {
    "streams": {
        "type": "integer",
        "minimum": 1,
        "maximum": MOST_STREAMS,
        "description": "at once, over all runs of a home",
    },
    "bandwidth": size("at most so much a second, each stream"),
    "keep": duration("how long a connection of `sbx get` and `sbx put` stays for the next one; 0s: not"),
}

SITE: Final[Keys] = {
    "batch": {"enum": list(BATCHES), "description": "who gives places: Slurm, or this machine"},
    "python": text("Python 3.9 or newer on the compute nodes"),
    "prologue": {
        "anyOf": _LIST_OR_TEXT,
        "description": "shell lines before the agent starts",
    },
    "env": environment("environment variables of every task"),
    "paths": table("directories there", PATHS),
    "advertise": {
        "anyOf": _LIST_OR_TEXT,
        "description": "addresses or interfaces of the login node that compute nodes reach",
    },
    "ports": {
        "anyOf": [
            {
                "type": "array",
                "minItems": 2,
                "maxItems": 2,
                "items": {"type": "integer", "minimum": 1024, "maximum": 65535},
            },
            {"type": "string", "pattern": "^\\d+-\\d+$"},
        ],
        "description": "the first and the last port to listen at; absent: any that is free",
    },
    "interval": duration("the shortest time between two looks at the queue"),
    "lost_after": duration("an agent that is silent for this long is given up"),
    "limits": table("what the site lets us do; absent keys are asked of Slurm", LIMITS),
    "containers": table("for all modules with an image", CONTAINERS),
    "machines": {
        "type": "object",
        "propertyNames": {"pattern": f"^{NAME}$"},
        "additionalProperties": table("what one element gets", MACHINE),
        "description": "named shapes of elements, which pools ask for",
    },
    "ssh": table("how its login node is reached; absent: it is this machine", SSH, ("host",)),
    "transfers": table("what it bears of data moved to and from it", TRANSFERS),
}
